/**
 * Who may look at which columns of the samples, where parties share them: a copy may hold segments that take
 * columns of its own node alone. A plan cannot bring columns anywhere, since nothing says that they travel; so
 * what stands here keeps a node from being asked for what it has not.
 */
import type { Check } from "./check-merge.ts";
import type { FleetNode, Plan } from "./plan.ts";

/** Columns of the model's input that each segment takes. */
export type TakenColumns = readonly (readonly number[])[];

/** A node as far as its samples go. */
export type Holder = Pick<FleetNode, "id" | "samples" | "party">;

/** Columns that segments [from, to) take and a node has not, ascending. */
export function lackedColumns(
  taken: TakenColumns,
  { samples, party }: Holder,
  from: number,
  to: number,
): number[] {
  const asked = [...new Set(taken.slice(from, to).flat())].sort((a, b) => a - b);
  if (party === undefined) return samples > 0 ? [] : asked;
  return asked.filter((column) => !party.columns.includes(column));
}

/**
 * Holds when every copy on these nodes takes columns that its node has, no chain merges behind such a
 * copy, and a chain begins where its labels are.
 */
export function checkColumns(
  { chains, copies }: Plan,
  taken: TakenColumns,
  nodes: readonly Holder[],
  check: Check,
): void {
  const known = new Map(nodes.map((node) => [node.id, node]));
  for (const { id, node, from, to } of copies) {
    const holder = known.get(node);
    if (holder === undefined) continue;
    const lacked = lackedColumns(taken, holder, from, to);
    check(
      lacked.length === 0,
      `${id} takes columns [${lacked}] of the samples, which ${node} has not`,
    );
  }
  const first = new Set(copies.filter(({ from }) => from === 0).map(({ id }) => id));
  const taking = new Set(
    copies.filter(({ from, to }) => taken.slice(from, to).flat().length > 0).map(({ id }) => id),
  );
  for (const { id, source, stages } of chains) {
    const party = known.get(source)?.party;
    check(party?.hasLabels !== false, `${id} begins on ${source}, which has no labels`);
    for (const { copy, merge } of stages) {
      const isDrawing = taking.has(copy) && !first.has(copy);
      check(merge === undefined || !isDrawing, `${copy} merges, and takes columns of the samples`);
    }
  }
}
