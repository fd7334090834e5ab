/**
 * How the fleet has been of late, and what seemed best then. Machines and links of a fleet on the move are never the same for
 * long: tenants of a server come and go, a radio is fast here and slow there. A plan that is the best of this moment
 * is seldom that of the minutes for which it is kept, so a plan is judged by the mean over some moments of
 * what it would take in each: sample average approximation (Kleywegt, Shapiro and Homem-de-Mello, 2002). Averages of
 * rates would not do: which part of a plan is the slowest changes from moment to moment.
 */
import { mean } from "../../base/statistics.ts";
import type { Fleet, Plan, PlanRequest } from "../../plan/plan.ts";
import {
  bestMove,
  type Forecasted,
  type Forecaster,
  isSameLayout,
  type MoveOption,
  movingMs,
} from "../../plan/replan.ts";

/**
 * Weight of what is now; the rest is shared by the moments that are kept. What is now lasts for a while, and becomes what mostly is.
 */
const nowShare = 0.7;

/** Between two moments that are kept: longer than a hiccup, shorter than a street. */
const apartMs = 15_000;

export class Lately {
  readonly #forecaster: Forecaster;
  readonly #most: number;
  /** Oldest first. */
  #fleets: readonly { readonly fleet: Fleet; readonly atMs: number }[] = [];
  /** What was the best to move to at some moment, the newest last. */
  #options: readonly MoveOption[] = [];

  /** @param most moments that are kept; with 0 the present alone counts */
  constructor(forecaster: Forecaster, most: number) {
    this.#forecaster = forecaster;
    this.#most = most;
  }

  /** Keeps a fleet as it is now, where the last one was long enough ago. */
  saw(fleet: Fleet, nowMs: number): void {
    if (nowMs - (this.#fleets.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) < apartMs) return;
    this.#fleets = this.#newest([...this.#fleets, { fleet, atMs: nowMs }]);
  }

  /**
   * The best to move to in the mean of late: what is now, or what was at some moment.
   * @param newest what is the best as things are; null where that is the plan in force
   * @param batches before things are expected to change
   * @returns null where there is none but the plan in force
   */
  best(
    plan: Plan,
    request: PlanRequest,
    { newest, batches }: { readonly newest: MoveOption | null; readonly batches: number },
  ): MoveOption | null {
    if (this.#most === 0) return newest;
    if (newest !== null) {
      const others = this.#options.filter(({ layout }) => !isSameLayout(layout, newest.layout));
      this.#options = this.#newest([...others, newest]);
    }
    const options = this.#options.flatMap((option): MoveOption[] => {
      const { layout } = option;
      const now = this.#forecaster({ ...plan, ...layout }, request);
      if (now === null) return [];
      const forecast = this.mean({ ...plan, ...layout }, request, now);
      return [{ ...option, forecast, movingMs: movingMs(plan.copies, layout.copies, request) }];
    });
    return options.length === 0 ? null : bestMove(plan, options, batches);
  }

  /**
   * What a plan takes in the mean of late.
   * @param now what it takes as things are
   */
  mean(plan: Plan, request: PlanRequest, now: Forecasted): Forecasted {
    const past = this.#fleets.flatMap(
      ({ fleet }) => this.#forecaster(plan, { ...request, fleet }) ?? [],
    );
    const meanOf = (value: (one: Forecasted) => number): number =>
      past.length === 0
        ? value(now)
        : nowShare * value(now) + (1 - nowShare) * mean(past.map(value));
    return {
      roundMs: meanOf(({ roundMs }) => roundMs),
      latencyMs: meanOf(({ latencyMs }) => latencyMs),
      periodMs: meanOf(({ periodMs }) => periodMs),
      homeMs: now.homeMs,
      ...(now.priceMs !== undefined && { priceMs: meanOf(({ priceMs = 0 }) => priceMs) }),
    };
  }

  #newest<T>(all: readonly T[]): readonly T[] {
    return this.#most === 0 ? [] : all.slice(-this.#most);
  }
}
