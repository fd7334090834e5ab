/**
 * How many batches each source has drawn. Batches are numbered by source, and each takes the next samples of
 * an order that is drawn once for each pass over them: so numbers that count on without gaps are what lets every
 * sample have its turn, whatever number of batches rounds have, and whoever has a part in them.
 */
import type { NodeId } from "../../base/ids.ts";
import type { Plan } from "../../plan/plan.ts";
import { batchesTrained, type RoundCommitted, standing } from "../metrics/record.ts";
import type { Past } from "./journal.ts";

export class Draws {
  readonly #next = new Map<NodeId, number>();

  /** @param past what a coordinator that is no more has decided; a run begins where absent */
  constructor(past?: Pick<Past, "decisions" | "committed">) {
    if (past === undefined) return;
    const plans = new Map<number, Plan>();
    for (const record of standing(past.decisions, (decision) => decision)) {
      if (record.type === "planned") plans.set(record.plan.term, record.plan);
      if (record.type !== "round" || record.round >= past.committed) continue;
      const plan = plans.get(record.term);
      if (plan !== undefined) this.committed(plan, record);
    }
  }

  /** The number of a source's next batch, by what is committed. */
  next(source: NodeId): number {
    return this.#next.get(source) ?? 0;
  }

  /** A round under a plan is committed: what its chains have drawn they do not draw again. */
  committed({ chains }: Plan, { round, participants, folded = [] }: RoundCommitted): void {
    const workOf = new Map(chains.map(({ id, work }) => [id, work]));
    const parts = participants.map((part) => ({ ...part, round }));
    for (const part of [...parts, ...folded]) {
      const { chain, node, round: from, firstStep } = part;
      const planned = workOf.get(chain) ?? 0;
      const first = firstStep ?? from * planned;
      this.#next.set(node, Math.max(this.next(node), first + batchesTrained(part, planned)));
    }
  }
}
