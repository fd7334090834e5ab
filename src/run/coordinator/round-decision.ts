/** When a round is committed, and whom it waits for: pure decisions on how its chains stand. */
import type { Plan } from "../../plan/plan.ts";
import type { Job } from "../job.ts";

/** Time for what is shared, once those are out of the round who held it up. */
export const heldUpMs = 30_000;

/** What to do with a round, and why. */
export interface RoundDecision {
  readonly decision: "wait" | "leave late" | "drop late" | "commit" | "give up";
  readonly reason: string;
}

/** How many chains stand where; all that {@link decideRound} looks at. */
export interface RoundStanding {
  readonly complete: number;
  readonly pending: number;
  /** Those of the pending who have brought all but what they share with others. */
  readonly finished: number;
  readonly dropped: number;
  /** Left behind, and still at work. */
  readonly late: number;
  /** So many complete chains are enough at the deadline. */
  readonly quorum: number;
  /** Those of the dropped whose numbers were not finite. */
  readonly diverged: number;
  /** Why the last one was dropped; null where none was. */
  readonly lastDropped: string | null;
  /** From the first on a quorum is enough, from the second on anybody. */
  readonly deadlineMs: number;
  readonly lastDeadlineMs: number;
}

/**
 * Decides a round: commit when nobody who is still in is missing; at the
 * deadline leave the late behind, if a quorum is complete; at the last one, if anybody is. Who waits for
 * what it shares with a late one is not late itself. Pure.
 */
export function decideRound(nowMs: number, standing: RoundStanding): RoundDecision {
  const { complete, pending, finished, dropped, late, quorum } = standing;
  const all = complete + pending + dropped + late;
  if (pending === 0) {
    if (complete === 0) {
      const last = standing.lastDropped === null ? "" : `; the last one: ${standing.lastDropped}`;
      return { decision: "give up", reason: `all ${all} chains were dropped${last}` };
    }
    const rest = dropped === 0 ? "" : `, ${dropped} dropped`;
    const behind = late === 0 ? "" : `, ${late} late`;
    return { decision: "commit", reason: `${complete} of ${all} chains complete${rest}${behind}` };
  }
  const heldUp = pending > finished ? finished : 0;
  const inTime = complete + heldUp;
  if (nowMs >= standing.deadlineMs && inTime >= quorum) {
    const reason = `late: ${inTime} of ${all} chains were complete at the deadline, ${quorum} are enough`;
    return { decision: "leave late", reason };
  }
  if (nowMs >= standing.lastDeadlineMs && inTime > 0) {
    const missing = pending - heldUp;
    return { decision: "drop late", reason: `${missing} of ${all} chains missed the deadline` };
  }
  return { decision: "wait", reason: `${pending} of ${all} chains are still at work` };
}

/** A round may take so many times the planner's forecast, and at least the second figure. */
const deadlineFactor = 10;
const deadlineMsMin = 30_000;

/** How long a round waits for its last chains, from its start: where a quorum is complete, and where anybody is. */
export function roundDeadlines(
  plan: Plan,
  { deadline }: Pick<Job["round"], "deadline">,
): { readonly quorumMs: number; readonly lastMs: number } {
  const forecastMs = Math.max(...plan.forecasts.map((forecast) => forecast.roundMs));
  const quorumMs = deadline * forecastMs;
  return { quorumMs, lastMs: Math.max(deadlineMsMin, deadlineFactor * forecastMs, quorumMs) };
}
