/**
 * Learning-rate schedules, round by round. The coordinator computes the rate and sends it:
 * Math.cos differs between machines.
 */

/** Schedules by the names that jobs have for them. */
export type ScheduleName = "constant" | "cosine" | "step" | "exponential";

/** How the learning rate goes over the rounds. */
export interface Schedule {
  readonly kind: ScheduleName;
  /** Rounds between two steps; of step. */
  readonly every: number;
  /** What the rate is multiplied by at each step, or each round; of step and exponential. */
  readonly factor: number;
  /** Rounds over which the rate grows linearly to the job's, before the schedule starts. */
  readonly warmup: number;
}

/** Every setting's default. */
export const scheduleDefaults = (kind: ScheduleName): Schedule => ({
  kind,
  every: 10,
  factor: kind === "exponential" ? 0.95 : 0.1,
  warmup: 0,
});

/** Factors of the rate for a round, 0-based, of so many, warm-up not counted. */
const schedules: {
  readonly [Name in ScheduleName]: (schedule: Schedule, round: number, rounds: number) => number;
} = {
  constant: () => 1,
  /** Cosine annealing to 0 at the end (Loshchilov and Hutter, "SGDR", 2017, without restarts). */
  cosine: (_: Schedule, round: number, rounds: number) =>
    (1 + Math.cos((Math.PI * round) / rounds)) / 2,
  step: ({ every, factor }: Schedule, round: number) => factor ** Math.floor(round / every),
  exponential: ({ factor }: Schedule, round: number) => factor ** round,
};

/** Names of all schedules. */
export const scheduleNames = Object.keys(schedules) as ScheduleName[];

/** What of a job decides its learning rates. */
export interface ScheduledJob {
  readonly rounds: number;
  readonly optimizer: { readonly learningRate: number; readonly schedule: Schedule };
}

/** The learning rate of a round, 0-based. */
export function learningRateAt({ rounds, optimizer }: ScheduledJob, round: number): number {
  const { learningRate, schedule } = optimizer;
  const { kind, warmup } = schedule;
  if (round < warmup) return (learningRate * (round + 1)) / (warmup + 1);
  return learningRate * schedules[kind](schedule, round - warmup, Math.max(1, rounds - warmup));
}
