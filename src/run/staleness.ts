/**
 * Gradients of a window: between a batch's way forward and its way back other batches have moved the stage's parameters. Each such
 * update is one that the gradient does not know of, and with many of them steps overshoot. A job may have steps divided by their
 * number (Zhang, Gupta, Lian and Liu, "Staleness-aware async-SGD for distributed deep learning", IJCAI 2016). Worker and replay
 * reckon alike: both know the order of a stage's passes.
 */

/** What a job does about stale gradients. */
export const stalenessNames = ["ignored", "divided"] as const;

type Staleness = (typeof stalenessNames)[number];

/**
 * What a job does: what it says, and else what suits its planner. Over a chain of servers most of the model is trained by stale
 * gradients; under feature replay it is the device's few layers, which whole steps train faster.
 */
export const stalenessOf = (job: {
  readonly planner: string;
  readonly pipeline: { readonly staleness: Staleness | null };
}): Staleness =>
  job.pipeline.staleness ?? (job.planner === "feature-replay" ? "ignored" : "divided");

/** Where a batch was in its stage's passes. */
export interface StalePasses {
  /** Batches that had come back when it went forward, and when it comes back itself. */
  readonly backThen: number;
  readonly backNow: number;
  /** Batches to an update. */
  readonly accumulate: number;
}

/** Updates that came between a batch's way forward and its way back. */
export const updatesMissed = ({ backThen, backNow, accumulate }: StalePasses): number =>
  Math.floor(backNow / accumulate) - Math.floor(backThen / accumulate);

/** The learning rate of an update whose last batch has missed so many: one missed update is what every pipeline has. */
export const staleRate = (learningRate: number, missed: number): number =>
  learningRate / Math.max(1, missed);
