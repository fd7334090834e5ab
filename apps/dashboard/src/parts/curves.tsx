/** How well it goes: loss and accuracy; then bytes and memory, node by node. */
import { type Signal, useSignal } from "@preact/signals";
import { formatBytes, formatPercent } from "edgeloom";
import { useMemo } from "preact/hooks";
import type { ChartLine } from "../plots/chart.ts";
import { Plot, type XFormat } from "../plots/plot.tsx";
import {
  type Axis,
  curveInWords,
  hasAccuracy,
  joined,
  marksOf,
  measured,
  NodeCurves,
  trainingLoss,
} from "../plots/series.ts";
import type { NodeId, RunModel } from "../run-model.ts";
import { clock } from "../words.ts";
import { Choice } from "./choice.tsx";
import { RoundTable } from "./round-table.tsx";

/** How the x axis is written, by what it stands for. */
export const xFormats: Readonly<Record<Axis, XFormat>> = {
  round: { name: "round", kind: "count", format: String },
  time: { name: "time", kind: "clock", format: (seconds) => clock(seconds * 1000) },
};
export const lossDigits = (value: number): string => value.toFixed(value < 0.0995 ? 3 : 2);
/** Places on an axis are round numbers: no digits beyond what they have. */
export const percentTick = (value: number): string => `${Number((100 * value).toPrecision(4))} %`;

export const axisOptions = [
  { value: "round", label: "by round" },
  { value: "time", label: "by time" },
] as const;

const lossLines: ChartLine[] = [
  { label: "training", color: "--loss" },
  { label: "held-out", color: "--held-out", dash: [5, 4], isSparse: true },
];
const accuracyLines: ChartLine[] = [{ label: "held-out", color: "--accuracy", isSparse: true }];

export function Curves({ model }: { model: RunModel }) {
  const axis = useSignal<Axis>("round");
  return (
    <section aria-labelledby="curves">
      <div class="section-head">
        <h2 id="curves">How well it learns</h2>
        <Choice label="Curves" options={axisOptions} value={axis} />
      </div>
      <LearningPlots model={model} axis={axis} />
      <h2 class="later">What it costs</h2>
      <CostPlots model={model} axis={axis} />
      <Marks model={model} axis={axis} />
      <RoundTable model={model} />
    </section>
  );
}

interface AxisProps {
  readonly model: RunModel;
  readonly axis: Signal<Axis>;
}

function useFrame({ model, axis: { value: axis } }: AxisProps) {
  const beat = model.beat.value;
  const asked = model.summary.value.roundsAsked;
  const frame = useMemo(() => {
    // While a run goes on, its axis already has room for all rounds.
    const [xMin, xMax] = axis === "round" ? [1, asked] : [0, 1];
    return { marks: marksOf(model.history, axis), xMin, xMax };
  }, [model, axis, beat, asked]);
  return { axis, beat, frame, x: xFormats[axis] };
}

function LearningPlots(props: AxisProps) {
  const { axis, beat, frame, x } = useFrame(props);
  const { history } = props.model;
  const { loss, accuracy, words } = useMemo(() => {
    const train = trainingLoss(history, axis);
    const test = measured(history, axis, "loss");
    const right = measured(history, axis, "accuracy");
    return {
      loss: { ...joined([train, test]), ...frame },
      accuracy: { ...joined([right]), ...frame },
      words: {
        loss: `${curveInWords("Training loss", train, axis, lossDigits)} ${curveInWords("Loss on held-out samples", test, axis, lossDigits)}`,
        accuracy: curveInWords("Accuracy on held-out samples", right, axis, formatPercent),
      },
    };
  }, [history, axis, beat, frame]);
  return (
    <div class="plots">
      <Plot
        title="Loss"
        hint="lower is better"
        lines={lossLines}
        data={loss}
        summary={words.loss}
        x={x}
        formatY={lossDigits}
        formatTick={String}
        yMin={0}
      />
      {hasAccuracy(history) && (
        <Plot
          title="Accuracy"
          hint="share of held-out samples that the model gets right"
          lines={accuracyLines}
          data={accuracy}
          summary={words.accuracy}
          x={x}
          formatY={formatPercent}
          formatTick={percentTick}
          yMax={1}
        />
      )}
    </div>
  );
}

