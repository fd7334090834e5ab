/** Two runs side by side: their curves on one plot, and what differs in numbers. */
import { useSignal } from "@preact/signals";
import { formatPercent } from "edgeloom";
import { useMemo } from "preact/hooks";
import { Choice } from "../parts/choice.tsx";
import { axisOptions, lossDigits, percentTick, xFormats } from "../parts/curves.tsx";
import { Notes } from "../parts/notes.tsx";
import { ScrollBox } from "../parts/scroll-box.tsx";
import type { ChartLine } from "../plots/chart.ts";
import { Plot } from "../plots/plot.tsx";
import {
  type Axis,
  curveInWords,
  hasAccuracy,
  joined,
  measured,
  trainingLoss,
} from "../plots/series.ts";
import { hashOf } from "../route.ts";
import type { RunModel } from "../run-model.ts";
import { type Fact, factsOf } from "./compare-facts.ts";

interface Props {
  readonly a: RunModel;
  readonly b: RunModel;
}

export function CompareView({ a, b }: Props) {
  const axis = useSignal<Axis>("round");
  a.beat.value;
  b.beat.value;
  return (
    <article class="run" data-testid="compare">
      <Notes notes={[...a.notes.value, ...b.notes.value]} />
      <header class="panel">
        <div class="section-head">
          <h1>Two runs compared</h1>
          <a class="button" href={hashOf({ view: "compare", a: b.run, b: a.run })}>
            Swap
          </a>
        </div>
        <p class="pair-names">
          <span>
            <b class="tag a">A</b> <a href={hashOf({ view: "run", run: a.run })}>{a.run}</a>
          </span>
          <span>
            <b class="tag b">B</b> <a href={hashOf({ view: "run", run: b.run })}>{b.run}</a>
          </span>
        </p>
      </header>
      <section aria-labelledby="curves">
        <div class="section-head">
          <h2 id="curves">How well they learn</h2>
          <Choice label="Curves" options={axisOptions} value={axis} />
        </div>
        <ComparePlots a={a} b={b} axis={axis.value} />
      </section>
      <section class="panel" aria-labelledby="differences">
        <h2 id="differences">What differs</h2>
        <Differences facts={factsOf(a.history, b.history)} />
      </section>
    </article>
  );
}

const lossLines: ChartLine[] = [
  { label: "A", color: "--run-a" },
  { label: "B", color: "--run-b", dash: [6, 4] },
];
const accuracyLines: ChartLine[] = lossLines.map((line) => ({ ...line, isSparse: true }));

function ComparePlots({ a, b, axis }: Props & { axis: Axis }) {
  const beats = a.beat.value + b.beat.value;
  const x = xFormats[axis];
  const { loss, accuracy, words } = useMemo(() => {
    const frame = { xMin: axis === "round" ? 1 : 0, xMax: 1, marks: [] };
    const losses = [trainingLoss(a.history, axis), trainingLoss(b.history, axis)] as const;
    const rights = [
      measured(a.history, axis, "accuracy"),
      measured(b.history, axis, "accuracy"),
    ] as const;
    return {
      loss: { ...joined(losses), ...frame },
      accuracy: { ...joined(rights), ...frame },
      words: {
        loss: losses.map((curve, i) => curveInWords("AB"[i] ?? "", curve, axis, lossDigits)),
        accuracy: rights.map((curve, i) => curveInWords("AB"[i] ?? "", curve, axis, formatPercent)),
      },
    };
  }, [a, b, axis, beats]);
  return (
    <div class="plots">
      <Plot
        title="Training loss"
        hint="lower is better"
        lines={lossLines}
        data={loss}
        summary={words.loss.join(" ")}
        x={x}
        formatY={lossDigits}
        formatTick={String}
        yMin={0}
        height={260}
      />
      {(hasAccuracy(a.history) || hasAccuracy(b.history)) && (
        <Plot
          title="Accuracy"
          hint="share of held-out samples that the model gets right"
          lines={accuracyLines}
          data={accuracy}
          summary={words.accuracy.join(" ")}
          x={x}
          formatY={formatPercent}
          formatTick={percentTick}
          yMax={1}
          height={260}
        />
      )}
    </div>
  );
}

function Differences({ facts }: { facts: readonly Fact[] }) {
  return (
    <ScrollBox label="Differences, a table that scrolls sideways">
      <table>
        <caption class="unseen">Job and results of both runs</caption>
        <thead>
          <tr>
            <th scope="col">what</th>
            <th scope="col" class="number">
              A
            </th>
            <th scope="col" class="number">
              B
            </th>
            <th scope="col">B against A</th>
          </tr>
        </thead>
        <tbody>
          {facts.map(({ name, a, b, difference }) => (
            <tr key={name} class={a === b ? "same" : ""}>
              <th scope="row">{name}</th>
              <td class="number">{a}</td>
              <td class="number">{b}</td>
              <td>{a === b ? "the same" : difference}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollBox>
  );
}
