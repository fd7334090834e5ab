/**
 * The fleet as a drawing: who is connected to whom, which segments of the model
 * each holds, and what its link carries. Any node can be chosen, by mouse or by
 * arrow keys, to see in words what it does and why.
 */
import { computed, useComputed } from "@preact/signals";
import { formatRate, formatShare } from "edgeloom";
import { useMemo } from "preact/hooks";
import type { NodeId, RunModel } from "../run-model.ts";
import { layOut, stripsMax } from "../topology/layout.ts";
import {
  type Achieved,
  achievedIn,
  type SceneNode,
  type StraightLink,
  sceneOf,
  straightIn,
} from "../topology/scene.ts";
import { counted, listed, segmentsWords, unknown } from "../words.ts";
import { NodeCard, rateDigits } from "./node-card.tsx";
import { useWidth } from "./use-size.ts";

/** Same parts, same scene: it is laid out anew only when the plan or the members change. */
function sceneSignal(model: RunModel) {
  let key = "";
  let scene: SceneNode[] = [];
  return computed(() => {
    const summary = model.summary.value;
    const left = summary.nodes.map((node) => `${node.node}:${node.left ?? ""}`).join();
    const next = `${summary.plan?.term}/${summary.segments.length}/${left}`;
    if (next !== key) {
      key = next;
      scene = sceneOf(summary);
    }
    return scene;
  });
}

export function Topology({ model }: { model: RunModel }) {
  const [ref, width] = useWidth();
  const scene = useMemo(() => sceneSignal(model), [model]).value;
  const last = useComputed(() => {
    model.beat.value;
    const round = model.history.rounds.at(-1);
    return { achieved: achievedIn(round), straight: straightIn(round) };
  }).value;
  const layout = useMemo(() => layOut(scene, Math.max(width, 280)), [scene, width]);
  const segments = model.summary.value.segments;
  const selected = model.selected.value;
  const stop = scene.some((node) => node.id === selected) ? selected : scene[0]?.id;

  return (
    <div ref={ref} class="topology" style={{ minHeight: `${layout.height}px` }}>
      {width > 0 && scene.length > 0 && (
        // biome-ignore lint/a11y/useSemanticElements: a drawing cannot be a fieldset
        <svg
          width={layout.width}
          height={layout.height}
          role="group"
          aria-label={`Topology: ${kindsInWords(scene)}. Arrow keys go from node to node.`}
          onKeyDown={moveWithArrows}
        >
          {layout.wires.map(({ from, path }) => {
            const node = scene.find((candidate) => candidate.id === from);
            const isStraight = node !== undefined && towardsParent(node, last.straight) !== null;
            return <path key={from} d={path} class={wireClass(node, selected, isStraight)} />;
          })}
          {scene.map((node) => {
            const box = layout.boxes.get(node.id);
            if (box === undefined) return null;
            const link = towardsParent(node, last.straight);
            const rates = ratesOf(last.achieved.get(node.id), link);
            return (
              <NodeCard
                key={node.id}
                node={node}
                box={box}
                segments={segments.length}
                isCompact={layout.isCompact}
                up={rateDigits(rates?.up ?? null)}
                down={rateDigits(rates?.down ?? null)}
                upShare={shareOf(rates?.up, node.allotted)}
                downShare={shareOf(rates?.down, node.allotted)}
                next={nameOf(scene, node.parent)}
                isStraight={link !== null}
                label={nodeInWords(node, segments, rates, last.straight.get(node.id) ?? [], scene)}
                isSelected={node.id === selected}
                isTabStop={node.id === stop}
                onChoose={model.choose}
              />
            );
          })}
        </svg>
      )}
      {scene.length === 0 && <p class="empty">Nobody has joined yet.</p>}
    </div>
  );
}

/** The link to the node that a node sends features to, where the last round used one of their own. */
const towardsParent = (
  { id, parent }: SceneNode,
  straight: ReadonlyMap<NodeId, readonly StraightLink[]>,
): StraightLink | null => straight.get(id)?.find((link) => link.with === parent) ?? null;

/** What was paced says most; where nothing was, what the two ends of a straight link achieved. */
function ratesOf(paced: Achieved | undefined, link: StraightLink | null): Achieved {
  return { up: paced?.up ?? link?.up ?? null, down: paced?.down ?? link?.down ?? null };
}

const nameOf = (scene: readonly SceneNode[], id: NodeId | null): string =>
  scene.find((node) => node.id === id)?.name ?? "";

/** Achieved over allotted to a hundredth, so that a hair's breadth draws nothing anew. */
function shareOf(rate: number | null | undefined, allotted: number | null): number {
  if (rate == null || allotted === null || !Number.isFinite(allotted)) return 0;
  return Math.round((100 * rate) / allotted) / 100;
}

function wireClass(
  node: SceneNode | undefined,
  selected: NodeId | null,
  isStraight: boolean,
): string {
  const isPlanned = node !== undefined && node.left === null && node.allotted !== null;
  const state = !isPlanned ? " off" : isStraight ? " straight" : "";
  return `wire${state}${node?.id === selected ? " chosen" : ""}`;
}

/** One tab stop for the whole drawing; arrows move the focus in reading order. */
function moveWithArrows(event: KeyboardEvent): void {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  const nodes = [...(event.currentTarget as Element).querySelectorAll<SVGElement>(".node")];
  const at = nodes.indexOf(document.activeElement as SVGElement);
  nodes[(at + step + nodes.length) % nodes.length]?.focus();
  event.preventDefault();
}

function kindsInWords(scene: readonly SceneNode[]): string {
  const of = (kind: SceneNode["kind"]) => scene.filter((node) => node.kind === kind).length;
  const parts = [
    of("cloud") > 0 ? counted(of("cloud"), "cloud server") : "",
    of("edge") > 0 ? counted(of("edge"), "edge server") : "",
    of("device") > 0 ? counted(of("device"), "device") : "",
  ];
  return listed(parts.filter((part) => part !== ""));
}

/** A node for those who do not see the drawing. */
function nodeInWords(
  node: SceneNode,
  segments: readonly string[],
  rates: Achieved,
  straight: readonly StraightLink[],
  scene: readonly SceneNode[],
): string {
  const kind = node.kind === "device" ? "device" : `${node.kind} server`;
  const parts = [`${node.name}, ${kind}, duty ${formatShare(node.duty)}`];
  if (node.left !== null) return `${parts[0]}, left: ${node.left}`;
  for (const { from, to, sources } of node.strips.slice(0, stripsMax)) {
    const whose = node.kind === "device" ? "" : ` for ${listed(sources)}`;
    const names = `${segments[from]} to ${segments[to - 1]}`;
    parts.push(`trains ${segmentsWords(from, to, segments.length)} (${names})${whose}`);
  }
  if (node.samples > 0) parts.push(counted(node.samples, "private sample"));
  if (node.allotted !== null) {
    const up = rates.up === null ? unknown : formatRate(rates.up);
    const down = rates.down === null ? unknown : formatRate(rates.down);
    parts.push(`link: sends ${up}, receives ${down}, allotted ${formatRate(node.allotted)}`);
  }
  if (straight.length > 0) {
    parts.push(`straight links to ${listed(straight.map((link) => nameOf(scene, link.with)))}`);
  }
  return parts.join("; ");
}
