/**
 * What no scheme can beat: at every moment the best pipeline for what machines and links give
 * just then, and changing from one to the next costs nothing.
 */
import { type Plan, type PlanRequest, planners } from "edgeloom";
import type { Conditions } from "./pipeline-conditions.ts";
import { unpaced } from "./pipeline-schemes.ts";

/** So many batches a round that the first one and the weights' way home do not count. */
const manyBatches = 10_000;
/** Conditions are looked at so often; in between they are what they are on the average. */
const stepMs = 10_000;

/** Batches from one time to another. @param request of any plan on all nodes of the scenario */
export function idealBatches(
  conditions: Conditions,
  request: PlanRequest,
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): number {
  let batches = 0;
  for (let atMs = fromMs; atMs < toMs; atMs += stepMs) {
    const untilMs = Math.min(toMs, atMs + stepMs);
    const fleet = conditions.between(atMs, untilMs, request.fleet);
    batches += (untilMs - atMs) / periodMs(longRunPlan({ ...request, fleet }));
  }
  return batches;
}

/** The best pipeline for a run of which the beginning does not count. */
export const longRunPlan = (request: PlanRequest): Plan =>
  unpaced(planners.pipeline({ ...request, work: manyBatches }));

/** Time from batch to batch under such a plan. */
export const periodMs = ({ forecasts }: Plan): number =>
  Math.max(...forecasts.map(({ roundMs }) => roundMs)) / manyBatches;
