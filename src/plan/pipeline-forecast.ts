/** What a pipeline in force would take by what is known now: the other side of {@link pipeline}, which chooses one. */
import { PipelineModel } from "./pipeline-model.ts";
import { type Placement, residenceMs, roundMs, windowPeriodMs } from "./pipeline-schedule.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import type { Forecasted } from "./replan.ts";

/**
 * Forecasts a plan of one chain with the costs and rates of a request.
 * @returns null where the plan has not one chain, or a node of it is not in the request's fleet
 */
export function pipelineForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const [chain] = plan.chains;
  if (chain === undefined || plan.chains.length !== 1) return null;
  const used = chain.stages.map(({ copy: id }) => {
    const copy = plan.copies.find((candidate) => candidate.id === id);
    const node = request.fleet.nodes.find((candidate) => candidate.id === copy?.node);
    return copy === undefined || node === undefined ? null : { copy, node };
  });
  const there = used.flatMap((stage) => stage ?? []);
  if (there.length < used.length) return null;
  const model = new PipelineModel(
    request,
    there.map(({ node }) => node),
  );
  const stages = there.map(({ copy: { from, to } }, node): Placement => ({ node, from, to }));
  const { latencyMs, homeMs, resources, restMs } = model.timesOf(stages);
  const { schedule, window } = chain;
  const { work, accumulate } = request;
  if (schedule === "serial") {
    return { latencyMs, homeMs, periodMs: latencyMs, roundMs: work * latencyMs + homeMs };
  }
  const boundsMs = restMs.map((ms, i) =>
    residenceMs(ms, stages.length - i, { schedule, accumulate }),
  );
  const slowestMs = Math.max(0, ...resources.map(({ ms }) => ms), ...boundsMs);
  const times = { latencyMs, slowestMs, homeMs };
  const wholeMs = roundMs(times, window, { schedule, work, accumulate });
  const periodMs =
    schedule === "window" ? windowPeriodMs(times, { window, work }) : (wholeMs - homeMs) / work;
  return { latencyMs, homeMs, periodMs, roundMs: wholeMs };
}
