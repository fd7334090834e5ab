/** Who exchanges with whom under a plan: what coordinator and workers look up in it. */
import type { ChainId, CopyId } from "../base/ids.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { CopyPlan, Plan } from "./plan.ts";

/** The member that a chain of one stage trains; its exchange, where it has one. */
export function exchangeOf({ groups }: Pick<Plan, "groups">, copy: CopyId): ExchangePlan | null {
  return groups.find(({ members }) => members.includes(copy))?.exchange ?? null;
}

/** Chains with an exchange in common with a chain, itself included; it alone where it has none. */
export function exchangingWith({ chains, groups }: Plan, chain: ChainId): ChainId[] {
  const own = chains.find(({ id }) => id === chain)?.stages[0]?.copy;
  const group = groups.find(
    ({ when, members }) => when === "step" && members.includes(own as CopyId),
  );
  if (group === undefined) return [chain];
  const members = new Set(group.members);
  return chains
    .filter(({ stages }) => stages.some(({ copy }) => members.has(copy)))
    .map(({ id }) => id);
}

/** Members that end each round with the same weights as a copy, itself included, in the plan's order; it alone elsewhere. */
export function alikeWith({ groups }: Pick<Plan, "groups">, copy: CopyId): readonly CopyId[] {
  const group = groups.find(({ members }) => members.includes(copy));
  return group?.exchange?.home === "first" ? group.members : [copy];
}

/** Whether members go on without a coordinator: they need nobody else to come to the same. */
export const goesOnAlone = ({ groups, chains }: Pick<Plan, "groups" | "chains">): boolean =>
  groups.length === 1 && groups[0]?.exchange?.home === "first" && chains.length > 1;

/** Whether a chain's source may send its part of an exchange to a node; or ask it, as one that sends to it does. */
export function mayExchange(
  { chains, copies, groups }: Plan,
  { chain, from, to }: { readonly chain: string; readonly from: string; readonly to: string },
  isAsking = false,
): boolean {
  const own = chains.find(({ id }) => id === chain);
  const copy = own?.stages[0]?.copy;
  const topology = groups.find(({ members }) => members.includes(copy as CopyId))?.exchange
    ?.topology;
  if (own?.source !== from || topology === undefined) return false;
  const nodeOf = new Map(copies.map(({ id, node }) => [id, node]));
  return topology.some((edge) => {
    const [own, other] = isAsking ? [edge.to, edge.from] : [edge.from, edge.to];
    return own === copy && nodeOf.get(other) === to;
  });
}

/** Nodes between which something is exchanged, each pair once. */
export function exchangePairs({ groups, copies }: Pick<Plan, "groups" | "copies">) {
  const nodeOf = new Map(copies.map(({ id, node }) => [id, node]));
  const pairs = new Map<string, readonly [CopyPlan["node"], CopyPlan["node"]]>();
  for (const { exchange } of groups) {
    for (const { from, to } of exchange?.topology ?? []) {
      const [a, b] = [nodeOf.get(from), nodeOf.get(to)];
      if (a === undefined || b === undefined) continue;
      const key = [a, b].sort().join(" ");
      if (!pairs.has(key)) pairs.set(key, [a, b]);
    }
  }
  return [...pairs.values()];
}
