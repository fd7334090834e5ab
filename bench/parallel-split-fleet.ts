/** The fleets that parallel split learning is measured on: unequal devices, one edge server, one cell. */
import { createHash } from "node:crypto";
import {
  type FleetNode,
  type Job,
  loadModel,
  type NodeId,
  type PlanRequest,
  type Profile,
  parseJob,
  type SegmentCost,
  scaledProfile,
  segmentCosts,
  trainingModel,
} from "edgeloom";

export const modelNames = ["vgg19", "resnet50", "mobilenetv3-large"] as const;
export type ModelName = (typeof modelNames)[number];

/** Schemes that are plans, to compare with. */
export const baselines = [
  "federated-averaging",
  "splitfed",
  "per-device-cut",
  "alternating-split",
  "sequential-split",
] as const;

/** Two methods that come to the same plan may have a device wait here or there for a server: so much is as good as 1. */
export const even = 1 - 1e-3;

/** How many times slower than the fastest a device may be. */
const slowDowns = [1, 2, 4, 8, 20] as const;
/** How many times as fast as the fastest device the edge server is. */
const serverSpeed = 40;
/** One-way delay of a device's link. */
const latencyMs = 1;
const [batch, localBatches, labelWidth] = [32, 50, 8];

/** A model with how fast the fastest device runs it. */
export interface Measured {
  readonly model: ModelName;
  readonly costs: readonly SegmentCost[];
  readonly profile: Profile;
}

/** Which fleet. */
export interface Cell {
  readonly devices: number;
  /** What all devices share, each way. */
  readonly bytesPerMs: number;
}

export const jobOf = (model: ModelName, { devices, bytesPerMs }: Cell): Job =>
  parseJob({
    model,
    data: { images: "cifar-10" },
    batch,
    localBatches,
    rounds: 2,
    fleet: { cellMbit: bytesPerMs / 125, devices },
  });

/** What a planner knows of a model's segments. */
export function costsOf(model: ModelName): SegmentCost[] {
  const job = jobOf(model, { devices: 1, bytesPerMs: 1 });
  const { graph, segments } = trainingModel(loadModel(job, ".").graph, job);
  return segmentCosts(graph, segments, job);
}

/** How many times slower each device of a draw is: the same for all models and cells with so many. */
const drawn = (devices: number, draw: number): number[] =>
  Array.from({ length: devices }, (_, i) => {
    const digest = createHash("sha256").update(`slow-down ${devices} ${draw} ${i}`).digest();
    return slowDowns[digest.readUInt32LE() % slowDowns.length] as number;
  });

/** The nodes of a fleet: the server first. */
export function fleetOf(
  { profile }: Pick<Measured, "profile">,
  cell: Cell,
  draw: number,
): FleetNode[] {
  const node = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null };
  const server: FleetNode = {
    ...node,
    ...{ id: "edge" as NodeId, name: "edge", kind: "edge", samples: 0, latencyMs: 0 },
    profile: scaledProfile(profile, (ms) => ms / serverSpeed),
  };
  const devices = drawn(cell.devices, draw).map((slower, i): FleetNode => {
    const name = `device-${i + 1}`;
    return {
      ...node,
      ...{ id: name as NodeId, name, kind: "device", samples: 1600, latencyMs },
      profile: scaledProfile(profile, (ms) => ms * slower),
    };
  });
  return [server, ...devices];
}

/** What planners are asked for a fleet. A device may keep all segments, as in federated averaging. */
export function requestOf(measured: Measured, cell: Cell, draw: number): PlanRequest {
  return {
    term: 1,
    segments: measured.costs,
    fleet: { nodes: fleetOf(measured, cell, draw), links: [], cellBytesPerMs: cell.bytesPerMs },
    recompute: false,
    work: localBatches,
    labelBytes: batch * labelWidth,
    codecUp: "float32",
    codecDown: "float32",
    pipeline: { schedule: "window", window: null, backward: "stored" },
    split: { mayKeepAll: true },
    accumulate: 1,
  };
}
