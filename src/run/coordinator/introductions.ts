/**
 * Who is introduced to whom: the two nodes of a border between stages, where one of them
 * can be reached and the other one can dial. What they know each other by is drawn anew for each
 * pair and plan, so nobody can use what was meant for another pair, or for an earlier plan.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { exchangePairs } from "../../plan/exchange-members.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Hello, Introduction } from "../wire/messages.ts";

/** All that counts of a member. */
export type Reachability = Pick<Hello, "address" | "dials" | "machine">;

/**
 * Introduces the neighbours of a plan. Pure but for the secrets.
 * @param memberOf what a node has said of itself; undefined where it is not there
 * @param drawSecret gives a text that nobody can guess, another one each time
 * @param among nodes that are introduced to each other whether they are neighbours or not
 * @returns for each node whom it is introduced to
 */
export function introductions(
  plan: Plan,
  memberOf: (node: NodeId) => Reachability | undefined,
  drawSecret: () => string,
  among: readonly NodeId[] = [],
): ReadonlyMap<NodeId, readonly Introduction[]> {
  const made = new Map<NodeId, Introduction[]>();
  const tell = (node: NodeId, introduction: Introduction): void => {
    const known = made.get(node);
    if (known === undefined) made.set(node, [introduction]);
    else known.push(introduction);
  };
  for (const [before, after] of pairsOf(plan, among)) {
    const ways = [
      { dialler: before, listener: after },
      { dialler: after, listener: before },
    ];
    const way = ways.find((one) => canDial(memberOf(one.dialler), memberOf(one.listener)));
    if (way === undefined) continue;
    const { dialler, listener } = way;
    const secret = drawSecret();
    const address = memberOf(listener)?.address ?? null;
    tell(dialler, { node: listener, secret, address });
    tell(listener, { node: dialler, secret, address: null });
  }
  return made;
}

/** Whether one of two nodes can dial the other one. */
export const canMeet = (a: Reachability, b: Reachability): boolean =>
  canDial(a, b) || canDial(b, a);

/** An address without a fingerprint is good on its own machine alone, where nothing is encrypted. */
function canDial(dialler: Reachability | undefined, listener: Reachability | undefined): boolean {
  if (dialler === undefined || listener === undefined) return false;
  if (!dialler.dials || listener.address === null) return false;
  return listener.address.fingerprint !== null || dialler.machine === listener.machine;
}

/** Neighbours first, and every other pair of those who may become some. */
function pairsOf(plan: Plan, among: readonly NodeId[]): (readonly [NodeId, NodeId])[] {
  const pairs = bordersOf(plan);
  const known = new Set(pairs.flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]));
  const others = among.flatMap((a, i) => among.slice(i + 1).map((b) => [a, b] as const));
  return [...pairs, ...others.filter(([a, b]) => !known.has(`${a} ${b}`))];
}

/** Pairs of nodes with a border or an exchange between them, each once: the stage before, the stage after. */
export function bordersOf({
  copies,
  chains,
  groups,
}: Pick<Plan, "copies" | "chains" | "groups">): (readonly [NodeId, NodeId])[] {
  const nodeOf = new Map(copies.map(({ id, node }) => [id, node]));
  const pairs = new Map<string, readonly [NodeId, NodeId]>();
  for (const pair of exchangePairs({ copies, groups })) pairs.set([...pair].sort().join(" "), pair);
  for (const { stages } of chains) {
    const nodes = stages.map(({ copy }) => present(nodeOf.get(copy), copy));
    nodes.slice(1).forEach((after, i) => {
      const before = present(nodes[i], "a stage before");
      const key = [before, after].sort().join(" ");
      if (before !== after && !pairs.has(key)) pairs.set(key, [before, after]);
    });
  }
  return [...pairs.values()];
}
