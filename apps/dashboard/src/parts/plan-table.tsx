/** The plan as a table: a row for each chain with the reason under it; earlier terms can be chosen. */
import { useSignal } from "@preact/signals";
import {
  formatRate,
  formatShare,
  type PlacedStage,
  type PlanPoint,
  type PlanRow,
  planRows,
} from "edgeloom";
import type { RunModel } from "../run-model.ts";
import { clock, sentencesOf, unknown } from "../words.ts";
import { Blocks } from "./node-card.tsx";
import { cellMs } from "./run-header.tsx";
import { ScrollBox } from "./scroll-box.tsx";

export function PlanTable({ model }: { model: RunModel }) {
  model.beat.value;
  /** Place among the plans; null for the newest, also when a newer one comes. */
  const chosen = useSignal<number | null>(null);
  const { plans } = model.history;
  const at = chosen.value ?? plans.length - 1;
  const point = plans[at];
  const summary = model.summary.value;
  const rows = point === undefined ? [] : planRows(point.plan, summary);
  const before = plans[at - 1];
  const earlier = before === undefined ? [] : planRows(before.plan, summary);
  return (
    <section class="panel far" aria-labelledby="plan">
      <div class="section-head">
        <h2 id="plan">The plan</h2>
        {plans.length > 1 && (
          <label>
            Term{" "}
            <select
              value={String(at)}
              onChange={({ currentTarget }) => {
                const next = Number(currentTarget.value);
                chosen.value = next === plans.length - 1 ? null : next;
              }}
            >
              {plans.map((plan, i) => (
                <option key={plan.plan.term} value={String(i)}>
                  {termWords(plan)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      {point === undefined ? (
        <p class="empty">No plan yet: it is made when all nodes have joined and are probed.</p>
      ) : (
        <>
          <p class="hint">
            {point.plan.planner === "pipeline"
              ? "Batches go through the stages from top to bottom, and their gradients back."
              : "Which segments each device keeps and which share of the link it gets, chosen together from measured speeds."}{" "}
            {termText(point)}
          </p>
          {point.plan.planner === "pipeline" ? (
            <StageRows rows={rows} segments={summary.segments.length} point={point} />
          ) : (
            <Rows rows={rows} earlier={earlier} segments={summary.segments.length} point={point} />
          )}
        </>
      )}
    </section>
  );
}

const termWords = ({ plan, round, reason }: PlanPoint): string =>
  `${plan.term}, from round ${round + 1}: ${reason}`;

const termText = ({ plan, round, atMs, reason }: PlanPoint): string =>
  `Term ${plan.term} (${plan.planner}) holds from round ${round + 1}, made at ${clock(atMs)}: ${reason}.`;

interface RowsProps {
  readonly rows: readonly PlanRow[];
  /** Rows of the plan before this one. */
  readonly earlier: readonly PlanRow[];
  readonly segments: number;
  readonly point: PlanPoint;
}

function Rows({ rows, earlier, segments, point }: RowsProps) {
  return (
    <ScrollBox label="The plan, a table that scrolls sideways" testId="plan">
      <table class="plan">
        <caption class="unseen">
          Plan of term {point.plan.term}: segments, link share and expected time of each device,
          each with its reason
        </caption>
        <thead>
          <tr>
            <th scope="col">device</th>
            <th scope="col" class="number">
              duty
            </th>
            <th scope="col" class="number">
              samples
            </th>
            <th scope="col">keeps on the device</th>
            <th scope="col" class="number">
              link share
            </th>
            <th scope="col" class="number">
              round
            </th>
            <th scope="col" class="number">
              computing
            </th>
            <th scope="col" class="number">
              transfer
            </th>
          </tr>
        </thead>
        {rows.map((row) => (
          <Row
            key={row.node}
            row={row}
            segments={segments}
            earlier={earlier.find((other) => other.node === row.node)}
          />
        ))}
      </table>
    </ScrollBox>
  );
}

function Row(props: { row: PlanRow; earlier: PlanRow | undefined; segments: number }) {
  const { row, earlier, segments } = props;
  const kept = row.stages[0];
  const was = earlier?.stages[0];
  const hasMoved = was !== undefined && kept !== undefined && was.to !== kept.to;
  const share = row.bytesPerMs === null ? unknown : formatRate(row.bytesPerMs);
  const strip = kept === undefined ? undefined : { ...kept, sources: [] };
  return (
    <tbody>
      <tr>
        <th scope="row">{row.name}</th>
        <td class="number">{formatShare(row.duty)}</td>
        <td class="number">{row.samples.toLocaleString("en")}</td>
        <td>
          <svg class="inline-blocks device" width="96" height="10" aria-hidden="true">
            <Blocks x={0} y={0} width={96} height={10} segments={segments} strip={strip} />
          </svg>{" "}
          {kept === undefined ? unknown : `${kept.to} of ${segments}, to ${row.keeps}`}
          {hasMoved && <em> (was {was.to})</em>}
        </td>
        <td class="number">{share}</td>
        <td class="number">{cellMs(row.roundMs)}</td>
        <td class="number">{cellMs(row.computeMs)}</td>
        <td class="number">{cellMs(row.transferMs)}</td>
      </tr>
      <tr class="reason">
        <td colSpan={8}>
          <p>{sentencesOf(row.reason).join(" ")}</p>
        </td>
      </tr>
    </tbody>
  );
}

/** A pipeline: a row for each stage in the order of the batches, and under them why it is this one. */
function StageRows({ rows, segments, point }: Omit<RowsProps, "earlier">) {
  return (
    <ScrollBox label="The plan, a table that scrolls sideways" testId="plan">
      <table class="plan">
        <caption class="unseen">
          Plan of term {point.plan.term}: what each stage of the pipeline trains, with the reason
        </caption>
        <thead>
          <tr>
            <th scope="col">stage</th>
            <th scope="col" class="number">
              duty
            </th>
            <th scope="col">trains</th>
            <th scope="col" class="number">
              link onward
            </th>
          </tr>
        </thead>
        {rows.map((row) => (
          <tbody key={row.node}>
            {row.stages.map((stage, i) => (
              <StageRow key={stage.node} stage={stage} isFirst={i === 0} segments={segments} />
            ))}
            <tr class="reason">
              <td colSpan={4}>
                <p>
                  {scheduleWords(row)} {sentencesOf(row.reason).join(" ")}
                </p>
              </td>
            </tr>
          </tbody>
        ))}
      </table>
    </ScrollBox>
  );
}

function StageRow(props: { stage: PlacedStage; isFirst: boolean; segments: number }) {
  const { stage, isFirst, segments } = props;
  const { name, duty, from, to, first, last, bytesPerMs } = stage;
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="number">{formatShare(duty)}</td>
      <td>
        <svg
          class={`inline-blocks ${isFirst ? "device" : "edge"}`}
          width="96"
          height="10"
          aria-hidden="true"
        >
          <Blocks
            {...{ x: 0, y: 0, width: 96, height: 10, segments }}
            strip={{ from, to, sources: [] }}
          />
        </svg>{" "}
        {to - from} of {segments}, {first === last ? first : `${first} to ${last}`}
      </td>
      <td class="number">{bytesPerMs === null ? unknown : formatRate(bytesPerMs)}</td>
    </tr>
  );
}

const scheduleWords = ({ schedule, window, roundMs }: PlanRow): string =>
  schedule === "window"
    ? `Window ${window}: ${underWayWords(window + 1)} under way, ${cellMs(roundMs)} a round.`
    : `Schedule ${schedule}, ${cellMs(roundMs)} a round.`;

const underWayWords = (batches: number): string =>
  batches === 1 ? "one batch at a time is" : `up to ${batches} batches are`;
