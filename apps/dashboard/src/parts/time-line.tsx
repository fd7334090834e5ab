/** What each node did in the last seconds: a row per node, work above, traffic below, gaps are waiting. */
import { useSignal } from "@preact/signals";
import { formatMs, type TimedSpan } from "edgeloom";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { NodeId, RunModel } from "../run-model.ts";
import { theme } from "../theme.ts";
import { type RecentTimes, recentTimes } from "../timeline/shares.ts";
import { Strip } from "../timeline/strip.ts";
import { unknown, wholePercent } from "../words.ts";
import { Choice } from "./choice.tsx";
import { memo } from "./memo.ts";
import { onVisible, useWidth } from "./use-size.ts";

/** Work takes milliseconds: the short window shows single steps, the long one rounds. */
const windows = [
  { value: "15", label: "15 s" },
  { value: "3", label: "3 s" },
] as const;

/** Reports come a few times a second; so far behind the present nothing is missing any more. */
const lagMs = 700;
const frameMs = 50;
const calmFrameMs = 1000;
const hiddenFrameMs = 2000;
const numbersMs = 500;

type Summary = RunModel["summary"]["value"];
type Node = Summary["nodes"][number];
type Plan = NonNullable<Summary["plan"]>;

interface Props {
  readonly model: RunModel;
  /** The run goes on and its server answers: the line moves. */
  readonly isMoving: boolean;
}

const kinds = [
  ["forward", "forward"],
  ["backward", "backward"],
  ["step", "forward and backward in one"],
  ["update", "update"],
  ["evaluate", "measuring accuracy"],
  ["sending", "sending"],
  ["receiving", "receiving"],
] as const;

