/**
 * What a scheme would come to that knows the whole walk in advance. It chooses among the plans that
 * are best at some moment of it, one for every stretch of time, so that batches are the most; a
 * change costs what the re-planning rule reckons: the weights that have to travel, and a pipeline
 * that empties and fills.
 */
import {
  bubbleMs,
  type Forecasted,
  forecasters,
  movingMs,
  type Plan,
  type PlanRequest,
  planners,
} from "edgeloom";
import type { Conditions } from "./pipeline-conditions.ts";
import { chainText, unpaced } from "./pipeline-schemes.ts";

/** So many batches a round that the first one and the weights' way home do not count. */
const manyBatches = 10_000;
/** Conditions are looked at so often; in between they are what they are on the average. */
const stretchMs = 10_000;

/** A stretch of time, with what machines and links give in it. */
interface Stretch {
  readonly ms: number;
  readonly request: PlanRequest;
}

/** Batches that there could be, by the model that planners reckon with. */
export interface Oracle {
  /** Knowing the walk, and paying for every move. */
  readonly batches: number;
  /** If moving took no time at all: no scheme can do better, whatever its moves cost. */
  readonly free: number;
  /** Under the one plan that turns out to be the best for the whole walk. */
  readonly fixed: number;
}

/** What there could be from one time to another. @param request of any plan on all nodes of the scenario */
export function oracleOf(
  conditions: Conditions,
  request: PlanRequest,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): Oracle {
  const stretches: Stretch[] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += stretchMs) {
    const untilMs = Math.min(toMs, atMs + stretchMs);
    const fleet = conditions.between(atMs, untilMs, request.fleet);
    stretches.push({ ms: untilMs - atMs, request: { ...request, fleet, work: manyBatches } });
  }
  const plans = new Map<string, Plan>();
  for (const stretch of stretches) {
    for (const plan of [longRunPlan(stretch.request), planners.local(stretch.request)]) {
      plans.set(chainText(plan), plan);
    }
  }
  const all = [...plans.values()];
  const perMs = stretches.map((stretch) => {
    const rates = all.map((plan) => 1 / (forecastOf(plan, stretch.request)?.periodMs ?? Infinity));
    return { ms: stretch.ms, rates };
  });
  const sum = (rateOf: (rates: readonly number[]) => number): number =>
    perMs.reduce((batches, { ms, rates }) => batches + ms * rateOf(rates), 0);
  return {
    batches: bestSequence(all, stretches),
    free: sum((rates) => Math.max(...rates)),
    fixed: Math.max(...all.map((_, i) => sum((rates) => rates[i] ?? 0))),
  };
}

/** The most batches that come together, stretch after stretch, whatever the plan is by then. */
function bestSequence(plans: readonly Plan[], stretches: readonly Stretch[]): number {
  let best = plans.map(() => 0);
  let before: readonly (Forecasted | null)[] = [];
  for (const [i, { ms, request }] of stretches.entries()) {
    const forecasts = plans.map((plan) => forecastOf(plan, request));
    best = plans.map((plan, to) => {
      const forecast = forecasts[to];
      if (!forecast) return Number.NEGATIVE_INFINITY;
      const { periodMs } = forecast;
      const batches = plans.map((other, from) => {
        const left = before[from] ?? null;
        const costMs =
          i === 0 || from === to ? 0 : moveMs(other, left, { plan, forecast, request });
        return (best[from] ?? 0) + (ms - costMs) / periodMs;
      });
      return Math.max(...batches);
    });
    before = forecasts;
  }
  return Math.max(...best);
}

/** `local` has no forecaster of its own, but is a pipeline of one stage. */
const forecastOf = (plan: Plan, request: PlanRequest): Forecasted | null =>
  forecasters.pipeline?.(plan, request) ?? null;

/** What the re-planning rule reckons for a move: what has to travel, and a pipeline that empties and fills. */
function moveMs(
  from: Plan,
  left: Forecasted | null,
  to: { readonly plan: Plan; readonly forecast: Forecasted; readonly request: PlanRequest },
): number {
  const emptyMs = left === null ? 0 : bubbleMs(left);
  return movingMs(from.copies, to.plan.copies, to.request) + emptyMs + bubbleMs(to.forecast);
}

/** The best pipeline for a run of which the beginning does not count. */
export const longRunPlan = (request: PlanRequest): Plan =>
  unpaced(planners.pipeline({ ...request, work: manyBatches }));

/** Time from batch to batch under such a plan. */
export const periodMs = ({ forecasts }: Plan): number =>
  Math.max(...forecasts.map(({ roundMs }) => roundMs)) / manyBatches;
