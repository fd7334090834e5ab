/** Where each node's time went over all rounds: bars for the eye, the same shares in numbers. */
import { useMemo } from "preact/hooks";
import type { RunModel } from "../run-model.ts";
import { RoundTimes, type TimePart, type TimeSums, timeParts } from "../timeline/shares.ts";
import { counted, unknown, wholePercent } from "../words.ts";
import { memo } from "./memo.ts";
import { ScrollBox } from "./scroll-box.tsx";
import { KindLegend } from "./time-line.tsx";

const names: Readonly<Record<TimePart, string>> = {
  forward: "forward",
  backward: "backward",
  step: "forward and backward in one",
  update: "update",
  computing: "computing",
  sending: "sending",
  receiving: "receiving",
  waiting: "waiting",
};

export function TimeShares({ model }: { model: RunModel }) {
  model.beat.value;
  const times = useMemo(() => new RoundTimes(), [model]);
  const { rounds } = model.history;
  times.update(rounds);
  const nodes = model.summary.value.nodes.filter((node) => times.byNode.has(node.node));
  const used = timeParts.filter((part) =>
    nodes.some((node) => (times.byNode.get(node.node)?.[part] ?? 0) > 0),
  );
  return (
    <section class="panel far" aria-labelledby="time-shares">
      <h2 id="time-shares">Where the time went</h2>
      <p class="hint">
        Shares of {counted(rounds.length, "round")}. A node with a duty below 1 rests between pieces
        of work; that counts as part of the work. Sending and receiving can overlap it.
      </p>
      {nodes.length === 0 ? (
        <p class="empty">No round is done yet.</p>
      ) : (
        <>
          <KindLegend kinds={used.map((part) => [part, names[part]])} />
          <ScrollBox label="Where the time went, a table that scrolls sideways">
            <table class="shares">
              <caption class="unseen">Shares of each node's time over all rounds</caption>
              <thead>
                <tr>
                  <th scope="col">node</th>
                  <td class="bar-cell" />
                  {used.map((part) => (
                    <th key={part} scope="col" class="number">
                      {part === "step" ? "both in one" : part}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {nodes.map((node) => {
                  const sums = times.byNode.get(node.node);
                  if (sums === undefined) return null;
                  const shares = used.map((part) => Math.round((1000 * sums[part]) / whole(sums)));
                  return (
                    <Row
                      key={node.node}
                      name={node.name}
                      parts={used.join()}
                      shares={shares.join()}
                    />
                  );
                })}
              </tbody>
            </table>
          </ScrollBox>
        </>
      )}
    </section>
  );
}

/** Length of a bar: all rounds, or more where traffic overlapped work. */
const whole = (sums: TimeSums): number =>
  Math.max(
    timeParts.reduce((sum, part) => sum + sums[part], 0),
    sums.totalMs,
    1,
  );

/** Parts and their shares in thousandths as texts, so that equal shares draw nothing anew. */
const Row = memo((props: { name: string; parts: string; shares: string }) => {
  const parts = props.parts.split(",");
  const shares = props.shares.split(",").map(Number);
  return (
    <tr>
      <th scope="row">{props.name}</th>
      <td class="bar-cell" aria-hidden="true">
        <div class="bar">
          {parts.map((part, i) => (
            <i key={part} class={`swatch ${part}`} style={{ flexGrow: shares[i] ?? 0 }} />
          ))}
        </div>
      </td>
      {parts.map((part, i) => (
        <td key={part} class="number">
          {shares[i] ? wholePercent((shares[i] ?? 0) / 1000) : unknown}
        </td>
      ))}
    </tr>
  );
});
