/**
 * Distributed runs of what needs more than weights and gradients: running statistics, noise,
 * several tensors at a border, frozen parameters, gradients that accumulate. Each gives the
 * weights of its single-process replay, bit for bit.
 */
import { expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { Network } from "../../src/models/network.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob } from "./small-job.ts";

/** A residual block with batch normalisation and dropout between two layers. */
function blockModel() {
  const net = new Network("block", { seed: 3 });
  const x = net.relu("relu1", net.batchNorm("bn1", net.linear("fc1", net.input([12]), 8)));
  const inner = net.relu("relu2", net.batchNorm("bn2", net.linear("fc2", x, 8)));
  const joined = net.add("joined", x, net.dropout("drop", inner, 0.25));
  return net.model(net.linear("fc3", joined, 3));
}

const adam = { kind: "adam", learningRate: 0.02 };

test.each([
  ["batch normalisation and dropout", {}],
  ["adam over accumulated gradients", { optimizer: { ...adam, accumulate: 3 } }],
  [
    "two tensors at a border",
    { cutTensors: 2, fleet: { devices: [{ name: "a" }, { name: "b" }] } },
  ],
  ["activations computed twice", { recompute: true }],
  ["a frozen first layer", { frozen: ["fc1.*", "bn1.*"] }],
  [
    "clipping, warm-up and smoothing",
    {
      optimizer: { clipNorm: 0.5, clipValue: 0.2, schedule: { kind: "step", every: 1, warmup: 1 } },
      loss: { kind: "softmax-cross-entropy", labelSmoothing: 0.1, classWeights: [1, 2, 1] },
    },
  ],
])("%s", async (name, change) => {
  const model = blockModel();
  const job = smallJob({ model: "block", ...change });
  const { segments } = trainingModel(model.graph, job);
  const profile = {
    segments: segments.map(() => ({ forwardMs: 1, backwardMs: 2, updateMs: 0.1 })),
    runMs: 0.02,
    callMs: 0.03,
  };
  const nodes = smallFleet(job).map((node) => ({ ...node, profile }));
  const before = new Map([...model.weights].map(([key, { data }]) => [key, data.slice()]));
  const result = await simulate({ job, model, nodes, engine: interpreterEngine });
  expect(result.end).toMatchObject({ reason: "finished" });
  const records = result.records.map(({ record }) => record);
  const plan = records.find((record) => record.type === "planned")?.plan;
  expect(plan?.chains.every(({ stages }) => stages.length === 2)).toBe(true);
  const saved = await expectReplayed(job, result, { model: blockModel() });
  for (const [key, value] of saved) {
    const isFrozen = name.includes("frozen") && /^(fc1|bn1)/.test(key);
    // Normalisation takes a bias before it away again, so its gradient may be exactly 0.
    if (!isFrozen && !key.endsWith("weight")) continue;
    const old = present(before.get(key), key);
    expect(
      value.data.every((element, k) => element === old[k]),
      key,
    ).toBe(isFrozen);
  }
  expect([...saved.keys()]).toContain("bn2.running_var");
});