/** More nodes than this are shown as lowest, median and highest. */
const linesMax = 8;
const dashes = [undefined, [7, 3], [2, 3], [9, 3, 2, 3]] as const;

/** The colour and dash of a node's line: its place among the nodes decides. */
function nodeLine(label: string, place: number): ChartLine {
  const dash = dashes[Math.floor(place / 2) % dashes.length];
  const line = { label, color: `--s${(place % linesMax) + 1}`, width: 1.75 };
  return dash === undefined ? line : { ...line, dash };
}

interface Shown {
  readonly lines: ChartLine[];
  readonly ids: readonly NodeId[];
  readonly isBand: boolean;
}

/** Which nodes get a line of their own. */
function shownNodes(model: RunModel, withHubs: boolean): Shown {
  const nodes = model.summary.value.nodes;
  const wanted = nodes.filter((node) => withHubs || node.kind === "device");
  if (wanted.length <= linesMax) {
    const lines = wanted.map((node) => nodeLine(node.name, nodes.indexOf(node)));
    return { lines, ids: wanted.map((node) => node.node), isBand: false };
  }
  const selected = model.selected.value;
  const own = wanted.filter((node) => node.kind !== "device" || node.node === selected);
  const lines: ChartLine[] = [
    { label: "highest device", color: "--s1", width: 1.5, dash: [7, 3] },
    { label: "median device", color: "--s1", width: 2 },
    { label: "lowest device", color: "--s1", width: 1.5, dash: [2, 3] },
    ...own.map((node, i) => nodeLine(node.name, i + 1)),
  ];
  return { lines, ids: own.map((node) => node.node), isBand: true };
}

function CostPlots(props: AxisProps) {
  const { axis, beat, frame, x } = useFrame(props);
  const { model } = props;
  const { rounds } = model.history;
  const devices = model.summary.value.nodes.filter((node) => node.kind === "device");
  const curves = useMemo(() => {
    const ids = new Set(devices.map((node) => node.node));
    return {
      bytes: new NodeCurves((cost) => cost.bytesUp + cost.bytesDown, ids),
      memory: new NodeCurves((cost) => cost.peakRssBytes, ids),
    };
  }, [model, devices.length]);
  const draw = (of: NodeCurves, { ids, isBand }: Shown) => {
    of.update(rounds);
    const places = rounds.map(({ round, atMs }) => (axis === "round" ? round + 1 : atMs / 1000));
    const band = isBand ? [of.highest, of.median, of.lowest] : [];
    return { x: places, ys: [...band, ...ids.map((id) => of.of(id))], ...frame };
  };
  const selected = model.selected.value;
  const data = useMemo(() => {
    const links = shownNodes(model, false);
    const nodes = shownNodes(model, true);
    return {
      links: { lines: links.lines, data: draw(curves.bytes, links) },
      nodes: { lines: nodes.lines, data: draw(curves.memory, nodes) },
    };
  }, [model, axis, beat, frame, curves, selected]);
  return (
    <div class="plots">
      <Plot
        title="Bytes on each link"
        hint="sent and received in a round"
        lines={data.links.lines}
        data={data.links.data}
        summary="The table of nodes has the sums."
        x={x}
        formatY={formatBytes}
        yMin={0}
        height={190}
      />
      <Plot
        title="Memory of each node"
        hint="highest so far, of the whole process"
        lines={data.nodes.lines}
        data={data.nodes.data}
        summary="The table of nodes has the highest values."
        x={x}
        formatY={formatBytes}
        yMin={0}
        height={190}
      />
    </div>
  );
}

/** What the letters in the plots stand for. */
function Marks(props: AxisProps) {
  const { marks } = useFrame(props).frame;
  if (marks.length === 0) return null;
  return (
    <ul class="marks">
      {marks.map(({ letter, text }) => (
        <li key={letter}>
          <b>{letter}</b> {text}
        </li>
      ))}
    </ul>
  );
}
