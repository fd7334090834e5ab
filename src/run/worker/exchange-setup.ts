/** The exchange of a lone stage with its neighbours, fixed for a term: who sends what to whom, and what joins in which order. */
import { present } from "../../base/assert.ts";
import type { CopyId, NodeId } from "../../base/ids.ts";
import { batchesToUpdate, type ExchangePlan } from "../../plan/exchange.ts";
import { alikeWith, exchangeOf } from "../../plan/exchange-members.ts";
import type { ChainPlan, CopyPlan, Plan } from "../../plan/plan.ts";
import { type ExchangeTime, exchangeTimes } from "../../sync/streaming.ts";
import type { Pace } from "./stint.ts";

/** Another member of the exchange. */
export interface ExchangeNeighbour {
  readonly chain: string;
  /** Its place among the members of the exchange, as far as the node knows them. */
  readonly place: number;
  readonly node: NodeId;
  /** Batches that it sums up to an update. */
  readonly microBatches: number;
}

export interface ExchangeSetup {
  readonly plan: ExchangePlan;
  readonly microBatches: number;
  /** Batches to an update of its own. */
  readonly toUpdate: number;
  /** Updates of its own to one of the plan's, by which exchanges are timed. */
  readonly ownUpdates: number;
  /** How long it computes from one exchange to the next; null where it takes as many batches as planned. */
  readonly pace: Pace | null;
  /** When changes of weights are exchanged, of which entries; empty where gradients are. */
  readonly times: readonly ExchangeTime[];
  /** Messages of each neighbour in a round: two to an exchange where each joins a slice for all. */
  readonly exchanges: number;
  /** Who is sent something, and how much at most. */
  readonly outgoing: readonly (ExchangeNeighbour & { readonly bytes: number | null })[];
  /** Who sends, in the order of the plan's members. */
  readonly incoming: readonly ExchangeNeighbour[];
  /** Where among those the stage itself comes, and its place among all members. */
  readonly position: number;
  readonly place: number;
  /** Chains before its own, of members that end each round with the same weights as it does. */
  readonly alikeBefore: readonly string[];
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
    const place = members.indexOf(copy);
    return { chain: other.id, place, node: other.source, microBatches: other.microBatches ?? 1 };
  };
  const { topology, every, computeMs } = exchange;
  const toUpdate = batchesToUpdate(exchange, microBatches);
  const updates = work / microBatches;
  const times = every === 1 ? [] : exchangeTimes(exchange, updates);
  const senders = new Set(topology.flatMap(({ from, to }) => (to === own.id ? [from] : [])));
  const incoming = members.filter((member) => senders.has(member)).map(neighbourOf);
  const joint = incoming.reduce((sum, other) => sum + other.microBatches, microBatches);
  const pace =
    computeMs === undefined ? null : { ms: computeMs, updates: (every * joint) / toUpdate };
  const before = members.slice(0, members.indexOf(own.id));
  const alike = new Set(alikeWith(plan, own.id));
  return {
    plan: exchange,
    microBatches,
    ...{ toUpdate, ownUpdates: microBatches / toUpdate, times, pace },
    exchanges: (every === 1 ? updates : times.length) * (exchange.reduce === "scatter" ? 2 : 1),
    outgoing: topology
      .filter(({ from }) => from === own.id)
      .map(({ to, bytes }) => ({ ...neighbourOf(to), bytes })),
    incoming,
    place: members.indexOf(own.id),
    position: before.filter((member) => senders.has(member)).length,
    alikeBefore: before
      .filter((member) => alike.has(member))
      .map((copy) => neighbourOf(copy).chain),
  };
}
