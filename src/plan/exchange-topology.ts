/**
 * Who exchanges with whom. Few members all do, so that each update is everybody's. Of many, each sends to those 1, 2,
 * 4, ... places on in the plan's order: about log2 of their number, so that what a member sends stays bounded,
 * and what one knows has reached all others after as many exchanges (the exponential graph of Ying et al.,
 * "Exponential graph is provably efficient for decentralized deep training", 2021).
 */
import type { CopyId } from "../base/ids.ts";

/** As many members as this still send to all others. */
const meshMax = 8;

/** Ordered pairs of members, and what it is in words. */
export function exchangeTopology(members: readonly CopyId[]): {
  readonly pairs: readonly (readonly [from: CopyId, to: CopyId])[];
  readonly text: string;
} {
  const count = members.length;
  const isMesh = count <= meshMax;
  const hops: number[] = [];
  for (let hop = 1; hop < count; hop = isMesh ? hop + 1 : 2 * hop) hops.push(hop);
  const pairs = members.flatMap((from, i) =>
    hops.map((hop) => [from, members[(i + hop) % count] as CopyId] as const),
  );
  const text = isMesh ? "everybody with everybody" : `each with ${hops.length} of the ${count}`;
  return { pairs, text };
}
