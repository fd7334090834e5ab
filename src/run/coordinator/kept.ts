/** What nodes have of copies from one round to the next, and what they lack for the next plan. Pure. */
import type { CopyId } from "../../base/ids.ts";
import type { CopyPlan, Plan } from "../../plan/plan.ts";
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
