/** The part of a plan that concerns a node: what it is sent, so that a plan for ten thousand nodes travels once and not ten thousand times. */
import { present } from "../base/assert.ts";
import { groupBy } from "../base/group.ts";
import type { CopyId, NodeId } from "../base/ids.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { ChainPlan, CopyPlan, GroupPlan, Plan } from "./plan.ts";

/**
 * Divides a plan: the answer gives, for a node, the chains that pass through it with their
 * copies, links and limits, and what of each group is left. Each part is a plan of its own,
 * without chains where nothing passes through the node.
 */
export function partsOf(plan: Plan): (node: NodeId) => Plan {
  const copies = new Map(plan.copies.map((copy) => [copy.id as string, copy]));
  const limits = new Map(plan.limits.map((limit) => [limit.node, limit]));
  const forecasts = groupBy(plan.forecasts, ({ chain }) => chain);
  const links = groupBy(plan.links, ({ chain }) => chain);
  const chains = new Map<NodeId, ChainPlan[]>();
  const copiesOf = ({ stages }: ChainPlan): CopyPlan[] =>
    stages.map(({ copy }) => present(copies.get(copy), copy));
  for (const chain of plan.chains) {
    for (const node of new Set(copiesOf(chain).map((copy) => copy.node))) {
      const own = chains.get(node);
      if (own === undefined) chains.set(node, [chain]);
      else own.push(chain);
    }
  }
  const nodesOf = withNeighbours(plan, chains);
  const groups = new Map(plan.groups.flatMap((group) => group.members.map((id) => [id, group])));
  return (node) => {
    const own = nodesOf.get(node) ?? [];
    const held = [...new Set(own.flatMap(copiesOf))];
    const members = groupBy(held, ({ id }) => present(groups.get(id), id));
    const nodes = new Set(held.map((copy) => copy.node));
    return {
      ...plan,
      copies: held,
      chains: own,
      groups: [...members].map(([group, those]) => ({
        ...group,
        members: inOrder(group, those),
        ...edgesAt(group, new Set(those.flatMap((copy) => (copy.node === node ? [copy.id] : [])))),
      })),
      links: own.flatMap(({ id }) => links.get(id) ?? []),
      limits: [...nodes].flatMap((id) => limits.get(id) ?? []),
      forecasts: own.flatMap(({ id }) => forecasts.get(id) ?? []),
    };
  };
}

/** Members that are left of a group, in its order, which is that in which they are joined. */
function inOrder({ members }: GroupPlan, left: readonly CopyPlan[]): CopyId[] {
  const ids = new Set(left.map(({ id }) => id));
  return members.filter((id) => ids.has(id));
}

/** What is left of a group's exchange: what goes to and from these members. */
function edgesAt(
  { exchange }: GroupPlan,
  own: ReadonlySet<CopyId>,
): { readonly exchange?: ExchangePlan } {
  if (exchange === undefined) return {};
  const topology = exchange.topology.filter(({ from, to }) => own.has(from) || own.has(to));
  return { exchange: { ...exchange, topology } };
}

/** The chains that a node is concerned with: its own, and those with which they exchange. In plan order. */
function withNeighbours(
  plan: Plan,
  own: ReadonlyMap<NodeId, readonly ChainPlan[]>,
): ReadonlyMap<NodeId, readonly ChainPlan[]> {
  const edges = plan.groups.flatMap(({ exchange }) => exchange?.topology ?? []);
  if (edges.length === 0) return own;
  const chainOf = new Map(
    plan.chains.flatMap((chain) => chain.stages.map(({ copy }) => [copy, chain] as const)),
  );
  const nodeOf = new Map(plan.copies.map(({ id, node }) => [id, node]));
  const concerned = new Map([...own].map(([node, chains]) => [node, new Set(chains)]));
  for (const { from, to } of edges) {
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      concerned.get(present(nodeOf.get(a), a))?.add(present(chainOf.get(b), b));
    }
  }
  const place = new Map(plan.chains.map((chain, i) => [chain, i]));
  const inPlan = (a: ChainPlan, b: ChainPlan): number => (place.get(a) ?? 0) - (place.get(b) ?? 0);
  return new Map([...concerned].map(([node, chains]) => [node, [...chains].sort(inPlan)]));
}
