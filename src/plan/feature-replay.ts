/**
 * One device that keeps the data and one server far away, over a link that is the slowest part: which layers
 * each of them trains, how many batches are under way, how features and gradients are coded, and
 * whether the device keeps activations or computes them anew from its inputs (feature replay: Huo et al.,
 * "Training neural networks using features replay", 2018). The four are chosen together, because each changes what the
 * others are worth: a codec makes an early cut affordable, and a window hides a link that no codec makes short.
 *
 * After Yao et al., "Context-aware compilation of DNN training pipelines across edge and cloud" (IMWUT 2021), whose
 * formula for so many batches is the pipeline's here: T0 + (m - 1) max(T*, T0 / (K + 1)). Beyond it gradients are coded
 * as well, memory decides how activations are kept, and energy and data volume may have a price.
 *
 * The plan is a pipeline of two stages, or the device alone: `pipeline-model.ts` says what they take,
 * `replay-search.ts` looks at every choice, `replay-reasons.ts` puts the one taken into words.
 */
import { present } from "../base/assert.ts";
import { firstCut } from "./check-request.ts";
import { layOut, noChain, pipeline, pipelineNodes, planFor } from "./pipeline.ts";
import { pipelineForecast } from "./pipeline-forecast.ts";
import { PipelineModel } from "./pipeline-model.ts";
import { type ChosenChain, placementsOf, roundMs } from "./pipeline-schedule.ts";
import type { FeatureReplayChoice, FleetNode, Plan, PlanRequest } from "./plan.ts";
import { type Forecasted, type MoveOption, movingMs } from "./replan.ts";
import { replayReasons } from "./replay-reasons.ts";
import { type ReplayChoices, type ReplayOption, ReplaySearch } from "./replay-search.ts";

/** Codecs that cost no accuracy in `npm run bench -- codecs-accuracy`, the most exact first. */
export const harmlessCodecs = ["float32", "float16", "affine8"] as const;

const name = "feature-replay";

/** A choice, and what it was chosen among. */
interface Found {
  readonly option: ReplayOption;
  readonly search: ReplaySearch;
  readonly nodes: readonly [FleetNode, FleetNode];
}

/**
 * Plans for the one node that holds data and the edge server or cloud node that serves it best.
 *
 * @throws PlanError when not exactly one node holds data, when memory, energy or links allow nothing, or when a
 *   profile does not fit the model
 */
export function featureReplay(request: PlanRequest): Plan {
  // With nobody to share with, the device alone is what a pipeline comes to as well.
  if (pipelineNodes(request).length === 1) return { ...pipeline(request), planner: name };
  const found = bestOf(request, request.work, () => () => 0);
  if (found !== null) return planOf(request, found);
  const [source] = pipelineNodes(request);
  throw noChain(request, present(source, "the source"));
}

/**
 * The plan that takes least for so many batches, moving there from the one in force included. Codecs, window and what is
 * kept change without any weights on the way.
 *
 * @returns null where that is the one in force
 */
export function featureReplayMove(
  plan: Plan,
  request: PlanRequest,
  batches: number,
): MoveOption | null {
  if (pipelineNodes(request).length === 1) return null;
  const found = bestOf(request, Math.max(1, batches), ([device, server]) => (cut) => {
    const count = request.segments.length;
    const next = [
      { node: device.id, from: 0, to: cut },
      ...(cut < count ? [{ node: server.id, from: cut, to: count }] : []),
    ];
    return movingMs(plan.copies, next, request);
  });
  if (found === null) return null;
  const { own, model, chain } = askedAs(request, found);
  const layout = layOut({ request: own, model }, chain);
  if (isSame(plan, layout)) return null;
  const forecast = featureReplayForecast({ ...plan, ...layout }, request);
  if (forecast === null) return null;
  return {
    ...{ layout, forecast },
    movingMs: movingMs(plan.copies, layout.copies, request),
    toPlan: () => planOf(request, found),
  };
}

/**
 * Forecasts a plan in force with the codecs and the backward pass that it has. Batches are played where there are two
 * stages, as they are for a choice: only so does it show that a window has become too small.
 */
