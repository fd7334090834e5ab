import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import type { Model } from "../compile/graph.ts";
import { parseJob } from "./job.ts";
import { type JobFields, jobOf } from "./job-fields.ts";

/** Every field that the type has, so that the schema must know them all. */
const everything = {
  name: "all",
  model: "vgg11",
  modelOptions: { classes: 3, channels: 1, size: 64, dropout: 0.1 },
  data: { csv: "a.csv", label: "kind", test: "b.csv" },
  loss: { kind: "softmax-cross-entropy", labelSmoothing: 0.1 },
  frozen: ["conv1.*"],
  cutTensors: 2,
  recompute: true,
  optimizer: {
    kind: "sgd",
    learningRate: 0.1,
    momentum: 0.5,
    nesterov: true,
    beta1: 0.8,
    beta2: 0.9,
    alpha: 0.9,
    epsilon: 1e-6,
    weightDecay: 0.01,
    clipValue: 1,
    clipNorm: null,
    accumulate: 2,
    schedule: { kind: "step", every: 2, factor: 0.3, warmup: 1 },
  },
  batch: 8,
  rounds: 3,
  localBatches: 2,
  round: { quorum: 0.5, deadline: 2, late: "fold", batches: "proportional" },
  planner: "two-parties",
  parties: [[0, 2], [1]],
  pipeline: { schedule: "1f1b", window: null, backward: "replay" },
  split: { cutMin: 2, mayKeepAll: true, mayShareFreely: true },
  exchange: {
    every: 4,
    select: { kind: "max-n", nMin: 1 },
    codec: "affine8",
    staleness: 1,
    join: { kind: "average" },
    outer: { rate: 0.7, momentum: 0.9 },
    batches: "equal",
  },
  featureReplay: {
    up: ["float32", "affine8"],
    down: ["affine4+feedback"],
    msPerMB: 1,
    msPerJoule: 2,
  },
  codec: { up: "float16", down: "float32", updates: "affine8" },
  seed: 7,
  evaluate: { every: 2, samples: null },
  partition: { alpha: 1 },
  fleet: {
    cellMbit: null,
    devices: [
      {
        name: "phone",
        duty: 0.5,
        ceilingMbit: 8,
        memoryMB: 256,
        energy: { watts: 4, joulesPerMB: 2, joulesPerRound: 9 },
      },
      { name: "tablet" },
    ],
  },
} satisfies Required<JobFields>;

describe("a job that a program writes", () => {
  test("may have every field of the type, and comes out as from a file", () => {
    const job = jobOf(everything, { hasData: false });
    expect(job).toEqual(parseJob(everything));
    expect(job.fleet.devices[0]).toEqual({
      name: "phone",
      duty: 0.5,
      ceilingBytesPerMs: 1000,
      memoryBytes: 256e6,
      energy: { computeWatts: 4, joulesPerByte: 2e-6, joulesPerRound: 9 },
    });
  });

  test("is taken as it is once it is checked", () => {
    const job = parseJob(everything);
    expect(jobOf(job, { hasData: false })).toBe(job);
  });

  test("needs no model and no data where the program brings them", () => {
    const graph = {
      name: "own",
      inputs: [],
      parameters: [],
      constants: new Map(),
      nodes: [],
      outputs: [],
    };
    const model: Model = { graph, weights: new Map() };
    expect(jobOf({ rounds: 2 }, { model, hasData: true })).toMatchObject({
      model: "own",
      rounds: 2,
    });
    const vae = { graph: { ...graph, name: "vae" }, weights: new Map() };
    expect(jobOf({}, { model: vae, hasData: true }).loss.kind).toBe("softmax-cross-entropy");
    expect(jobOf({ model: "vae" }, { model: vae, hasData: true }).loss.kind).toBe("mean-output");
    expect(jobOf({ model: "named" }, { model, hasData: true }).model).toBe("named");
  });

  test.each([
    ["no model", {}, "model: got nothing"],
    ["no data", { model: "mlp" }, "data: got nothing"],
    ["a wrong number", { model: "mlp", data: "mnist", batch: 0 } as const, "batch: got 0"],
  ])("is refused with %s", (_what, fields, message) => {
    expect(() => jobOf(fields, { hasData: false })).toThrow(InputError);
    expect(() => jobOf(fields, { hasData: false })).toThrow(message);
  });
});
