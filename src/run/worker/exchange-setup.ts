/** The exchange of a lone stage with its neighbours, fixed for a term: who sends what to whom, and what joins in which order. */
import { present } from "../../base/assert.ts";
import type { CopyId, NodeId } from "../../base/ids.ts";
import type { ExchangePlan } from "../../plan/exchange.ts";
import { exchangeOf } from "../../plan/exchange-members.ts";
import type { ChainPlan, CopyPlan, Plan } from "../../plan/plan.ts";

/** Another member of the exchange. */
export interface ExchangeNeighbour {
  readonly chain: string;
  readonly node: NodeId;
  /** Batches that it sums up to an update. */
  readonly microBatches: number;
}

export interface ExchangeSetup {
  readonly plan: ExchangePlan;
  readonly microBatches: number;
  /** Exchanges to a round. */
  readonly exchanges: number;
  /** Who is sent something, and how much at most. */
  readonly outgoing: readonly (ExchangeNeighbour & { readonly bytes: number | null })[];
  /** Who sends, in the order of the plan's members. */
  readonly incoming: readonly ExchangeNeighbour[];
  /** Where among those the stage itself comes. */
  readonly position: number;
}

/** Null where the chain exchanges nothing. */
export function exchangeSetup(plan: Plan, chain: ChainPlan, own: CopyPlan): ExchangeSetup | null {
  const exchange = exchangeOf(plan, own.id);
  if (exchange === null) return null;
  const members = present(
    plan.groups.find((group) => group.members.includes(own.id)),
    "its group",
  ).members;
  const { microBatches = 1, work } = chain;
  const neighbourOf = (copy: CopyId): ExchangeNeighbour => {
    const other = present(
      plan.chains.find(({ stages }) => stages.some((stage) => stage.copy === copy)),
      copy,
    );
    return { chain: other.id, node: other.source, microBatches: other.microBatches ?? 1 };
  };
  const { topology, every } = exchange;
  const senders = new Set(topology.flatMap(({ from, to }) => (to === own.id ? [from] : [])));
  const before = members.slice(0, members.indexOf(own.id));
  return {
    plan: exchange,
    microBatches,
    exchanges: work / microBatches / every,
    outgoing: topology
      .filter(({ from }) => from === own.id)
      .map(({ to, bytes }) => ({ ...neighbourOf(to), bytes })),
    incoming: members.filter((member) => senders.has(member)).map(neighbourOf),
    position: before.filter((member) => senders.has(member)).length,
  };
}