export function TimeLine({ model, isMoving }: Props) {
  const { plan, nodes: all } = model.summary.value;
  const chain = plan?.chains.length === 1 ? stageNodes(plan) : [];
  const nodes = inChainOrder(all, chain);
  const rowHeight = nodes.length > 16 ? 16 : 28;
  const [cell, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const recent = useSignal<ReadonlyMap<NodeId, RecentTimes>>(new Map());
  const shown = useSignal<"15" | "3">("15");
  const windowMs = Number(shown.value) * 1000;
  const under = useSignal<string | null>(null);
  const ids = nodes.map((node) => node.node).join("\n");
  const endMs = () => (isMoving ? model.nowMs() - lagMs : model.history.atMs);

  useEffect(() => {
    const element = canvas.current;
    if (element === null || width === 0) return;
    const rows = () => nodes.map((node) => model.history.activity.get(node.node) ?? []);
    const strip = new Strip(element, { width, rowHeight, rows: nodes.length, windowMs }, endMs());
    const count = () => {
      const to = endMs();
      recent.value = recentOf(model, nodes, to - windowMs, to);
    };
    return animate(element, isMoving, () => strip.draw(rows(), endMs()), count);
  }, [model, width, ids, isMoving, rowHeight, windowMs, theme.value]);

  const point = (event: MouseEvent | null) => {
    under.value = null;
    const node = nodes[Math.floor((event?.offsetY ?? 0) / rowHeight)];
    if (event === null || node === undefined) return;
    const { offsetX } = event;
    const agoMs = (1 - offsetX / width) * windowMs;
    const span = spanAt(model.history.activity.get(node.node) ?? [], endMs() - agoMs);
    const what =
      span === null ? "waiting" : `${span.kind} for ${formatMs(span.toMs - span.fromMs)}`;
    under.value = `${node.name}, ${(agoMs / 1000).toFixed(1)} s ago: ${what}`;
  };

  return (
    <section class="panel far" aria-labelledby="time-line">
      <div class="section-head">
        <h2 id="time-line">The last {windowMs / 1000} seconds</h2>
        <Choice label="Time in view" options={windows} value={shown} />
      </div>
      <p class="hint reserve">
        {under.value ??
          `Work above, traffic below it; where there is nothing, the node waits.${
            chain.length > 1 ? " Batches go forward from row to row, and come back." : ""
          }`}
      </p>
      <KindLegend kinds={kinds} />
      <Rows
        nodes={nodes}
        rowHeight={rowHeight}
        windowMs={windowMs}
        recent={recent.value}
        cell={cell}
        canvas={canvas}
        onPoint={point}
      />
    </section>
  );
}

/** The nodes that a plan's first chain passes, in its order. */
function stageNodes({ chains, copies }: Plan): NodeId[] {
  const stages = chains[0]?.stages ?? [];
  return stages.flatMap(({ copy }) => copies.find(({ id }) => id === copy)?.node ?? []);
}

/** The nodes of a chain first; all others as they were. */
function inChainOrder(nodes: readonly Node[], chain: readonly NodeId[]): readonly Node[] {
  const place = ({ node }: Node): number => chain.indexOf(node) + 1 || chain.length + 1;
  return nodes.toSorted((a, b) => place(a) - place(b));
}

interface RowsProps {
  readonly nodes: readonly Node[];
  readonly rowHeight: number;
  readonly windowMs: number;
  readonly recent: ReadonlyMap<NodeId, RecentTimes>;
  /** Tells how wide the canvas may be. */
  readonly cell: (element: Element | null) => void;
  readonly canvas: RefObject<HTMLCanvasElement | null>;
  /** The pointer is over the canvas; null when it leaves. */
  readonly onPoint: (event: MouseEvent | null) => void;
}

/** A table with one canvas through all of its rows. */
function Rows({ nodes, rowHeight, windowMs, recent, cell, canvas, onPoint }: RowsProps) {
  return (
    <table class={`time-line${rowHeight < 20 ? " dense" : ""}`}>
      <caption class="unseen">
        Shares of the last {windowMs / 1000} seconds that each node spent working, sending,
        receiving and waiting
      </caption>
      <thead>
        <tr>
          <th scope="col">node</th>
          <td aria-hidden="true">
            <div class="scale">
              {[1, 2 / 3, 1 / 3, 0].map((ago) => (
                <span key={ago} class="tick" style={{ left: `${100 * (1 - ago)}%` }}>
                  {ago === 0 ? "now" : `${((ago * windowMs) / 1000).toFixed(0)} s ago`}
                </span>
              ))}
            </div>
          </td>
          <Heads />
        </tr>
      </thead>
      <tbody>
        {nodes.map((node, i) => (
          <tr key={node.node} style={{ height: `${rowHeight}px` }}>
            <th scope="row">{node.name}</th>
            {i === 0 && (
              <td rowSpan={nodes.length} class="lanes" aria-hidden="true">
                <div ref={cell} style={{ height: `${nodes.length * rowHeight}px` }}>
                  <canvas
                    ref={canvas}
                    style={{ "--row": `${rowHeight}px` }}
                    onMouseMove={onPoint}
                    onMouseLeave={() => onPoint(null)}
                  />
                </div>
              </td>
            )}
            <Numbers {...numbersOf(recent.get(node.node))} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Shares of the window as far back as anything is known; none of nodes that are gone from it. */
function recentOf(model: RunModel, nodes: readonly Node[], fromMs: number, toMs: number) {
  const { activity } = model.history;
  const known = [...activity.values()].map((spans) => spans[0]?.fromMs ?? toMs);
  const from = Math.max(fromMs, Math.min(toMs - 1, ...known));
  const times = new Map<NodeId, RecentTimes>();
  for (const { node, left } of nodes) {
    const spans = activity.get(node) ?? [];
    const isGone = left !== null && (spans.at(-1)?.toMs ?? from) <= from;
    if (!isGone) times.set(node, recentTimes(spans, from, toMs));
  }
  return times;
}

const Heads = () => (
  <>
    {["working", "sending", "receiving", "waiting"].map((name) => (
      <th key={name} scope="col" class="number">
        {name}
      </th>
    ))}
  </>
);

const numbersOf = (times: RecentTimes | undefined) => ({
  working: times === undefined ? unknown : wholePercent(times.working),
  sending: times === undefined ? unknown : wholePercent(times.sending),
  receiving: times === undefined ? unknown : wholePercent(times.receiving),
  waiting: times === undefined ? unknown : wholePercent(times.waiting),
});

const Numbers = memo(({ working, sending, receiving, waiting }: ReturnType<typeof numbersOf>) => (
  <>
    <td class="number">{working}</td>
    <td class="number">{sending}</td>
    <td class="number">{receiving}</td>
    <td class="number">{waiting}</td>
  </>
));

/** What the colours stand for, in the order of the kinds. */
export const KindLegend = ({ kinds }: { kinds: readonly (readonly [string, string])[] }) => (
  <ul class="legend kinds">
    {kinds.map(([kind, label]) => (
      <li key={kind}>
        <i class={`swatch ${kind}`} /> {label}
      </li>
    ))}
  </ul>
);

/** Draws at an even pace while the element can be seen, else now and then; once where nothing moves. */
function animate(
  element: Element,
  isMoving: boolean,
  draw: () => void,
  count: () => void,
): () => void {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let isVisible = true;
  let timer = 0;
  let frame = 0;
  let countedAtMs = 0;
  const halt = (): void => {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  };
  const step = (): void => {
    halt();
    draw();
    const nowMs = performance.now();
    if (nowMs - countedAtMs >= numbersMs) {
      countedAtMs = nowMs;
      count();
    }
    if (!isMoving) return;
    const waitMs = isVisible ? (isCalm ? calmFrameMs : frameMs - 8) : hiddenFrameMs;
    timer = setTimeout(() => {
      frame = requestAnimationFrame(step);
    }, waitMs);
  };
  step();
  const stopWatching = onVisible(element, (isNowVisible) => {
    isVisible = isNowVisible;
    if (isVisible) step();
  });
  return () => {
    halt();
    stopWatching();
  };
}

/** The stretch of work at a time; the newest where several overlap. */
function spanAt(spans: readonly TimedSpan[], atMs: number): TimedSpan | null {
  return spans.findLast((span) => span.fromMs <= atMs && atMs <= span.toMs) ?? null;
}
