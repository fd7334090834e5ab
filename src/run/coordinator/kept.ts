/** What nodes have of copies from one round to the next, and what they lack for the next plan. Pure. */
import type { CopyId, NodeId } from "../../base/ids.ts";
import { type MovedKind, renewedKinds } from "../../plan/exchange.ts";
import { exchangeOf } from "../../plan/exchange-members.ts";
import type { CopyPlan, Plan } from "../../plan/plan.ts";
import type { Participant } from "../metrics/record.ts";
import type { Member } from "./members.ts";

/** A copy whose tensors its node has as they were committed. */
export interface KeptCopy {
  /** A node that comes back is another member, and has nothing. */
  readonly member: Member;
  readonly copy: CopyPlan;
}

/** What is kept of copies under another plan: each node drops what it has no use for. */
export function keptUnder(plan: Plan, kept: readonly KeptCopy[]): Map<CopyId, KeptCopy> {
  const next = new Map(plan.copies.map((copy) => [copy.id, copy]));
  const still = new Map<CopyId, KeptCopy>();
  for (const { member, copy } of kept) {
    const after = next.get(copy.id);
    if (after === undefined || after.node !== copy.node) continue;
    const from = Math.max(copy.from, after.from);
    const to = Math.min(copy.to, after.to);
    if (from < to) still.set(copy.id, { member, copy: { ...copy, from, to } });
  }
  return still;
}

/**
 * Copies that a round's merge leaves as they are: those that brought what they share with no other, and members of
 * an exchange who have all come to the same. They have where nobody was dropped, who may have been joined by some of
 * them, and each joined everything in time; and where what was brought is not rounded on its way.
 */
export function keepers(
  { groups }: Pick<Plan, "groups">,
  participants: readonly Pick<Participant, "copies" | "joined">[],
  isWhole: boolean,
): Set<CopyId> {
  const brought = new Map(
    participants.flatMap((own) => own.copies.map((copy) => [copy, own] as const)),
  );
  const kept = new Set<CopyId>();
  for (const { members, exchange } of groups) {
    const isAlike =
      isWhole &&
      exchange?.home === "first" &&
      members.every((id) => brought.has(id) && brought.get(id)?.joined === undefined);
    if (members.length > 1 && !isAlike) continue;
    for (const id of members) if (brought.has(id)) kept.add(id);
  }
  return kept;
}

/** What kept copies go on with that is not what they have: members of an exchange, where one brings what all have. */
export function renewed(
  plan: Plan,
  kept: readonly CopyId[],
): { readonly copy: CopyPlan; readonly kinds: readonly MovedKind[] }[] {
  return kept.flatMap((id) => {
    const exchange = exchangeOf(plan, id);
    const copy = plan.copies.find((own) => own.id === id);
    if (exchange?.home !== "first" || copy === undefined) return [];
    return [{ copy, kinds: renewedKinds(exchange) }];
  });
}

export type Segments = Pick<CopyPlan, "from" | "to">;

/** Segments of a copy that another range of them does not cover. */
function without({ from, to }: Segments, held: Segments): Segments[] {
  const before = { from, to: Math.min(to, held.from) };
  const after = { from: Math.max(from, held.to), to };
  return [before, after].filter((part) => part.from < part.to);
}

/** What a member has not of its copy. */
export function lackingOf(
  copy: CopyPlan,
  member: Member,
  kept: ReadonlyMap<CopyId, KeptCopy>,
): Segments[] {
  const there = kept.get(copy.id);
  return there?.member === member ? without(copy, there.copy) : [copy];
}

/** A round that has begun. */
export interface BegunRound {
  readonly plan: Plan;
  /** Who was there as it began. */
  readonly began: ReadonlyMap<NodeId, Member>;
}

type Present = Pick<ReadonlyMap<NodeId, Member>, "get">;

/** Nodes that were there as a round began, and are: one that has come back meanwhile may be a process that knows nothing. */
export const sinceBegin =
  ({ began }: BegunRound, members: Present) =>
  (node: NodeId): Member | undefined => {
    const member = members.get(node);
    return member === began.get(node) ? member : undefined;
  };

/** Which of some copies of a round are where they were trained. */
export function heldBy(
  copies: ReadonlySet<CopyId>,
  round: BegunRound,
  members: Present,
): KeptCopy[] {
  const memberOf = sinceBegin(round, members);
  return round.plan.copies.flatMap((copy) => {
    const member = memberOf(copy.node);
    return member !== undefined && copies.has(copy.id) ? [{ member, copy }] : [];
  });
}

/** Copies that share their tensors with no other, and whose nodes are there: a merge gives them back what they brought. */
export function heldUnder(round: BegunRound, members: Present): KeptCopy[] {
  const { groups } = round.plan;
  const alone = groups.flatMap(({ members: own }) => (own.length === 1 ? own : []));
  return heldBy(new Set(alone), round, members);
}
