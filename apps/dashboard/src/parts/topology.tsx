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
import { type Achieved, achievedIn, type SceneNode, sceneOf } from "../topology/scene.ts";
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
  const achieved = useComputed(() => {
    model.beat.value;
    return achievedIn(model.history.rounds.at(-1));
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
            return <path key={from} d={path} class={wireClass(node, selected)} />;
          })}
          {scene.map((node) => {
            const box = layout.boxes.get(node.id);
            if (box === undefined) return null;
            const rates = achieved.get(node.id);
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
                label={nodeInWords(node, segments, rates)}
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

/** Achieved over allotted to a hundredth, so that a hair's breadth draws nothing anew. */
function shareOf(rate: number | null | undefined, allotted: number | null): number {
  if (rate == null || allotted === null || !Number.isFinite(allotted)) return 0;
  return Math.round((100 * rate) / allotted) / 100;
}

function wireClass(node: SceneNode | undefined, selected: NodeId | null): string {
  const isPlanned = node !== undefined && node.left === null && node.allotted !== null;
  return `wire${isPlanned ? "" : " off"}${node?.id === selected ? " chosen" : ""}`;
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
  rates: Achieved | undefined,
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
    const up = rates?.up == null ? unknown : formatRate(rates.up);
    const down = rates?.down == null ? unknown : formatRate(rates.down);
    parts.push(`link: sends ${up}, receives ${down}, allotted ${formatRate(node.allotted)}`);
  }
  return parts.join("; ");
}
