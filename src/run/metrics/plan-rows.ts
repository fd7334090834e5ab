/** A plan as a table: what each chain's source keeps, which share of the link it has, and why. */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { ChainPlan, Plan } from "../../plan/plan.ts";
import type { RunSummary } from "./summary.ts";

/** One stage of a chain: segments [from, to) on a node. */
export interface PlacedStage {
  readonly node: NodeId;
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** A chain in a plan's table. */
export interface PlanRow {
  /** Name of the node where the chain begins. */
  readonly name: string;
  readonly node: NodeId;
  readonly duty: number;
  readonly samples: number;
  readonly stages: readonly PlacedStage[];
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
      return { node: copy.node, name: nameOf(copy.node), from: copy.from, to: copy.to };
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
      keeps: segments[(stages[0]?.to ?? 0) - 1] ?? "?",
      bytesPerMs: link === undefined ? null : (link.bytesPerMs ?? Number.POSITIVE_INFINITY),
      roundMs: forecast?.roundMs ?? Number.NaN,
      computeMs: forecast?.computeMs ?? Number.NaN,
      transferMs: forecast?.transferMs ?? Number.NaN,
      reason: forecast?.reason ?? "",
    };
  });
}
