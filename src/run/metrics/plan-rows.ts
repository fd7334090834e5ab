/** A plan as a table: what each chain's source keeps, which share of the link it has, and why. */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { ChainPlan, LinkPlan, Plan, ScheduleKind } from "../../plan/plan.ts";
import type { RunSummary } from "./summary.ts";

/** One stage of a chain: segments [from, to) on a node. */
export interface PlacedStage {
  readonly node: NodeId;
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Names of its first and last segment. */
  readonly first: string;
  readonly last: string;
  /** Share of one core that the node may use. */
  readonly duty: number;
  /** Share of the link to the stage after, as for a row; null for the last stage. */
  readonly bytesPerMs: number | null;
}

/** A chain in a plan's table. */
export interface PlanRow {
  /** Name of the node where the chain begins. */
  readonly name: string;
  readonly node: NodeId;
  readonly duty: number;
  readonly samples: number;
  readonly stages: readonly PlacedStage[];
  readonly schedule: ScheduleKind;
  /** Batches that may be under way beside the first: the staleness bound of the schedule `window`. */
  readonly window: number;
  /** Name of the last segment that the source keeps. */
  readonly keeps: string;
  /** Share of the link in bytes per millisecond, infinite where nothing limits it; null without a link. */
  readonly bytesPerMs: number | null;
  /** What the planner expects of a round. */
  readonly roundMs: number;
  readonly computeMs: number;
  readonly transferMs: number;
  readonly reason: string;
}

/** A row for each chain, in the plan's order. */
export function planRows(
  plan: Plan,
  { nodes, segments }: Pick<RunSummary, "nodes" | "segments">,
): PlanRow[] {
  const nameOf = (node: NodeId): string => nodes.find((other) => other.node === node)?.name ?? node;
  const stagesOf = (chain: ChainPlan): PlacedStage[] =>
    chain.stages.map(({ copy: id }) => {
      const copy = present(
        plan.copies.find((candidate) => candidate.id === id),
        id,
      );
      const { node, from, to } = copy;
      const own = nodes.find((candidate) => candidate.node === node);
      const link = plan.links.find((other) => other.chain === chain.id && other.from === node);
      return {
        ...{ node, name: nameOf(node), from, to, duty: own?.dutyAsked ?? 1 },
        first: segments[from] ?? "?",
        last: segments[to - 1] ?? "?",
        bytesPerMs: shareOf(link),
      };
    });
  return plan.chains.map((chain) => {
    const node = nodes.find((candidate) => candidate.node === chain.source);
    const link = plan.links.find((candidate) => candidate.chain === chain.id);
    const forecast = plan.forecasts.find((candidate) => candidate.chain === chain.id);
    const stages = stagesOf(chain);
    return {
      name: nameOf(chain.source),
      node: chain.source,
      duty: node?.dutyAsked ?? 1,
      samples: node?.samples ?? 0,
      stages,
      schedule: chain.schedule,
      window: chain.window,
      keeps: segments[(stages[0]?.to ?? 0) - 1] ?? "?",
      bytesPerMs: shareOf(link),
      roundMs: forecast?.roundMs ?? Number.NaN,
      computeMs: forecast?.computeMs ?? Number.NaN,
      transferMs: forecast?.transferMs ?? Number.NaN,
      reason: forecast?.reason ?? "",
    };
  });
}

/** Infinite where nothing limits a link; null without one. */
const shareOf = (link: LinkPlan | undefined): number | null =>
  link === undefined ? null : (link.bytesPerMs ?? Number.POSITIVE_INFINITY);