export function featureReplayForecast(plan: Plan, request: PlanRequest): Forecasted | null {
  const { codecUp = "float32", codecDown = "float32" } = plan.links[0] ?? {};
  const [chain] = plan.chains;
  const backward = chain?.stages[0]?.backward === "replay" ? "replay" : "stored";
  const pipeline = { ...request.pipeline, backward } as const;
  const own = { ...request, codecUp, codecDown, pipeline };
  const forecast = pipelineForecast(plan, own);
  const used = placementsOf(plan, request.fleet.nodes) ?? [];
  const [device, second] = used.map(({ node }) => request.fleet.nodes[node]);
  const server = second ?? pipelineNodes(request)[1];
  if (forecast === null || device === undefined || server === undefined) return forecast;
  const search = new ReplaySearch(own, [device, server], {
    ...choicesOf(request),
    ...{ up: [codecUp], down: [codecDown] },
  });
  const cut = present(plan.copies[0], "the device's copy").to;
  const option =
    second === undefined
      ? search.alone(1)
      : search.at(cut, 1, { up: codecUp, down: codecDown }, backward);
  const priceMs = option === null ? 0 : option.costMs - option.latencyMs;
  if (second === undefined) return { ...forecast, priceMs };
  const window = chain?.window ?? 0;
  const playedMs = search.playedMs({ cut, backward, codecUp, codecDown, window });
  const periodMs = Math.max(forecast.periodMs, playedMs);
  const roundMs = forecast.roundMs + (request.work - 1) * (periodMs - forecast.periodMs);
  return { ...forecast, periodMs, roundMs, priceMs };
}

/** What a cut takes once, between two nodes. */
type Once = (nodes: readonly [FleetNode, FleetNode]) => (cut: number) => number;

function bestOf(request: PlanRequest, batches: number, once: Once): Found | null {
  const [source, ...servers] = pipelineNodes(request);
  const device = present(source, "the source");
  let best: Found | null = null;
  for (const server of servers) {
    const nodes: [FleetNode, FleetNode] = [device, server];
    const search = new ReplaySearch(request, nodes, choicesOf(request));
    const option = search.best({ batches, onceMs: once(nodes) });
    if (option !== null && option.costMs < (best?.option.costMs ?? Infinity)) {
      best = { option, search, nodes };
    }
  }
  return best;
}

function choicesOf({ segments, split, featureReplay: choice }: PlanRequest): ReplayChoices {
  const {
    up,
    down,
    msPerMB = 0,
    msPerJoule = 0,
  }: FeatureReplayChoice = choice ?? { up: harmlessCodecs, down: harmlessCodecs };
  const least = firstCut(segments) ?? segments.length;
  const cutMin = Math.min(segments.length, Math.max(least, split?.cutMin ?? 0));
  return { cutMin, up, down, msPerByte: msPerMB / 1e6, msPerJoule };
}

/** An option as a chain, and the request as if a pipeline had been asked for with the option's codecs. */
function askedAs(request: PlanRequest, { option, nodes }: Found) {
  const { codecUp, codecDown, backward } = option;
  const wish = { ...request.pipeline, schedule: "window", backward } as const;
  const own = { ...request, codecUp, codecDown, pipeline: wish };
  return { own, model: new PipelineModel(own, nodes), chain: chainOf(option, own) };
}

/** The option as a pipeline of two stages, or of one. */
function planOf(request: PlanRequest, found: Found): Plan {
  const { option, search } = found;
  const { own, model, chain } = askedAs(request, found);
  const alone = chainOrNull(search.alone(request.work), own);
  const plan = planFor({ request: own, model, chain, alone, with: () => null });
  const reason = `${plan.reason}; ${replayReasons({ option, search, request })}`;
  return { ...plan, planner: name, reason };
}

/** Whether a plan has the same segments on the same nodes, as many batches under way, and the same on its link. */
function isSame(plan: Plan, layout: ReturnType<typeof layOut>): boolean {
  const key = ({ copies, chains, links }: Pick<Plan, "copies" | "chains" | "links">): string =>
    JSON.stringify([
      copies.map(({ node, from, to }) => [node, from, to]),
      chains.map(({ window, stages }) => [window, stages.map(({ backward }) => backward)]),
      links.map(({ codecUp, codecDown }) => [codecUp, codecDown]),
    ]);
  return key(plan) === key(layout);
}

const chainOrNull = (option: ReplayOption | null, request: PlanRequest): ChosenChain | null =>
  option === null ? null : chainOf(option, request);

function chainOf(option: ReplayOption, request: PlanRequest): ChosenChain {
  const { cut, latencyMs, slowestMs, window } = option;
  const { segments, work, accumulate } = request;
  const rest = cut < segments.length ? [{ node: 1, from: cut, to: segments.length }] : [];
  const times = { latencyMs, slowestMs };
  return {
    stages: [{ node: 0, from: 0, to: cut }, ...rest],
    ...times,
    window,
    roundMs: roundMs(times, window, { schedule: "window", work, accumulate }),
  };
}
