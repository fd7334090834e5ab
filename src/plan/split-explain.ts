/**
 * What would change a round of parallel split learning, and by how much: the same fleet planned anew
 * with one thing different. So each answer is a plan's forecast and no rule of thumb, and says what is
 * left to gain when the next thing decides.
 */
import type { NodeId } from "../base/ids.ts";
import { formatBytes, formatMs } from "../base/units.ts";
import { firstCut } from "./check-request.ts";
import { harmlessCodecs } from "./feature-replay.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { FleetNode, Plan, PlanRequest, SplitChoice } from "./plan.ts";
import { scaledProfile } from "./program-time.ts";
import { copyBytes } from "./server-copies.ts";

/** A question with what the fleet's plan would come to. */
export interface SplitAnswer {
  readonly question: string;
  readonly answer: string;
  /** The round that it would be; null where there would be no plan. */
  readonly roundMs: number | null;
}

/** Devices that are each tried at twice their speed; of more, those that the plan has done last. */
const triedMax = 24;
/** A change of less than this share of a round is none. */
const noticed = 0.005;

/**
 * Answers what twice the bandwidth and a faster server would buy, which device decides the round, and
 * what the privacy floor costs.
 * @throws PlanError as `parallelSplit` does for the fleet as it is
 */
export function explainSplit(request: PlanRequest): SplitAnswer[] {
  const plan = parallelSplit(request);
  return [
    bandwidth(request, plan),
    server(request, plan),
    decider(request, plan),
    ...serverCopies(request, plan),
    ...labels(request, plan),
    ...codecs(request, plan),
    ...floor(request, plan),
  ];
}

const roundOf = ({ forecasts }: Plan): number => Math.max(...forecasts.map((one) => one.roundMs));

/** The plan for another request; null where there is none. */
function planFor(request: PlanRequest): Plan | null {
  try {
    return parallelSplit(request);
  } catch {
    return null;
  }
}

/** The round of another request; null where it has no plan. */
function replanned(request: PlanRequest): number | null {
  const plan = planFor(request);
  return plan === null ? null : roundOf(plan);
}

/** Nodes that train for others. */
function serversOf({ copies, chains }: Plan): ReadonlySet<NodeId> {
  const sources = new Set(chains.map(({ source }) => source));
  return new Set(copies.flatMap(({ node }) => (sources.has(node) ? [] : [node])));
}

const withSplit = (request: PlanRequest, split: SplitChoice): PlanRequest => ({
  ...request,
  split: { ...request.split, ...split },
});

function bandwidth(request: PlanRequest, plan: Plan): SplitAnswer {
  const question = "What would twice the bandwidth buy?";
  const twice = (rate: number | null): number | null => (rate === null ? null : 2 * rate);
  const { fleet } = request;
  const { cellDownBytesPerMs } = fleet;
  const roundMs = replanned({
    ...request,
    fleet: {
      ...fleet,
      cellBytesPerMs: twice(fleet.cellBytesPerMs),
      ...(cellDownBytesPerMs === undefined
        ? {}
        : { cellDownBytesPerMs: twice(cellDownBytesPerMs) }),
      nodes: fleet.nodes.map((node) => ({
        ...node,
        ceilingBytesPerMs: twice(node.ceilingBytesPerMs),
        ...(node.ceilingDownBytesPerMs === undefined
          ? {}
          : { ceilingDownBytesPerMs: twice(node.ceilingDownBytesPerMs) }),
      })),
    },
  });
  return { question, answer: gain(plan, roundMs, "computing decides the round"), roundMs };
}

function server(request: PlanRequest, plan: Plan): SplitAnswer {
  const servers = serversOf(plan);
  const roundMs = replanned(
    withNodes(request, (node) => (servers.has(node.id) ? twiceAsFast(node) : node)),
  );
  return {
    question: "What would a server of twice the speed buy?",
    answer: gain(plan, roundMs, "it has time to spare"),
    roundMs,
  };
}

function decider(request: PlanRequest, plan: Plan): SplitAnswer {
  const question = "Which device decides the round?";
  const last = plan.forecasts
    .map(({ roundMs }, i) => ({ source: plan.chains[i]?.source, roundMs }))
    .sort((a, b) => b.roundMs - a.roundMs)
    .slice(0, triedMax);
  let best: { readonly name: string; readonly roundMs: number } | null = null;
  for (const { source } of last) {
    const roundMs = replanned(
      withNodes(request, (node) => (node.id === source ? twiceAsFast(node) : node)),
    );
    const name = request.fleet.nodes.find(({ id }) => id === source)?.name ?? "";
    if (roundMs !== null && roundMs < (best?.roundMs ?? Infinity)) best = { name, roundMs };
  }
  const nowMs = roundOf(plan);
  if (best === null || best.roundMs > nowMs * (1 - noticed)) {
    const answer =
      "none alone: twice the speed of any one of them would change it by less than 1 %";
    return { question, answer, roundMs: nowMs };
  }
  const answer = `${best.name}: at twice its speed a round would take ${formatMs(best.roundMs)} instead of ${formatMs(nowMs)}`;
  return { question, answer, roundMs: best.roundMs };
}

