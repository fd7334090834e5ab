/** Six unequal workers and an edge server that trains nothing, as micro-clouds are measured on. */
import { readFileSync } from "node:fs";
import {
  bytesPerMsOfMbit,
  type Job,
  loadModel,
  type Profile,
  parseJob,
  type SegmentCost,
  type SegmentTime,
  scaledProfile,
  segmentCosts,
  trainingModel,
} from "edgeloom";
import type { SimNode } from "edgeloom/sim";

/** Parts of compute, after the processor cluster of Hong and Chandra, "DLion", HPDC 2021. */
export const parts = [24, 24, 12, 12, 4, 4] as const;
/** The same cluster's links, in Mbit/s each way. */
export const unequalMbit: Mbit = [50, 50, 35, 35, 20, 20];

/** Links of each worker, each way, in Mbit/s; null where nothing limits them. */
export type Mbit = readonly (number | null)[];

export const workerName = (i: number): string => `worker-${i + 1}`;

/** One-way delay of a worker's link. */
const latencyMs = 5;

/** How fast one core runs a large model, at batches of 32. */
export function coreProfile(model: string): Profile {
  const file = new URL("parallel-split-profiles.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as Record<string, Profile>)[model] as Profile;
}

/** Batches that {@link coreProfile} has the times of. */
const profiledBatch = 32;

/**
 * A network in the place of a large one.
 * @returns the large one's times, on the segments of the job's network by their work; its weights, and what part of the large one's they are
 */
export function timedAs(
  large: string,
  job: Job,
): { readonly share: number; readonly modelBytes: number; readonly profile: Profile } {
  const costs = costsOf(job);
  const data = { images: "cifar-10" };
  const largeCosts = costsOf(parseJob({ model: large, data, batch: profiledBatch }));
  const bytesOf = (all: readonly SegmentCost[]): number =>
    all.reduce((sum, { parameterBytes }) => sum + parameterBytes, 0);
  const modelBytes = bytesOf(costs);
  const share = modelBytes / bytesOf(largeCosts);
  return { share, modelBytes, profile: stretched(large, costs) };
}

function costsOf(job: Job): SegmentCost[] {
  const { graph, segments } = trainingModel(loadModel(job, ".").graph, job);
  return segmentCosts(graph, segments, job);
}

function stretched(large: string, costs: readonly SegmentCost[]): Profile {
  const { segments, runMs, callMs } = coreProfile(large);
  const timesOf = (of: keyof SegmentTime, workOf: (cost: SegmentCost) => number): number[] => {
    const ms = segments.reduce((sum, own) => sum + own[of], 0);
    const work = costs.map(workOf);
    const all = work.reduce((sum, own) => sum + own, 0);
    return work.map((own) => (ms * own) / all);
  };
  const forward = timesOf("forwardMs", ({ forwardFlops }) => forwardFlops);
  const backward = timesOf("backwardMs", ({ backwardFlops }) => backwardFlops);
  const update = timesOf("updateMs", ({ parameterBytes }) => parameterBytes);
  return {
    segments: costs.map((_, i) => ({
      forwardMs: forward[i] ?? 0,
      backwardMs: backward[i] ?? 0,
      updateMs: update[i] ?? 0,
    })),
    ...{ runMs, callMs },
  };
}

/** What of the fleet is to be chosen. */
interface FleetChoice {
  /** Parts of compute and links of each worker. */
  readonly parts?: readonly number[];
  readonly mbit: Mbit;
  /** How fast a worker with most parts is. */
  readonly profile: Profile;
  samplesOf(worker: number): SimNode["train"];
  readonly test?: SimNode["test"];
}

export function machines({
  parts: own = parts,
  mbit,
  profile,
  samplesOf,
  test = null,
}: FleetChoice): SimNode[] {
  const common = { duty: 1, memoryBytes: null, latencyMs };
  const most = Math.max(...own);
  const workers = own.map((part, i): SimNode => {
    const rate = mbit[i] ?? null;
    const bytesPerMs = rate === null ? null : bytesPerMsOfMbit(rate);
    return {
      ...{ ...common, name: workerName(i), kind: "device", reachable: true, test: null },
      ...{ profile: scaledProfile(profile, (ms) => (ms * most) / part) },
      ceilingBytesPerMs: bytesPerMs,
      wire: {
        upBytesPerMs: bytesPerMs,
        downBytesPerMs: bytesPerMs,
        jitterMs: 0,
        loss: 0,
        cell: null,
      },
      train: samplesOf(i),
    };
  });
  const edge = {
    name: "edge",
    kind: "edge",
    profile,
    ceilingBytesPerMs: null,
    train: null,
  } as const;
  return [{ ...common, ...edge, test }, ...workers];
}
