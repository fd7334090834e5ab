/** The curves as numbers, for those who read rather than look; made only when opened. */
import { useSignal } from "@preact/signals";
import { formatBytes, formatMs, type RoundPoint } from "edgeloom";
import type { RunModel } from "../run-model.ts";
import { clock, measuredInCell, unknown } from "../words.ts";
import { ScrollBox } from "./scroll-box.tsx";

/** Rounds shown; the download has all. */
const shownMax = 500;

export function RoundTable({ model }: { model: RunModel }) {
  const isOpen = useSignal(false);
  return (
    <details
      class="panel"
      onToggle={({ currentTarget }) => {
        isOpen.value = currentTarget.open;
      }}
    >
      <summary>The same as a table</summary>
      {isOpen.value && <Rounds model={model} />}
    </details>
  );
}

function Rounds({ model }: { model: RunModel }) {
  model.beat.value;
  const { rounds, evaluations } = model.history;
  const devices = new Set(
    model.summary.value.nodes.filter((node) => node.kind === "device").map((node) => node.node),
  );
  const measured = new Map(
    evaluations.map(({ round, accuracy, loss }) => [
      round,
      measuredInCell({ accuracy, heldOutLoss: loss }),
    ]),
  );
  return (
    <ScrollBox label="Rounds, a table that scrolls">
      <table>
        <caption class="unseen">Rounds, newest first</caption>
        <thead>
          <tr>
            {["round", "done at", "term", "took", "training loss", "accuracy", "moved"].map(
              (name) => (
                <th key={name} scope="col" class="number">
                  {name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {rounds
            .slice(-shownMax)
            .toReversed()
            .map((point) => (
              <Row
                key={point.round}
                point={point}
                measured={measured.get(point.round + 1) ?? unknown}
                bytes={bytesOf(point, devices)}
              />
            ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}

/** What devices sent and received in a round. */
function bytesOf({ nodes }: RoundPoint, devices: ReadonlySet<string>): number {
  const own = nodes.filter((node) => devices.has(node.node));
  return own.reduce((sum, node) => sum + node.bytesUp + node.bytesDown, 0);
}

interface RowProps {
  readonly point: RoundPoint;
  /** The accuracy, or the loss where there is none. */
  readonly measured: string;
  readonly bytes: number;
}

function Row({ point: { round, atMs, term, ms, loss }, measured, bytes }: RowProps) {
  return (
    <tr>
      <th scope="row" class="number">
        {round + 1}
      </th>
      <td class="number">{clock(atMs)}</td>
      <td class="number">{term}</td>
      <td class="number">{formatMs(ms)}</td>
      <td class="number">{loss === null ? unknown : loss.toFixed(4)}</td>
      <td class="number">{measured}</td>
      <td class="number">{formatBytes(bytes)}</td>
    </tr>
  );
}
