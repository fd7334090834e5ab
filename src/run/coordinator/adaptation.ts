/**
 * Whether another plan would now do better than the one in force, by what rounds have shown since it
 * was made. It answers in words, and only where the scheme can forecast plans that are in force.
 */
import {
  type Conditions,
  figuresOf,
  hasJumped,
  meanIntervalMs,
  observed,
  residualMs,
} from "../../plan/conditions.ts";
import type { Plan, PlanRequest } from "../../plan/plan.ts";
import {
  type Agreed,
  decideMove,
  type Forecaster,
  type Hysteresis,
  type Mover,
  movingMs,
  pricedMs,
} from "../../plan/replan.ts";
import { Lately } from "./lately.ts";

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
  readonly #lately: Lately;
  /** Time of the last round for a batch of it, where rounds are looked at as wholes. */
  #tookMs: number | null = null;
  /** How far the chain's source was, and when, in the round under way. */
  #marks: { readonly round: number; readonly steps: number; readonly atMs: number }[] = [];
  #agreed: Agreed = 0;
  #changes = 0;
  #lastCostMs = 0;
  #startedMs: number | null = null;
  /** Where conditions jump: as they are now, and when they became so. */
  #conditions: Conditions | null = null;
  /** Nothing is considered before: a plan needs time to show what it does, and planning takes time, too. */
  #quietUntilMs = 0;

  constructor(forecaster: Forecaster, mover: Mover, hysteresis: Hysteresis) {
    this.#forecaster = forecaster;
    this.#mover = mover;
    this.#hysteresis = hysteresis;
    this.#lately = new Lately(forecaster, hysteresis.memory);
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
    const { settlingMsMin, conditions } = this.#hysteresis;
    // While conditions jump, waiting for what was expected of a plan only makes it late for the next ones.
    const costMs = conditions === "jump" ? 0 : this.#lastCostMs;
    this.#quietUntilMs = settlingMsMin === 0 ? 0 : nowMs + Math.max(settlingMsMin, costMs);
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

  /** Time from batch to batch lately, at most: a count is off by one; null where too little has been seen. */
  get #observedMs(): number | null {
    if (this.#tookMs !== null) return this.#tookMs;
    const [first] = this.#marks;
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || last.steps < first.steps + 2) return null;
    return (last.atMs - first.atMs) / (last.steps - first.steps - 1);
  }

  /**
   * @returns null for staying
   * @throws PlanError where there is no plan for the request
   */
  consider({ plan, request, left, nowMs }: Choice): Move | null {
    this.#startedMs ??= nowMs;
    this.#quietUntilMs = nowMs + this.#hysteresis.betweenMs;
    const forecast = this.#forecaster(plan, request);
    if (forecast === null) {
      this.#agreed = 0;
      return null;
    }
    const aheadMs = this.#aheadMs({ plan, request, nowMs }, this.#startedMs);
    const observedMs = this.#observedMs;
    // What is under way may look worse than it is, while weights travel beside it; seeing is believing.
    const seen = { ...forecast, periodMs: Math.min(forecast.periodMs, observedMs ?? Infinity) };
    this.#lately.saw(request.fleet, nowMs);
    const now = this.#lately.mean(plan, request, seen);
    const batches = Math.max(0, Math.min(left, aheadMs / now.periodMs));
    const newest = this.#mover(plan, request, batches);
    const next = this.#lately.best(plan, request, { newest, batches });
    if (next === null) {
      this.#agreed = 0;
      return null;
    }
    const { forecast: then, movingMs: moving } = next;
    const [agreedBefore, hysteresis] = [this.#agreed, this.#hysteresis];
    const question = {
      now,
      next: then,
      batches,
      movingMs: moving,
      agreed: agreedBefore,
      hysteresis,
    };
    const { decision, agreed, reason, costMs } = decideMove(question);
    this.#agreed = agreed;
    if (decision === "stay") return null;
    this.#changes++;
    this.#lastCostMs = costMs;
    return { plan: next.toPlan(), reason };
  }

  /** Time until conditions change again, as far as the past tells. */
  #aheadMs({ plan, request, nowMs }: Omit<Choice, "left">, startedMs: number): number {
    if (this.#hysteresis.conditions === "drift") {
      return meanIntervalMs(this.#changes, nowMs - startedMs);
    }
    const figures = figuresOf(plan, request);
    const before = this.#conditions;
    // What was seen under other conditions says nothing of these.
    if (before !== null && hasJumped(before, figures)) this.#marks = this.#marks.slice(-1);
    this.#conditions = observed(before, figures, nowMs);
    return residualMs(this.#conditions, nowMs);
  }

  /**
   * Whether a move that was decided is still worth what has to travel for it, now that nothing is under way any more.
   * Where conditions drift they have not changed by much.
   */
  stillPays({ plan, request, nowMs }: Omit<Choice, "left">, next: Plan): boolean {
    if (this.#conditions === null) return true;
    this.#conditions = observed(this.#conditions, figuresOf(plan, request), nowMs);
    const [now, then] = [this.#forecaster(plan, request), this.#forecaster(next, request)];
    if (now === null || then === null) return then !== null;
    const batches = residualMs(this.#conditions, nowMs) / now.periodMs;
    const gainMs = batches * (pricedMs(now) - pricedMs(then));
    return gainMs > movingMs(plan.copies, next.copies, request);
  }

  /**
   * Where conditions jump: the plan to go on with, where one is due whatever it saves. What nodes lack for each plan is weighed
   * against what it gains until conditions change again.
   *
   * @param held copies of the plan in force that are still on their nodes
   * @returns null where nothing says how long conditions last, or the plan in force cannot go on and there is no other to move to
   * @throws PlanError where there is no plan for the request
   */
  goOn({ plan, request, nowMs }: Omit<Choice, "left">, held: Plan["copies"]): Plan | null {
    if (this.#conditions === null) return null;
    const now = this.#forecaster(plan, request);
    if (now === null) return null;
    const batches = residualMs(this.#conditions, nowMs) / now.periodMs;
    const next = this.#mover({ ...plan, copies: held }, request, batches);
    return next?.toPlan() ?? plan;
  }
}
