/**
 * Whether another plan would now do better than the one in force, by what rounds have shown since it
 * was made. It answers in words, and only where the scheme can forecast plans that are in force.
 */
import type { Plan, PlanRequest } from "../../plan/plan.ts";
import {
  type Agreed,
  batchesAhead,
  decideMove,
  type Forecaster,
  type Hysteresis,
  type Mover,
} from "../../plan/replan.ts";

/** What is thought about, and by what. */
export interface Choice {
  readonly plan: Plan;
  /** The fleet as it is now. */
  readonly request: PlanRequest;
  /** Batches that the run has left. */
  readonly left: number;
  readonly nowMs: number;
}

/** A plan that is worth moving to, and why. */
export interface Move {
  readonly plan: Plan;
  readonly reason: string;
}

export class Adaptation {
  readonly #forecaster: Forecaster;
  readonly #mover: Mover;
  readonly #hysteresis: Hysteresis;
  /** Time of the last round for a batch of it, where rounds are looked at as wholes. */
  #tookMs: number | null = null;
  /** How far the chain's source was, and when, in the round under way. */
  #marks: { readonly round: number; readonly steps: number; readonly atMs: number }[] = [];
  #agreed: Agreed = 0;
  #changes = 0;
  #lastCostMs = 0;
  #startedMs: number | null = null;
  /** Nothing is considered before: a plan needs time to show what it does, and planning takes time, too. */
  #quietUntilMs = 0;

  constructor(forecaster: Forecaster, mover: Mover, hysteresis: Hysteresis) {
    this.#forecaster = forecaster;
    this.#mover = mover;
    this.#hysteresis = hysteresis;
  }

  /** Whether it is time to consider again. */
  isDue(nowMs: number): boolean {
    return nowMs >= this.#quietUntilMs;
  }

  /** Somebody has come who may take part. That is no noise: what pays with it pays at once. */
  hasNews(): void {
    this.#agreed = this.#hysteresis.agreedMin - 1;
    this.#quietUntilMs = 0;
  }

  /** A plan has come into force: while its weights travel, nothing that is measured is worth much. */
  adopted(nowMs: number): void {
    this.#agreed = 0;
    this.#marks = [];
    this.#tookMs = null;
    const { settlingMsMin } = this.#hysteresis;
    this.#quietUntilMs =
      settlingMsMin === 0 ? 0 : nowMs + Math.max(settlingMsMin, this.#lastCostMs);
  }

  /** The chain's source has so many batches of a round back. */
  went(round: number, steps: number, atMs: number): void {
    if (this.#marks[0]?.round !== round) this.#marks = [];
    this.#marks.push({ round, steps, atMs });
    if (this.#marks.length > this.#hysteresis.marks) this.#marks.shift();
  }

  /** Nothing is as it would have to be for a move. */
  calm(): void {
    this.#agreed = 0;
  }

  /** A round of so many batches is over. */
  took(ms: number, batches: number): void {
    this.#tookMs = ms / batches;
  }

  /** Time from batch to batch lately; null where too little has been seen. */
  get #observedMs(): number | null {
    if (this.#tookMs !== null) return this.#tookMs;
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.steps === first.steps) return null;
    return (last.atMs - first.atMs) / (last.steps - first.steps);
  }

  /**
   * @returns null for staying
   * @throws PlanError where there is no plan for the request
   */
  consider({ plan, request, left, nowMs }: Choice): Move | null {
    this.#startedMs ??= nowMs;
    this.#quietUntilMs = nowMs + this.#hysteresis.betweenMs;
    const observedMs = this.#observedMs;
    const forecast = this.#forecaster(plan, request);
    if (forecast === null) {
      this.#agreed = 0;
      return null;
    }
    // What is under way may look worse than it is, while weights travel beside it; seeing is believing.
    const now = { ...forecast, periodMs: Math.min(forecast.periodMs, observedMs ?? Infinity) };
    const run = { changes: this.#changes, elapsedMs: nowMs - this.#startedMs, left };
    const batches = batchesAhead(run, now.periodMs);
    const next = this.#mover(plan, request, batches);
    if (next === null) {
      this.#agreed = 0;
      return null;
    }
    const { forecast: then, movingMs } = next;
    const [agreedBefore, hysteresis] = [this.#agreed, this.#hysteresis];
    const question = { now, next: then, batches, movingMs, agreed: agreedBefore, hysteresis };
    const { decision, agreed, reason, costMs } = decideMove(question);
    this.#agreed = agreed;
    if (decision === "stay") return null;
    this.#changes++;
    this.#lastCostMs = costMs;
    return { plan: next.toPlan(), reason };
  }
}
