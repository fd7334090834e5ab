/**
 * Between which nodes a planner may put borders, beyond those of the plan in force: the ways
 * between all of them are worth knowing. Where a planner chooses which servers form a chain, these are
 * the one who holds the data and the servers; elsewhere borders follow from who is there.
 */
import type { NodeId } from "../../base/ids.ts";
import { serversMax } from "../../plan/pipeline.ts";
import type { Plan } from "../../plan/plan.ts";
import type { PlannerName } from "../../plan/planners.ts";
import type { Job } from "../job.ts";
import { bordersOf } from "./introductions.ts";
import type { WatchedLeg } from "./survey.ts";

/** Planners that choose among the servers. */
const choosing: ReadonlySet<string> = new Set<PlannerName>(["pipeline", "feature-replay"]);

/**
 * Whether a planner chooses among nodes: then somebody who comes need not have a part in the next plan, and plans
 * change at any moment. Others take in everybody, and change between rounds.
 */
export const isChoosing = (planner: string): boolean => choosing.has(planner);

/**
 * What is to be kept known of the ways between candidates: each way straight where the two have been
 * introduced, elsewhere the links of both to the coordinator.
 */
export function legsAmong(
  nodes: readonly NodeId[],
  plan: Plan,
  isIntroduced: (a: NodeId, b: NodeId) => boolean,
): WatchedLeg[] {
  const pairs = bordersOf(plan);
  // Who trains alone has a link that only weights pass, now and then.
  const used = new Set(pairs.flat());
  const borders = new Set(pairs.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
  const legs = new Map<string, WatchedLeg>();
  const add = (from: NodeId | null, to: NodeId | null, isUsed: boolean): void => {
    legs.set(`${from} ${to}`, { from, to, isUsed });
  };
  for (const [i, a] of nodes.entries()) {
    for (const b of nodes.slice(i + 1)) {
      if (isIntroduced(a, b)) {
        const isUsed = borders.has(`${a} ${b}`);
        add(a, b, isUsed);
        add(b, a, isUsed);
        continue;
      }
      for (const node of [a, b]) {
        add(node, null, used.has(node));
        add(null, node, used.has(node));
      }
    }
  }
  return [...legs.values()];
}

/** So many blocks tell a server's speed well enough to choose among servers (see docs/pipeline.md). */
const coarseBlockCount = 4;

/**
 * On how many coarse blocks a worker is probed; null for segment by segment, as where there are few servers to
 * choose from, and on devices where the job wants it so. A cut is chosen again and again by how long single segments
 * take, and a guess that is off for one cut makes others look better than they are.
 */
export const blocksFor = (
  { planner, pipeline }: Pick<Job, "planner" | "pipeline">,
  kind: CandidateNode["kind"],
): number | null =>
  planner !== "pipeline" || (kind === "device" && pipeline.probe === "segments")
    ? null
    : coarseBlockCount;

/** All that counts of a node. */
export interface CandidateNode {
  readonly id: NodeId;
  readonly kind: "device" | "edge" | "cloud";
  readonly samples: number;
  readonly latencyMs: number;
}

/**
 * Those among whom ways are worth knowing, the source first; nobody where the planner has no choice.
 * They are no more than the planner chooses among: every pair of them is introduced and measured.
 * @param used nodes of the plan in force: they stay candidates however many others there are
 */
export function candidates<N extends CandidateNode>(
  planner: string,
  nodes: readonly N[],
  used: ReadonlySet<NodeId>,
): N[] {
  const sources = nodes.filter(({ samples }) => samples > 0);
  // Who plans such chains asks for one source; without it there will be no plan.
  if (!choosing.has(planner) || sources.length !== 1) return [];
  const rank = ({ id, latencyMs }: N): number => (used.has(id) ? -1 : latencyMs);
  const servers = nodes
    .filter(({ kind, samples }) => kind !== "device" && samples === 0)
    .sort((a, b) => rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
  return [...sources, ...servers.slice(0, serversMax)];
}
