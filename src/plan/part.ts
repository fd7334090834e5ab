/** The part of a plan that concerns a node: what it is sent, so that a plan for ten thousand nodes travels once and not ten thousand times. */
import { present } from "../base/assert.ts";
import type { NodeId } from "../base/ids.ts";
import type { ChainPlan, CopyPlan, Plan } from "./plan.ts";

/**
 * Divides a plan: the answer gives, for a node, the chains that pass through it with their
 * copies, links and limits, and what of each group is left. Each part is a plan of its own,
 * without chains where nothing passes through the node.
 */
export function partsOf(plan: Plan): (node: NodeId) => Plan {
  const copies = new Map(plan.copies.map((copy) => [copy.id as string, copy]));
  const limits = new Map(plan.limits.map((limit) => [limit.node, limit]));
  const forecasts = byKey(plan.forecasts, ({ chain }) => chain);
  const links = byKey(plan.links, ({ chain }) => chain);
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
  const groups = new Map(plan.groups.flatMap((group) => group.members.map((id) => [id, group])));
  return (node) => {
    const own = chains.get(node) ?? [];
    const held = [...new Set(own.flatMap(copiesOf))];
    const members = byKey(held, ({ id }) => present(groups.get(id), id));
    const nodes = new Set(held.map((copy) => copy.node));
    return {
      ...plan,
      copies: held,
      chains: own,
      groups: [...members].map(([group, those]) => ({
        ...group,
        members: those.map(({ id }) => id),
      })),
      links: own.flatMap(({ id }) => links.get(id) ?? []),
      limits: [...nodes].flatMap((id) => limits.get(id) ?? []),
      forecasts: own.flatMap(({ id }) => forecasts.get(id) ?? []),
    };
  };
}

function byKey<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
