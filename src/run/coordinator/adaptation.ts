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

/** Marks that the observed period is read from: a dozen, of a second each at least. */
const marksMax = 12;

export class Adaptation {
  readonly #forecaster: Forecaster;
  /** How far the chain's source was, and when, in the round under way. */
  #marks: { readonly round: number; readonly steps: number; readonly atMs: number }[] = [];
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
    this.#marks = [];
    this.#quietUntilMs = nowMs + Math.max(settlingMsMin, this.#lastCostMs);
  }

  /** The chain's source has so many batches of a round back. */
  went(round: number, steps: number, atMs: number): void {
    if (this.#marks[0]?.round !== round) this.#marks = [];
    this.#marks.push({ round, steps, atMs });
    if (this.#marks.length > marksMax) this.#marks.shift();
  }

  /** Time from batch to batch lately; null where too little has been seen. */
  get #observedMs(): number | null {
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.steps === first.steps) return null;
    return (last.atMs - first.atMs) / (last.steps - first.steps);
  }

  /** @returns why to move; null for staying */
  consider({ plan, candidate, request, left, nowMs, rateTo }: Choice): string | null {
    this.#startedMs ??= nowMs;
    this.#quietUntilMs = nowMs + betweenMs;
    const observedMs = this.#observedMs;
    const forecast = this.#forecaster(plan, request);
    // What is under way may look worse than it is, while weights travel beside it; seeing is believing.
    const now =
      forecast === null || observedMs === null
        ? null
        : { ...forecast, periodMs: Math.min(forecast.periodMs, observedMs) };
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