/** What servers train with, as planned and the other way, in memory and in time. */
function serverCopies(request: PlanRequest, plan: Plan): SplitAnswer[] {
  const isShared = request.split?.serverCopies === "shared";
  const others = isShared ? ("each" as const) : ("shared" as const);
  const servers = serversOf(plan);
  // Chains that end on devices cannot share.
  if (request.split?.labels === "at-home" || servers.size === 0) return [];
  const other = planFor(withSplit(request, { serverCopies: others }));
  const cost = (own: Plan): string => {
    const copies = own.copies.filter(({ node }) => servers.has(node));
    const bytes = copies.reduce((sum, copy) => sum + copyBytes(request, copy), 0);
    return `${formatBytes(bytes)} of the server's memory and a round of ${formatMs(roundOf(own))}`;
  };
  const words = { each: "one for each device", shared: "one that all devices share" };
  const now = isShared ? words.shared : words.each;
  const then = other === null ? "there would be no plan" : cost(other);
  return [
    {
      question: "What do the server's copies cost?",
      answer: `${now}: ${cost(plan)}; ${words[others]}: ${then}`,
      roundMs: other === null ? null : roundOf(other),
    },
  ];
}

/** What it costs that labels never leave devices, or would cost. */
function labels(request: PlanRequest, plan: Plan): SplitAnswer[] {
  if (request.split?.serverCopies === "shared") return [];
  const nowMs = roundOf(plan);
  if (request.split?.labels === "at-home") {
    const roundMs = replanned(withSplit(request, { labels: "at-server" }));
    const more = roundMs === null ? 0 : nowMs / roundMs - 1;
    const answer = `${percent(more)}: with labels at the server a round would take ${formatMs(roundMs ?? Number.NaN)}`;
    return [{ question: "What do labels at home cost?", answer, roundMs }];
  }
  const roundMs = replanned(withSplit(request, { labels: "at-home" }));
  const answer =
    roundMs === null
      ? "there would be no plan: the model, memory or energy does not allow it"
      : `${percent(roundMs / nowMs - 1)}: a round of ${formatMs(roundMs)}`;
  return [{ question: "What would labels at home cost?", answer, roundMs }];
}

/** What codecs would buy that have cost no accuracy so far. */
function codecs(request: PlanRequest, plan: Plan): SplitAnswer[] {
  if (request.split?.up || request.split?.down) return [];
  const wish = { up: harmlessCodecs, down: harmlessCodecs };
  const roundMs = replanned(withSplit(request, wish));
  const question = "What would codecs buy, chosen for each link?";
  return [{ question, answer: gain(plan, roundMs, "nothing that travels decides"), roundMs }];
}

/** What the floor costs that the request has, and what others would. */
function floor(request: PlanRequest, plan: Plan): SplitAnswer[] {
  const first = firstCut(request.segments);
  if (first === null) return [];
  const nowMs = roundOf(plan);
  const asked = Math.max(first, request.split?.cutMin ?? first);
  const withFloor = (cutMin: number): PlanRequest => withSplit(request, { cutMin });
  const answers: SplitAnswer[] = [];
  const question = "What does the privacy floor cost?";
  if (asked > first) {
    const roundMs = replanned(withFloor(first));
    const more = roundMs === null ? 0 : nowMs / roundMs - 1;
    const answer =
      `devices keep ${asked} segments at least, which costs ${percent(more)}: without it a round ` +
      `would take ${formatMs(roundMs ?? Number.NaN)} instead of ${formatMs(nowMs)}`;
    answers.push({ question, answer, roundMs });
  } else {
    const answer = `nothing: devices keep ${first === 1 ? "the first segment" : `${first} segments`} at least, so that raw data stay at home`;
    answers.push({ question, answer, roundMs: nowMs });
  }
  const last = request.segments.length - 1;
  for (const share of [0.25, 0.5, 0.75]) {
    const cutMin = Math.round(share * last);
    if (cutMin <= asked) continue;
    const roundMs = replanned(withFloor(cutMin));
    answers.push({
      question: `What would a floor of ${cutMin} segments cost?`,
      answer:
        roundMs === null
          ? "there would be no plan: some device's memory or energy does not allow it"
          : `${percent(roundMs / nowMs - 1)}: a round of ${formatMs(roundMs)}`,
      roundMs,
    });
  }
  return answers;
}

function gain(plan: Plan, roundMs: number | null, otherwise: string): string {
  const nowMs = roundOf(plan);
  if (roundMs === null || roundMs > nowMs * (1 - noticed)) return `nothing: ${otherwise}`;
  return `${percent(1 - roundMs / nowMs)} of a round: ${formatMs(roundMs)} instead of ${formatMs(nowMs)}`;
}

const percent = (share: number): string =>
  Math.abs(share) < noticed ? "nothing" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

const twiceAsFast = (node: FleetNode): FleetNode => ({
  ...node,
  profile: scaledProfile(node.profile, (ms) => ms / 2),
});

const withNodes = (request: PlanRequest, change: (node: FleetNode) => FleetNode): PlanRequest => ({
  ...request,
  fleet: { ...request.fleet, nodes: request.fleet.nodes.map(change) },
});
