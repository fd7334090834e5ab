/**
 * Moving from one plan of many chains to another while training runs. Rounds of such plans are closed: all weights
 * travel at each end, so a plan is changed between two of them, and what a batch takes is its part of a whole round.
 */
import type { Planner } from "./plan.ts";
import type { Forecaster, Mover } from "./replan.ts";
import { splitForecast } from "./split-judge.ts";

/** Forecasts a plan that splits between devices and servers, a batch as its part of the round. */
export const splitRoundForecast: Forecaster = (plan, request) => {
  const forecast = splitForecast(plan, request);
  if (forecast === null) return null;
  const periodMs = forecast.roundMs / request.work;
  return { ...forecast, periodMs, latencyMs: periodMs };
};

/**
 * The fastest plan as things are: of plans that may differ in cuts or in shares alone. Weights travel between rounds
 * in any case, so a move takes no more than making new stages ready, for which the time that weights take to come
 * home stands here: both grow with the model.
 */
export const splitMover =
  (planner: Planner): Mover =>
  (plan, request) => {
    const next = planner(request);
    const [before, forecast] = [splitForecast(plan, request), splitRoundForecast(next, request)];
    if (before === null || forecast === null) return null;
    return { layout: next, forecast, movingMs: before.homeMs, toPlan: () => next };
  };
