/** Why it is done this way: the plan in words, or the chosen node's part in it. */
import {
  formatBytes,
  formatMs,
  formatRate,
  formatShare,
  type PlanRow,
  planRows,
  waitingMs,
} from "edgeloom";
import type { RunModel } from "../run-model.ts";
import {
  achievedIn,
  type SceneNode,
  type StraightLink,
  sceneOf,
  straightIn,
} from "../topology/scene.ts";
import {
  counted,
  listed,
  planInWords,
  segmentsWords,
  sentencesOf,
  unknown,
  wholePercent,
} from "../words.ts";
import { type Fact, Facts } from "./facts.tsx";

export function Why({ model }: { model: RunModel }) {
  const { nodes } = model.summary.value;
  const selected = nodes.find((node) => node.node === model.selected.value);
  return (
    <section class="why panel" aria-labelledby="why">
      {/* Stays in view beside a tall drawing. */}
      <div class="stay">
        {selected === undefined ? (
          <WhyPlan model={model} />
        ) : (
          <WhyNode model={model} id={selected.node} />
        )}
      </div>
    </section>
  );
}

function WhyPlan({ model }: { model: RunModel }) {
  const { plan } = model.summary.value;
  return (
    <>
      <h2 id="why">What trains where, and why</h2>
      {plan === null ? (
        <p>
          There is no plan yet. When all nodes have joined, each is probed to see how fast it runs
          every part of the model; then the parts are shared out.
        </p>
      ) : (
        <>
          <p>{planInWords(plan, model.summary.value)}</p>
          <h3>The plan's reason (term {plan.term})</h3>
          <Sentences reason={plan.reason} />
          <p class="hint">Choose a node in the drawing to see its part and the reason for it.</p>
        </>
      )}
    </>
  );
}

function WhyNode({ model, id }: { model: RunModel; id: SceneNode["id"] }) {
  const summary = model.summary.value;
  const scene = sceneOf(summary).find((node) => node.id === id);
  if (scene === undefined) return null;
  const rows = summary.plan === null ? [] : planRows(summary.plan, summary);
  const row = rows.find((candidate) => candidate.node === id);
  return (
    <>
      <div class="section-head">
        <h2 id="why">{scene.name}</h2>
        <button type="button" class="quiet" onClick={() => model.choose(id)}>
          Close
        </button>
      </div>
      <p>{holdsWords(scene, summary.segments)}</p>
      {scene.left !== null && <p class="bad-text">Left: {scene.left}.</p>}
      {row !== undefined && (
        <>
          <h3>Why</h3>
          <Sentences reason={row.reason} />
        </>
      )}
      <NodeFacts model={model} scene={scene} row={row} />
    </>
  );
}

function NodeFacts(props: { model: RunModel; scene: SceneNode; row: PlanRow | undefined }) {
  const { model, scene, row } = props;
  const node = model.summary.value.nodes.find((candidate) => candidate.node === scene.id);
  const newest = model.history.rounds.at(-1);
  const cost = newest?.nodes.find((candidate) => candidate.node === scene.id);
  const rates = achievedIn(newest).get(scene.id);
  const speed = (rate: number | null | undefined) => (rate == null ? unknown : formatRate(rate));
  if (node === undefined) return null;
  const duty = formatShare(node.dutyAsked);
  const achieved = node.dutyAchieved === null ? unknown : node.dutyAchieved.toFixed(3);
  const facts: Fact[] = [
    ["kind", node.kind === "device" ? "device" : `${node.kind} server`],
    ["duty", `${duty} of a core asked, ${achieved} achieved`],
  ];
  if (node.kind === "device") facts.push(["private samples", node.samples.toLocaleString("en")]);
  const straight = straightIn(newest).get(scene.id) ?? [];
  if (scene.allotted !== null) {
    facts.push(["link, allotted", formatRate(scene.allotted)]);
    // What nothing paces, straight links alone tell.
    if (straight.length === 0 || rates?.up != null || rates?.down != null) {
      facts.push(["link, achieved", `${speed(rates?.up)} up, ${speed(rates?.down)} down`]);
    }
  }
  facts.push(...straightFacts(straight, model));
  if (row !== undefined) {
    const { computeMs, transferMs, roundMs } = row;
    const parts = `${formatMs(computeMs)} computing, ${formatMs(transferMs)} transfer`;
    facts.push(["round, planned", `${formatMs(roundMs)}: ${parts}`]);
  }
  if (cost !== undefined) {
    facts.push(["computed in the last round", formatMs(cost.computeMs)]);
    if (newest !== undefined && cost.busyMs > 0) {
      facts.push(["waited in it", wholePercent(waitingMs(newest.ms, cost) / newest.ms)]);
    }
    if (cost.ahead !== null) facts.push(["batches under way in it", `at most ${cost.ahead}`]);
    const memory = cost.peakRssBytes === null ? unknown : formatBytes(cost.peakRssBytes);
    const limit = node.memoryBytes === null ? "no limit" : `of ${formatBytes(node.memoryBytes)}`;
    facts.push(["memory", `${memory}, ${limit}`]);
  }
  return <Facts facts={facts} />;
}

/** More straight links than this are shown together. */
const straightMax = 4;

/** What went past the coordinator in the last round, by neighbour. */
function straightFacts(links: readonly StraightLink[], { summary }: RunModel): Fact[] {
  if (links.length === 0) return [];
  if (links.length > straightMax) {
    const bytes = (of: (link: StraightLink) => number): string =>
      formatBytes(links.reduce((sum, link) => sum + of(link), 0));
    const sent = bytes((link) => link.sentBytes);
    const received = bytes((link) => link.receivedBytes);
    const text = `${counted(links.length, "node")}, ${sent} sent and ${received} received in the last round`;
    return [["straight links", text]];
  }
  const { nodes } = summary.value;
  const way = (bytes: number, rate: number | null): string =>
    rate === null ? formatBytes(bytes) : `${formatBytes(bytes)} at ${formatRate(rate)}`;
  return links.map((link): Fact => {
    const name = nodes.find(({ node }) => node === link.with)?.name ?? link.with;
    const sent = way(link.sentBytes, link.up);
    const received = way(link.receivedBytes, link.down);
    return [`straight to ${name}`, `${sent} sent, ${received} received in the last round`];
  });
}

function holdsWords(node: SceneNode, segments: readonly string[]): string {
  if (node.strips.length === 0) return "The plan gives it no segments to train.";
  const parts = node.strips.map(({ from, to, sources }) => {
    const names = to - from === 1 ? segments[from] : `${segments[from]} to ${segments[to - 1]}`;
    const whose = node.kind === "device" ? "" : ` for ${listed(sources, 3)}`;
    return `${segmentsWords(from, to, segments.length)} (${names})${whose}`;
  });
  if (parts.length === 1) return `Trains ${parts[0]}.`;
  return `Trains ${counted(parts.length, "part")} of the model: ${parts.join("; ")}.`;
}

const Sentences = ({ reason }: { reason: string }) => (
  <ul class="reasons">
    {sentencesOf(reason).map((sentence) => (
      <li key={sentence}>{sentence}</li>
    ))}
  </ul>
);
