/**
 * How often a chain's copies bring home what they have come to while a round goes on. A node that is lost takes with
 * it what has been trained since; bringing more often takes more of links and processors. Pure.
 */
import { groupBy } from "../base/group.ts";
import type { NodeId } from "../base/ids.ts";
import { borderBytes } from "./border-bytes.ts";
import { homeSums } from "./home-bytes.ts";
import { msFor } from "./pipeline-model.ts";
import type { CopyPlan, Plan, PlanRequest } from "./plan.ts";
import { between } from "./program-time.ts";

/** Reading a copy out of its engine and coding it: so many bytes in a millisecond, on a slow node. */
const readBytesPerMs = 100_000;

/** Nothing is gained by less: silence is taken for a loss after so long. */
const betweenMsMin = 10_000;

/** Of the time that a link is said to be idle, since rates change. */
const idleShare = 0.5;

type PlanLayout = Pick<Plan, "chains" | "groups" | "copies" | "links" | "forecasts">;
type InterimRequest = Pick<PlanRequest, "segments" | "homeBytes" | "fleet" | "accumulate">;

/**
 * Whether copies may bring home what they have come to before a round is over: where no two share tensors, so that a round may
 * end with any batch.
 */
export const mayEndEarly = ({ chains, groups }: Pick<Plan, "chains" | "groups">): boolean =>
  groups.every(({ members, exchange }) => members.length === 1 && exchange === undefined) &&
  chains.every(({ stages, phase }) => {
    return phase === undefined && stages.every(({ merge }) => merge === undefined);
  });

/**
 * Batches from one time to the next. What takes time of a node's processor or link costs least, with what is lost with a node, every
 * √(2 C M): C is what bringing takes, M the mean time until one of the nodes is lost (Young, "A first order approximation to the
 * optimum checkpoint interval", CACM 17(9), 1974). On a link it costs nothing as long as it leaves while the link would be idle,
 * so it may come as often as that.
 *
 * @param lossesPerMs of one node
 * @returns null where rounds are shorter
 */
export function interimBatches(
  plan: PlanLayout,
  request: InterimRequest,
  lossesPerMs: number,
): number | null {
  const [chain] = plan.chains;
  const [forecast] = plan.forecasts;
  if (chain === undefined || forecast === undefined || !mayEndEarly(plan)) return null;
  const periodMs = forecast.roundMs / chain.work;
  const nodes = [...groupBy(plan.copies, ({ node }) => node)];
  const lossMs = 1 / (nodes.length * lossesPerMs);
  const young = (costMs: number): number => Math.sqrt(2 * costMs * lossMs);
  const betweenMs = nodes.map(([node, copies]) => {
    const { bytes, linkMs, idle } = bringing(plan, request, { node, copies, periodMs });
    const freeMs = idle === 0 ? Number.POSITIVE_INFINITY : linkMs / idle;
    return Math.max(young(bytes / readBytesPerMs), Math.min(young(linkMs), freeMs));
  });
  const { accumulate } = request;
  const updates = Math.ceil(Math.max(betweenMsMin, ...betweenMs) / periodMs / accumulate);
  const batches = Math.max(1, updates) * accumulate;
  return batches < chain.work ? batches : null;
}

/** What a node brings, how long that holds its link, and the share of time for which the link would be idle. */
function bringing(
  { links }: PlanLayout,
  request: InterimRequest,
  at: { readonly node: NodeId; readonly copies: readonly CopyPlan[]; readonly periodMs: number },
): { bytes: number; linkMs: number; idle: number } {
  const { segments, fleet } = request;
  const known = fleet.nodes.find(({ id }) => id === at.node);
  const line = known?.lineBytesPerMs?.up ?? Number.POSITIVE_INFINITY;
  const home = known?.coordinatorBytesPerMs?.up ?? Number.POSITIVE_INFINITY;
  const sums = homeSums(request);
  const after = links.find((link) => link.from === at.node);
  const before = links.find((link) => link.to === at.node);
  let [bytes, outBytes] = [0, 0];
  for (const { from, to } of at.copies) {
    bytes += between(sums, from, to);
    if (to < segments.length && after !== undefined)
      outBytes += borderBytes(segments, after.codecUp).features[to] as number;
    if (from > 0 && before !== undefined)
      outBytes += borderBytes(segments, before.codecDown).gradients[from] as number;
  }
  const busy = Math.min(1, msFor(outBytes, line) / at.periodMs);
  return { bytes, linkMs: msFor(bytes, Math.min(line, home)), idle: idleShare * (1 - busy) };
}
