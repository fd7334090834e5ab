/**
 * The part of a plan that one node has to know: the chains that pass through it, whole,
 * with their copies, links, groups and limits. A plan grows with the fleet; what a device is
 * told does not, and it learns nothing of devices that it has nothing to do with.
 */
import type { ChainId, CopyId, NodeId } from "../base/ids.ts";
import type { ChainPlan, Plan } from "./plan.ts";

/**
 * Sorts a plan by node, once for all of them.
 * @returns the plan as a node is to see it: a plan in itself. A node without a chain sees all of it
 */
export function planParts(plan: Plan): (node: NodeId) => Plan {
  const nodeOf = new Map(plan.copies.map(({ id, node }) => [id, node]));
  const chainOf = new Map<CopyId, ChainId>();
  const chainsOf = new Map<NodeId, Set<ChainPlan>>();
  for (const chain of plan.chains) {
    for (const { copy } of chain.stages) {
      chainOf.set(copy, chain.id);
      const node = nodeOf.get(copy);
      if (node !== undefined) add(chainsOf, node, chain);
    }
  }
  const byChain = {
    copies: groupBy(plan.copies, ({ id }) => chainOf.get(id)),
    links: groupBy(plan.links, ({ chain }) => chain),
    forecasts: groupBy(plan.forecasts, ({ chain }) => chain),
  };
  const groupOf = new Map<CopyId, number>();
  plan.groups.forEach(({ members }, i) => {
    for (const member of members) groupOf.set(member, i);
  });
  const limits = groupBy(plan.limits, ({ node }) => node);
  return (node) => {
    const chains = chainsOf.get(node);
    if (chains === undefined || chains.size === plan.chains.length) return plan;
    const inChains = <T>(parts: ReadonlyMap<ChainId | undefined, readonly T[]>): T[] =>
      [...chains].flatMap(({ id }) => parts.get(id) ?? []);
    const copies = inChains(byChain.copies);
    const members = groupBy(
      copies.map(({ id }) => id),
      (id) => groupOf.get(id),
    );
    return {
      ...plan,
      copies,
      chains: [...chains],
      groups: plan.groups.flatMap((group, i) => {
        const own = members.get(i);
        return own === undefined ? [] : { ...group, members: own };
      }),
      links: inChains(byChain.links),
      limits: [...new Set(copies.map((copy) => copy.node))].flatMap((who) => limits.get(who) ?? []),
      forecasts: inChains(byChain.forecasts),
    };
  };
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function add<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}
