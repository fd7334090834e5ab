/** Every planner by the name that a job file gives it. A new scheme is one entry. */
import { alternatingSplit } from "./alternating-split.ts";
import { perDeviceCut, splitFed } from "./equal-shares.ts";
import { ako, allReduce, fullGradients, gaia, hop } from "./exchange-baselines.ts";
import { exchangeForecast, exchangeMover } from "./exchange-moves.ts";
import { featureReplay, featureReplayForecast, featureReplayMove } from "./feature-replay.ts";
import { federatedAveraging } from "./federated-averaging.ts";
import { local } from "./local.ts";
import { microClouds } from "./micro-clouds.ts";
import { parallelSplit } from "./parallel-split.ts";
import { pipeline } from "./pipeline.ts";
import { pipelineForecast } from "./pipeline-forecast.ts";
import { pipelineMove } from "./pipeline-moves.ts";
import type { Planner } from "./plan.ts";
import { betweenRounds, type Forecaster, type Hysteresis, type Mover, prompt } from "./replan.ts";
import { sequentialSplit } from "./sequential-split.ts";
import { splitMover, splitRoundForecast } from "./split-moves.ts";
import { twoParties } from "./two-parties.ts";

/** Planners by the name that a job gives them. */
export const planners = {
  /** Each device trains the first layers, the edge server the rest; its own cut and share of the link for each. */
  "parallel-split": parallelSplit,
  /** The device that holds the data and some of the servers, one after the other, on several batches at once. */
  pipeline,
  /** The device that holds the data and one server far away: cut, window and codecs together. */
  "feature-replay": featureReplay,
  /** One node trains everything. */
  local,
  /** Each device trains everything; copies are averaged. */
  "federated-averaging": federatedAveraging,
  /** Split in parallel at one cut, the best for all, with equal shares of the link. */
  splitfed: splitFed,
  /** Split in parallel, each device at the best cut for an equal share. */
  "per-device-cut": perDeviceCut,
  /** Split in parallel, cuts and shares chosen by turns. */
  "alternating-split": alternatingSplit,
  /** Split at one cut, devices one after the other, each beginning with what the one before has come to. */
  "sequential-split": sequentialSplit,
  /** Two parties with different columns of the same samples, of which one has the labels. */
  "two-parties": twoParties,
  /** Each device trains everything, and they agree from device to device while they train. */
  "micro-clouds": microClouds,
  /** The same, with all gradients to everybody before each update, and as many batches for all. */
  "full-exchange": fullGradients,
  /** As full exchange, with a third of the bytes among six. */
  "all-reduce": allReduce,
  /** As full exchange, but for gradients that would change their weight little: they wait. */
  gaia,
  /** As full exchange, in parts that take turns, without waiting for the slow. */
  ako,
  /** As full exchange, without waiting for the slowest neighbour. */
  hop,
} as const satisfies Record<string, Planner>;

/** Name of a scheme, as jobs give it. */
export type PlannerName = keyof typeof planners;
export const plannerNames = Object.keys(planners) as PlannerName[];

/** Schemes that are planned anew while training runs, where that pays: how to forecast a plan in force. */
export const forecasters: Partial<Record<PlannerName, Forecaster>> = {
  pipeline: pipelineForecast,
  "parallel-split": splitRoundForecast,
  splitfed: splitRoundForecast,
  "per-device-cut": splitRoundForecast,
  "alternating-split": splitRoundForecast,
  "feature-replay": featureReplayForecast,
  "micro-clouds": exchangeForecast,
};

/** How to find the plan to move to from one in force; the fastest one where a scheme has no entry. */
export const movers: Partial<Record<PlannerName, Mover>> = {
  pipeline: pipelineMove,
  "parallel-split": splitMover(parallelSplit),
  splitfed: splitMover(splitFed),
  "per-device-cut": splitMover(perDeviceCut),
  "alternating-split": splitMover(alternatingSplit),
  "feature-replay": featureReplayMove,
  "micro-clouds": exchangeMover(microClouds),
};

/** How sure a scheme has to be of a move, where that is not what others of its kind have to be. */
export const hystereses: Partial<Record<PlannerName, Hysteresis>> = {
  "feature-replay": prompt,
  // Weights stay, so that a move costs next to nothing.
  "micro-clouds": { ...betweenRounds, agreedMin: 1, marginShare: 0.05 },
};
