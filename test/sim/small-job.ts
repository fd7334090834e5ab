/** A job small enough for the interpreter: 12 features, 3 classes, under 200 parameters. */
import { random } from "../../src/base/random.ts";
import { csvDataset } from "../../src/data/csv.ts";
import { SampleSource } from "../../src/data/source.ts";
import { Sequential } from "../../src/models/layers.ts";
import type { Profile } from "../../src/plan/plan.ts";
import { type Job, parseJob } from "../../src/run/job.ts";
import type { SimNode } from "../../src/sim/fleet.ts";

export const smallModel = (seed = 3) =>
  new Sequential("small", [12], seed)
    .linear("fc1", 8)
    .relu("relu1")
    .linear("fc2", 6)
    .relu("relu2")
    .linear("fc3", 3)
    .model();

const segmentCount = 5;

/** Three clouds of points, unevenly mixed by `seed`. */
function clouds(samples: number, seed: number): SampleSource {
  const draw = random(seed);
  const centre = (label: number, i: number): number => Math.sin(5 * label + i);
  const rows = Array.from({ length: samples }, (_, i) => {
    const label = i < 3 ? i : draw.below(draw.below(3) + 1);
    const point = Array.from({ length: 12 }, (_, k) =>
      (centre(label, k) + 0.4 * draw.normal()).toFixed(4),
    );
    return `${point.join(",")},${label}`;
  });
  return new SampleSource(csvDataset(new TextEncoder().encode(rows.join("\n")), { header: false }));
}

const flatProfile = (forwardMs: number): Profile => ({
  segments: Array.from({ length: segmentCount }, () => ({
    forwardMs,
    backwardMs: 2 * forwardMs,
    updateMs: forwardMs / 10,
  })),
  runMs: 0.02,
  callMs: 0.03,
});

export const smallJob = (change: object = {}): Job =>
  parseJob(
    {
      name: "small",
      model: "small",
      data: { csv: "none" },
      optimizer: { learningRate: 0.1, momentum: 0.9, weightDecay: 0.001 },
      batch: 8,
      rounds: 4,
      localBatches: 3,
      evaluate: { every: 2 },
      fleet: {
        cellMbit: 1,
        devices: [
          { name: "a", duty: 1 },
          { name: "b", duty: 0.25 },
          { name: "c", duty: 0.05 },
        ],
      },
      ...change,
    },
    () => "test job",
  );

/** Private samples of the job's device number `i`. */
export const shard = (i: number): SampleSource => clouds(40 + 30 * i, i + 1);

/** The job's devices and an edge server; everybody computes as fast at full duty. */
export function smallFleet(job: Job): SimNode[] {
  const common = { profile: flatProfile(1), memoryBytes: null, ceilingBytesPerMs: null };
  const devices = job.fleet.devices.map(
    (device, i): SimNode => ({
      ...common,
      ...device,
      kind: "device",
      latencyMs: 1,
      train: shard(i),
      test: null,
    }),
  );
  const edge: SimNode = {
    ...common,
    name: "edge",
    kind: "edge",
    duty: 1,
    latencyMs: 0,
    train: null,
    test: clouds(90, 99),
  };
  return [edge, ...devices];
}
