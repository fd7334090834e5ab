/** The devices, clouds and links of `feature-replay`'s benchmark, as a planner sees them and as machines of the simulator. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  bytesPerMsOfMbit,
  codingSpeed,
  type FleetNode,
  InputError,
  type Job,
  loadModel,
  type Model,
  type NodeId,
  type PlanRequest,
  type Profile,
  parseJob,
  type SegmentCost,
  scaledProfile,
  segmentCosts,
  trainingModel,
} from "edgeloom";
import type { SimNode, SimulationOptions } from "edgeloom/sim";
import { nullEngine } from "edgeloom/sim";
import { parse } from "yaml";
import { chosenOf, optionsOf } from "./bench.ts";
import { stepMs } from "./measured.ts";

const modelNames = ["vgg19", "resnet50", "mobilenetv3-large", "bilstm"] as const;
export type ModelName = (typeof modelNames)[number];

/** A link between device and cloud. */
export interface CellLink {
  readonly name: string;
  readonly upMbit: number;
  readonly downMbit: number;
  readonly ms: number;
}

/** What the committed file says. */
export interface Setting {
  readonly batch: number;
  readonly tx2Seconds: Readonly<Record<ModelName, number>>;
  readonly slowdowns: readonly number[];
  readonly megabytesPerSecond: readonly number[];
  readonly delayMs: number;
  readonly links: readonly CellLink[];
  readonly contexts: readonly string[];
  readonly contextSeconds: number;
}

/** A model with its segments, how long they take in the cloud, and its job. */
export interface Subject {
  readonly model: ModelName;
  readonly job: Job;
  readonly costs: readonly SegmentCost[];
  readonly cloud: Profile;
  /** With its initial weights. */
  readonly start: Model;
}

/** One device, one cloud, one link. */
export interface Cell {
  readonly subject: Subject;
  readonly slowdown: number;
  readonly link: CellLink;
}

const here = (file: string): string => path.join(import.meta.dirname, file);

/**
 * What a benchmark over these cells is asked for: some of the models, and another scenario than the committed one.
 * @throws InputError for other arguments, or a model that none is called
 */
export function askedFor(args: readonly string[]): {
  readonly models: readonly ModelName[];
  readonly setting: Setting;
} {
  const { models, scenario } = optionsOf(args, { models: modelNames.join(), scenario: "" });
  const file = scenario === "" ? here("feature-replay.yaml") : scenario;
  return {
    models: chosenOf("--models", models, modelNames, (name) => name),
    setting: parse(readFileSync(file, "utf8")),
  };
}

/** Profiles that were measured before: what else a machine does now has no part in the result. */
const profiles: Readonly<Partial<Record<ModelName, Profile>>> = {
  ...JSON.parse(readFileSync(here("parallel-split-profiles.json"), "utf8")),
  ...JSON.parse(readFileSync(here("feature-replay-profiles.json"), "utf8")),
};

/** The slowdown at which a device takes the times of a TX2. */
const tx2Slowdown = 10;

export function subjectOf(model: ModelName, { batch, tx2Seconds }: Setting): Subject {
  const job = parseJob({
    model,
    data: { images: "cifar-10" },
    ...{ batch, rounds: 1, localBatches: 100, planner: "feature-replay" },
    fleet: { devices: [{ name: "device" }] },
  });
  const start = loadModel(job, ".");
  const { graph, segments } = trainingModel(start.graph, job);
  const costs = segmentCosts(graph, segments, job);
  const profile = profiles[model];
  if (profile === undefined || profile.segments.length !== costs.length) {
    const received = `a profile of ${profile?.segments.length ?? 0} segments for ${costs.length}`;
    throw new InputError({ what: model, received, allowed: "one that was measured of this model" });
  }
  const factor = (1000 * tx2Seconds[model]) / tx2Slowdown / stepMs(profile);
  const cloud = { ...scaledProfile(profile, (ms) => factor * ms), runMs: 0.02, callMs: 0.05 };
  return { model, job, costs, cloud, start };
}

export const cellsOf = (subject: Subject, setting: Setting): Cell[] =>
  setting.slowdowns.flatMap((slowdown) => [
    ...setting.megabytesPerSecond.map((megabytes) => {
      const mbit = 8 * megabytes;
      const name = `${megabytes} MB/s`;
      return {
        subject,
        slowdown,
        link: { name, upMbit: mbit, downMbit: mbit, ms: setting.delayMs },
      };
    }),
    ...setting.links.map((link) => ({ subject, slowdown, link })),
  ]);

const deviceProfile = ({ subject, slowdown }: Cell): Profile =>
  scaledProfile(subject.cloud, (ms) => slowdown * ms);

/** What a planner is asked that knows the cell. @param work batches of a round */
export function requestOf(cell: Cell, work: number): PlanRequest {
  const { subject, link } = cell;
  const { costs, cloud, job } = subject;
  const node = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null };
  const [device, server] = ["device" as NodeId, "cloud" as NodeId];
  const nodes: FleetNode[] = [
    {
      ...node,
      ...{ id: device, name: "device", kind: "device", samples: 1000, latencyMs: link.ms },
      profile: deviceProfile(cell),
    },
    {
      ...node,
      ...{ id: server, name: "cloud", kind: "cloud", samples: 0, latencyMs: 0 },
      profile: cloud,
    },
  ];
  const way = {
    ...{ from: device, to: server, latencyMs: link.ms },
    thereBytesPerMs: bytesPerMsOfMbit(link.upMbit),
    backBytesPerMs: bytesPerMsOfMbit(link.downMbit),
  };
  return {
    ...{ term: 1, segments: costs, recompute: false, work, labelBytes: 8 * job.batch },
    fleet: { nodes, links: [way], cellBytesPerMs: null },
    ...{ codecUp: "float32", codecDown: "float32", accumulate: 1 },
    pipeline: { schedule: "window", window: null, backward: "stored" },
  };
}

/** The same cell as machines: the coordinator is in the cloud. @param localBatches of a round */
export function machinesOf(cell: Cell, localBatches: number): SimulationOptions {
  const { subject, link } = cell;
  const { job, cloud, costs, model, start } = subject;
  const own = deviceProfile(cell);
  const [inputShape, classes] = model === "bilstm" ? [[32], 2] : [[3, 32, 32], 10];
  const idle = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null, test: null };
  const device: SimNode = {
    ...idle,
    ...{ name: "device", kind: "device", latencyMs: link.ms, profile: own },
    codingSpeed: codingSpeed(own, costs),
    train: { samples: 10_000, inputShape, classes },
    wire: {
      ...{ jitterMs: 0, loss: 0, cell: null },
      upBytesPerMs: bytesPerMsOfMbit(link.upMbit),
      downBytesPerMs: bytesPerMsOfMbit(link.downMbit),
    },
  };
  const server: SimNode = {
    ...idle,
    ...{ name: "cloud", kind: "cloud", latencyMs: 0, profile: cloud, train: null },
    codingSpeed: codingSpeed(cloud, costs),
  };
  return {
    job: { ...job, localBatches },
    model: start,
    nodes: [device, server],
    coordinatorOn: "cloud",
    engine: nullEngine,
  };
}
