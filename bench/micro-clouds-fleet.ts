/** Six unequal workers and an edge server that trains nothing, as micro-clouds are measured on. */
import { readFileSync } from "node:fs";
import { bytesPerMsOfMbit, type Profile, scaledProfile } from "edgeloom";
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
