/** What a pipeline in force would take by what is known now: the other side of {@link pipeline}, which chooses one. */
import { present } from "../base/assert.ts";
import { PipelineModel } from "./pipeline-model.ts";
import {
  type Placement,
  placementsOf,
  residenceMs,
  roundMs,
  windowPeriodMs,
} from "./pipeline-schedule.ts";
import type { ChainPlan, Plan, PlanRequest } from "./plan.ts";
import type { Forecasted } from "./replan.ts";

/**
 * Forecasts a plan of one chain with the costs and rates of a request.
 * @returns null where the plan has not one chain, or a node of it is not in the request's fleet
 */
export function pipelineForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const { nodes } = request.fleet;
  const stages = placementsOf(plan, nodes);
  if (stages === null) return null;
  // Of the nodes, those of the chain alone have to be reckoned with.
  const model = new PipelineModel(
    request,
    stages.map(({ node }) => present(nodes[node], "a node")),
  );
  const own = stages.map((stage, node) => ({ ...stage, node }));
  return chainForecast(model, own, { ...present(plan.chains[0], "a chain"), ...request });
}

/** What a chain of a model's nodes takes under a schedule. */
export function chainForecast(
  model: PipelineModel,
  stages: readonly Placement[],
  how: Pick<ChainPlan, "schedule" | "window"> & Pick<PlanRequest, "work" | "accumulate">,
): Forecasted {
  const { window, work, accumulate } = how;
  // One batch at a time is a window of none.
  const schedule = how.schedule === "serial" ? "window" : how.schedule;
  const { latencyMs, homeMs, resources, restMs } = model.timesOf(stages);
  const boundsMs = restMs.map((ms, i) =>
    residenceMs(ms, stages.length - i, { schedule, accumulate }),
  );
  const slowestMs = Math.max(0, ...resources.map(({ ms }) => ms), ...boundsMs);
  const times = { latencyMs, slowestMs };
  const wholeMs = roundMs(times, window, { schedule, work, accumulate });
  const periodMs = schedule === "window" ? windowPeriodMs(times, { window, work }) : wholeMs / work;
  return { latencyMs, homeMs, periodMs, roundMs: wholeMs };
}
