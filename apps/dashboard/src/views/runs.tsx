/** All runs of the server's folder, newest first: open one, or compare two. */
import { useSignal } from "@preact/signals";
import { formatBytes, type RunListing } from "edgeloom";
import type { RunList } from "../api.ts";
import { ScrollBox } from "../parts/scroll-box.tsx";
import { hashOf } from "../route.ts";
import { clock, dateWords, measuredInCell, msOrUnknown, unknown } from "../words.ts";

export function RunsView({ list }: { list: RunList }) {
  const chosen = useSignal<readonly string[]>([]);
  const toggle = (run: string) => {
    const rest = chosen.peek().filter((other) => other !== run);
    // A third choice takes the place of the first.
    chosen.value = rest.length < chosen.peek().length ? rest : [...rest, run].slice(-2);
  };
  const [b, a] = chosen.value;
  return (
    <section class="panel" aria-labelledby="runs">
      <div class="section-head">
        <h1 id="runs">Runs</h1>
        {a !== undefined && b !== undefined ? (
          <a class="button" href={hashOf({ view: "compare", a, b })}>
            Compare the two
          </a>
        ) : (
          <p class="hint">Choose two runs to compare them.</p>
        )}
      </div>
      {list.runs.length === 0 ? (
        <p class="empty">There are no runs yet. The first one appears here by itself.</p>
      ) : (
        <ScrollBox label="Runs, a table that scrolls sideways" testId="runs" isWhole>
          <table>
            <caption class="unseen">Runs, newest first</caption>
            <Head />
            <tbody>
              {list.runs.map((run) => (
                <Row
                  key={run.run}
                  run={run}
                  isLive={run.run === list.live}
                  isChosen={chosen.value.includes(run.run)}
                  onChoose={() => toggle(run.run)}
                />
              ))}
            </tbody>
          </table>
        </ScrollBox>
      )}
    </section>
  );
}

const Head = () => (
  <thead>
    <tr>
      <th scope="col">
        <span class="unseen">compare</span>
      </th>
      <th scope="col">run</th>
      <th scope="col" class="number">
        accuracy
      </th>
      <th scope="col">state</th>
      <th scope="col">model</th>
      <th scope="col">planner</th>
      <th scope="col" class="number">
        devices
      </th>
      <th scope="col" class="number">
        rounds
      </th>
      <th scope="col" class="number">
        round, median
      </th>
      <th scope="col" class="number">
        time
      </th>
      <th scope="col" class="number">
        moved
      </th>
      <th scope="col">started</th>
    </tr>
  </thead>
);

interface RowProps {
  readonly run: RunListing;
  readonly isLive: boolean;
  readonly isChosen: boolean;
  onChoose(): void;
}

function Row({ run, isLive, isChosen, onChoose }: RowProps) {
  const href = hashOf(isLive ? { view: "live" } : { view: "run", run: run.run });
  return (
    <tr class={isChosen ? "chosen" : ""}>
      <td>
        <input
          type="checkbox"
          checked={isChosen}
          onChange={onChoose}
          aria-label={`Compare ${run.run}`}
        />
      </td>
      <th scope="row">
        <a href={href}>{run.run}</a>
        {run.notes.length > 0 && <small title={run.notes.join("; ")}>{run.notes.join("; ")}</small>}
      </th>
      <td class="number">
        {measuredInCell(run)}
        {measuredInCell(run) !== unknown && !run.isFinal && <small> so far</small>}
      </td>
      <td>{isLive && run.end === null ? "live" : (run.end?.reason ?? "not finished")}</td>
      <td>{known(run.model)}</td>
      <td>{known(run.planner)}</td>
      <td class="number">{run.devices}</td>
      <td class="number">
        {run.rounds} of {run.roundsAsked}
      </td>
      <td class="number">{msOrUnknown(run.medianRoundMs)}</td>
      <td class="number">{clock(run.wallMs)}</td>
      <td class="number">{formatBytes(run.bytesUp + run.bytesDown)}</td>
      <td>{run.startedAt === null ? unknown : dateWords(run.startedAt)}</td>
    </tr>
  );
}

const known = (text: string): string => (text === "?" ? unknown : text);
