/**
 * What schedules make of a pipeline, as plain numbers. A chain of stages comes down to two figures:
 *
 * - T0, the latency of one batch through everything, there and back: the sum over stages and borders
 * - T*, the time of the slowest resource for a batch: the maximum over stages and borders
 *
 * and {@link roundMs} says what a round takes by them. It never falls where one of them grows. Weights come home
 * while the next round trains, so what they take is a share of each batch's time on the links, in T*.
 */
import { present } from "../base/assert.ts";
import type { FleetNode, Plan, ScheduleKind } from "./plan.ts";

/** What a node would cost as a stage of segments [from, to), at index `from * (segments + 1) + to`. */
export interface StageCosts {
  /** Added to the way of one batch there and back. */
  readonly latencyMs: Float64Array;
  /** Least time between two batches; Infinity where the node cannot be that stage. */
  readonly periodMs: Float64Array;
  /**
   * By first segment, the last end (below the number of segments) of a stage that fits into memory
   * with so many batches between forward and backward.
   */
  reach(inFlight: number): Int32Array;
}

/** What a border between two nodes costs, by cut. */
export interface BorderCosts {
  /** Both ways, with delays; Infinity where no link is. */
  readonly latencyMs: Float64Array;
  /** The slower direction's time for a batch. */
  readonly periodMs: Float64Array;
}

export interface PipelineProblem {
  /** Number of segments. */
  readonly segments: number;
  /** The source keeps segments [0, firstCut) at least. */
  readonly firstCut: number;
  /** Every node; the first is the source, all others are servers. */
  readonly stages: readonly StageCosts[];
  /** From a node to the one after it in the chain. */
  readonly borders: readonly (readonly BorderCosts[])[];
  readonly schedule: Exclude<ScheduleKind, "serial">;
  /** Staleness bound of the schedule `window`; null for the least that costs no time. */
  readonly window: number | null;
  /** Batches of a round. */
  readonly work: number;
  /** Batches to an update. */
  readonly accumulate: number;
}

/** Node by its index, and the segments that it trains. */
export interface Placement {
  readonly node: number;
  readonly from: number;
  readonly to: number;
}

/** T0 and T* of a chain, and what a schedule makes of them. */
export interface ChosenChain {
  /** From the source on. */
  readonly stages: readonly Placement[];
  readonly latencyMs: number;
  /** The slowest resource, or with 1F1B what its bound on batches in flight makes of the latency. */
  readonly slowestMs: number;
  /** 0 with other schedules than `window`. */
  readonly window: number;
  readonly roundMs: number;
}

/** Longest window that is ever chosen: as long as a job may ask for. */
export const windowMax = 64;

/** Sums in different orders differ by so much. */
const rounding = 1e-9;

/**
 * Time between two batches under the schedule `window`: max(T*, T0 / (K + 1)), since K + 1 batches
 * are under way at most and each takes T0 (Little's law; EdgeMove, WWW 2023, bounds its pipeline so).
 * A window that all of a round's batches fit into holds nothing up.
 */
export function windowPeriodMs(
  { latencyMs, slowestMs }: Pick<ChosenChain, "latencyMs" | "slowestMs">,
  { window, work }: { readonly window: number; readonly work: number },
): number {
  return window + 1 >= work ? slowestMs : Math.max(slowestMs, latencyMs / (window + 1));
}

/** Batches under way beyond those that an even flow needs. */
const windowSlack = 1;

/**
 * The smallest window that costs no time, least K with (K + 1) T* >= T0, and one more; no more than a round
 * has batches for. With the smallest alone there is no room for a batch that waits: batches bunch up, the source
 * takes several forward and waits for as many, and the period comes to 1.1 to 1.4 times T* (measured on real
 * processes and in virtual time alike). Any larger one makes weights staler and nothing faster.
 */
export function roomyWindow(
  { latencyMs, slowestMs }: Pick<ChosenChain, "latencyMs" | "slowestMs">,
  work: number,
): number {
  const least = slowestMs > 0 ? Math.ceil(latencyMs / slowestMs - rounding) - 1 : 0;
  if (least < 1) return 0;
  return Math.min(least + windowSlack, work - 1, windowMax);
}

