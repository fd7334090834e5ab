/**
 * Whether another plan would now do better than the one in force, by what rounds have shown since it
 * was made. It answers in words, and only where the scheme can forecast plans that are in force.
 */
import type { NodeId } from "../../base/ids.ts";
import type { Plan, PlanRequest } from "../../plan/plan.ts";
import {
  type Agreed,
  batchesAhead,
  bytesToMove,
  decideMove,
  type Forecaster,
} from "../../plan/replan.ts";

/** What there is to choose between, and by what. */
export interface Choice {
  readonly plan: Plan;
  readonly candidate: Plan;
  /** The fleet as it is now. */
  readonly request: PlanRequest;
  /** Batches that the run has left. */
  readonly left: number;
  readonly nowMs: number;
  /** Bytes per millisecond from the coordinator to a node; null where that is not known. */
  rateTo(node: NodeId): number | null;
}

/** Between two considerations: agreement means that it lasts as long. */
const betweenMs = 5_000;
/** From a change of plan to the next consideration, at least. */
const settlingMsMin = 10_000;

export class Adaptation {
  readonly #forecaster: Forecaster;
  #agreed: Agreed = 0;
  #changes = 0;
  #lastCostMs = 0;
  #startedMs: number | null = null;
  /** Nothing is considered before: a plan needs time to show what it does, and planning takes time, too. */
  #quietUntilMs = 0;

  constructor(forecaster: Forecaster) {
    this.#forecaster = forecaster;
  }

  /** Whether it is time to consider again. */
  isDue(nowMs: number): boolean {
    return nowMs >= this.#quietUntilMs;
  }

  /** A plan has come into force: while its weights travel, nothing that is measured is worth much. */
  adopted(nowMs: number): void {
    this.#agreed = 0;
    this.#quietUntilMs = nowMs + Math.max(settlingMsMin, this.#lastCostMs);
  }

  /** @returns why to move; null for staying */
  consider({ plan, candidate, request, left, nowMs, rateTo }: Choice): string | null {
    this.#startedMs ??= nowMs;
    this.#quietUntilMs = nowMs + betweenMs;
    const now = this.#forecaster(plan, request);
    const next = this.#forecaster(candidate, request);
    if (now === null || next === null || isSameLayout(plan, candidate)) {
      this.#agreed = 0;
      return null;
    }
    const moved = bytesToMove(plan.copies, candidate.copies, request.segments);
    const travelMs = [...moved].map(([node, bytes]) => bytes / (rateTo(node) ?? Infinity));
    const run = { changes: this.#changes, elapsedMs: nowMs - this.#startedMs, left };
    const { decision, agreed, reason, costMs } = decideMove({
      now,
      next,
      batches: batchesAhead(run, next.periodMs),
      travelMs: Math.max(0, ...travelMs),
      agreed: this.#agreed,
    });
    this.#agreed = agreed;
    if (decision === "stay") return null;
    this.#changes++;
    this.#lastCostMs = costMs;
    return reason;
  }
}

/** Whether two plans have the same segments on the same nodes, with as many batches under way. */
function isSameLayout(a: Plan, b: Plan): boolean {
  const layout = ({ copies, chains }: Plan): string =>
    JSON.stringify([
      copies.map(({ id, node, from, to }) => [id, node, from, to]),
      chains.map(({ schedule, window }) => [schedule, window]),
    ]);
  return layout(a) === layout(b);
}