/**
 * Time of a round. With a window one batch goes through, and each of the others follows a period
 * after the one before: T0 + (m - 1) P. The synchronous schedules empty the pipeline after every
 * update, so that each of their ceil(m / M) groups pays T0 once and T* for each batch but its first:
 * GPipe's bubble (Huang et al., 2019, section 2.3) with stages that differ. Both are upper bounds by
 * the critical path where every resource takes a batch as a whole. Where weights take their links for longer than
 * a batch takes altogether, rounds follow as fast as weights do, T* for every batch.
 */
export function roundMs(
  chain: Pick<ChosenChain, "latencyMs" | "slowestMs">,
  window: number,
  { schedule, work, accumulate }: Pick<PipelineProblem, "schedule" | "work" | "accumulate">,
): number {
  const { latencyMs, slowestMs } = chain;
  const firstMs = Math.max(latencyMs, slowestMs);
  if (schedule === "window") {
    return firstMs + (work - 1) * windowPeriodMs(chain, { window, work });
  }
  const groups = Math.ceil(work / accumulate);
  return groups * firstMs + (work - groups) * slowestMs;
}

/** {@link roundMs} the other way round: a round is shorter than `ms` just where T0 is below the answer. */
export function latencyBelow(
  ms: number,
  { slowestMs }: Pick<ChosenChain, "slowestMs">,
  window: number,
  { schedule, work, accumulate }: Pick<PipelineProblem, "schedule" | "work" | "accumulate">,
): number {
  if (!(work * slowestMs < ms)) return Number.NEGATIVE_INFINITY;
  if (schedule !== "window") {
    const groups = Math.ceil(work / accumulate);
    return (ms - (work - groups) * slowestMs) / groups;
  }
  const latencyMs = ms - (work - 1) * slowestMs;
  if (window + 1 >= work) return latencyMs;
  return Math.min(latencyMs, ms / (1 + (work - 1) / (window + 1)));
}

/**
 * Batches that a stage holds between their forward and backward pass at most.
 * @param after number of stages from this one to the last, both counted
 */
export function inFlightMax(
  after: number,
  window: number,
  { schedule, work, accumulate }: Pick<PipelineProblem, "schedule" | "work" | "accumulate">,
): number {
  switch (schedule) {
    case "window":
      return Math.min(window + 1, work);
    case "gpipe":
      return Math.min(accumulate, work);
    case "1f1b":
      return Math.min(accumulate, work, after);
  }
}

/** Whether every stage of a chain has memory for the batches that a window keeps in flight. */
export function fits(
  problem: PipelineProblem,
  stages: readonly Placement[],
  window: number,
): boolean {
  return stages.every(({ node, from, to }, i) => {
    if (to === problem.segments) return true;
    const reach = present(problem.stages[node], "a node").reach(
      inFlightMax(stages.length - i, window, problem),
    );
    return to <= (reach[from] as number);
  });
}

/**
 * The stages of a plan's one chain, with nodes by their index among those given.
 * @returns null where the plan has not one chain, or a node of it is not among them
 */
export function placementsOf(
  { chains, copies }: Plan,
  nodes: readonly Pick<FleetNode, "id">[],
): Placement[] | null {
  const [chain] = chains;
  if (chain === undefined || chains.length !== 1) return null;
  const placements = chain.stages.flatMap(({ copy: id }): Placement[] => {
    const copy = copies.find((candidate) => candidate.id === id);
    const node = nodes.findIndex((candidate) => candidate.id === copy?.node);
    return copy === undefined || node < 0 ? [] : [{ node, from: copy.from, to: copy.to }];
  });
  return placements.length < chain.stages.length ? null : placements;
}

/**
 * With 1F1B a stage takes no more than `after` batches into the part of the chain that begins with
 * it, each of which stays there for that part's latency: no less than T0_i / after from batch
 * to batch. Where an update has no more batches than that, nothing is held up. What a last stage
 * takes for a batch is its own period's to say.
 */
export function residenceMs(
  latencyMs: number,
  after: number,
  { schedule, accumulate }: Pick<PipelineProblem, "schedule" | "accumulate">,
): number {
  return schedule === "1f1b" && after > 1 && after < accumulate ? latencyMs / after : 0;
}
