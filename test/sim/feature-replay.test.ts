/** Runs of one device and one distant server: what replay computes, and what coding takes. */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { Network } from "../../src/models/network.ts";
import { featureReplay } from "../../src/plan/feature-replay.ts";
import type { Planner } from "../../src/plan/plan.ts";
import type { Planned } from "../../src/run/metrics/record.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { type SimulationOptions, simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { shard, smallJob, smallModel } from "./small-job.ts";

/** Two layers with batch normalisation, and a last one. */
function normalisedModel() {
  const net = new Network("normalised", { seed: 3 });
  const first = net.relu("relu1", net.batchNorm("bn1", net.linear("fc1", net.input([12]), 64)));
  const second = net.relu("relu2", net.batchNorm("bn2", net.linear("fc2", first, 64)));
  return net.model(net.linear("fc3", second, 3));
}

const job = smallJob({
  model: "normalised",
  planner: "feature-replay",
  ...{ rounds: 3, localBatches: 12, evaluate: { every: 100 } },
  fleet: { devices: [{ name: "phone" }] },
});

/** A phone ten times slower than the cloud, which the coordinator is in. */
function options(bytesPerMs: number, more: Partial<SimulationOptions> = {}): SimulationOptions {
  const { model = normalisedModel() } = more;
  const { segments } = trainingModel(model.graph, job);
  const profileAt = (ms: number) => ({
    segments: segments.map(() => ({ forwardMs: ms, backwardMs: 2 * ms, updateMs: ms / 10 })),
    ...{ runMs: 0.02, callMs: 0.03 },
  });
  const node = { duty: 1, memoryBytes: null, ceilingBytesPerMs: null, test: null };
  const wire = { upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs, jitterMs: 0, loss: 0 };
  const nodes: SimNode[] = [
    {
      ...node,
      ...{ name: "phone", kind: "device", latencyMs: 2, profile: profileAt(10) },
      ...{ train: shard(1), wire: { ...wire, cell: null } },
    },
    { ...node, name: "cloud", kind: "cloud", latencyMs: 0, profile: profileAt(1), train: null },
  ];
  return { job, model, nodes, coordinatorOn: "cloud", engine: interpreterEngine, ...more };
}

const plansOf = ({ records }: Awaited<ReturnType<typeof simulate>>): Planned[] =>
  records.flatMap(({ record }) => (record.type === "planned" ? [record] : []));

/** The engine's plan with one batch at a time, so that weights are no older for a batch that comes back. */
const serially =
  (backward: "stored" | "replay"): Planner =>
  (request) => {
    const plan = featureReplay({ ...request, pipeline: { ...request.pipeline, window: 0 } });
    const chains = plan.chains.map((chain) => ({
      ...chain,
      stages: chain.stages.map((stage, i) => (i === 0 ? { ...stage, backward } : stage)),
    }));
    return { ...plan, chains };
  };

test("replay moves running statistics once for each batch", async () => {
  const weights = await Promise.all(
    (["stored", "replay"] as const).map(async (backward) => {
      const result = await simulate(options(100, { planner: serially(backward) }));
      expect(result.end.reason).toBe("finished");
      const [plan] = plansOf(result).slice(-1);
      expect(plan?.plan.chains[0]?.stages.map((stage) => stage.backward)).toEqual([
        backward,
        "none",
      ]);
      const bytes = present(result.files.get("weights.safetensors"), "saved weights");
      return readSafetensors(bytes).tensors;
    }),
  );
  const [stored, replayed] = weights;
  expect([...(stored?.keys() ?? [])]).toContain("bn1.running_var");
  for (const [key, value] of present(stored, "weights")) {
    expect(replayed?.get(key)?.data, key).toEqual(value.data);
  }
});

test("a coded run gives the weights of its replay in one process, bit for bit", async () => {
  const coded = { up: ["affine8"] as const, down: ["affine4+feedback"] as const };
  const planner: Planner = (request) => featureReplay({ ...request, featureReplay: coded });
  const result = await simulate(options(20, { planner }));
  const plan = present(plansOf(result).at(-1), "a plan").plan;
  expect(plan.links[0]).toMatchObject({ codecUp: "affine8", codecDown: "affine4+feedback" });
  await expectReplayed(job, result, { model: normalisedModel(), samplesOf: () => shard(1) });
});

/** So many batches under way, as a long way there and back keeps them. */
const stale: Planner = (request) => {
  const plan = featureReplay({ ...request, pipeline: { ...request.pipeline, window: 6 } });
  return { ...plan, chains: plan.chains.map((chain) => ({ ...chain, window: 6 })) };
};

describe("stale gradients", () => {
  const trainedWith = async (staleness: "ignored" | "divided", learningRate: number) => {
    const own = smallJob({
      ...{ planner: "feature-replay", rounds: 6, localBatches: 40, evaluate: { every: 100 } },
      optimizer: { kind: "sgd", learningRate, momentum: 0 },
      ...{ pipeline: { staleness }, fleet: { devices: [{ name: "phone" }] } },
    });
    const { nodes, ...rest } = options(100, { planner: stale, job: own, model: smallModel() });
    const far = nodes.map((node) => ({ ...node, latencyMs: node.kind === "device" ? 300 : 0 }));
    const result = await simulate({ ...rest, nodes: far });
    const records = result.records.map(({ record }) => record);
    const losses = records.flatMap((record) => (record.type === "round" ? [record.loss ?? 0] : []));
    return { own, result, loss: present(losses.at(-1), "a loss") };
  };

  test("overshoot at a high rate, unless steps are divided by the updates that they do not know of", async () => {
    const [ignored, divided] = [await trainedWith("ignored", 1), await trainedWith("divided", 1)];
    expect(divided.loss).toBeLessThan(ignored.loss / 10);
    for (const { own, result } of [ignored, divided]) {
      await expectReplayed(own, result, { samplesOf: () => shard(1) });
    }
  });

  test("do no harm at a low rate, where smaller steps are slower", async () => {
    const [ignored, divided] = [
      await trainedWith("ignored", 0.3),
      await trainedWith("divided", 0.3),
    ];
    expect(ignored.loss).toBeLessThan(divided.loss);
  });
});

test("a phone that comes back over another link is planned for by what that link carries", async () => {
  const points = [
    [0, 1000],
    [3000, 100],
  ] as const;
  const result = await simulate({
    ...options(1000, { engine: nullEngine, job: { ...job, rounds: 10 }, patienceMs: 10_000 }),
    traces: [
      { kind: "rate", of: "phone", way: "up", points },
      { kind: "rate", of: "phone", way: "down", points },
    ],
    faults: [{ kind: "crash", node: "phone", atMs: 3000, forMs: 1000 }],
  });
  expect(result.end.reason).toBe("finished");
  const back = result.records.findIndex(
    ({ record }) => record.type === "planned" && record.reason.includes("phone is back"),
  );
  const before = result.records.slice(0, back).map(({ record }) => record);
  expect(before.filter(({ type }) => type === "round").length).toBeGreaterThan(0);
  const after = result.records.slice(back + 1).map(({ record }) => record);
  // The plan that it is sent as it comes back knows nothing of the link, and no round begins under it.
  const round = after.findIndex(({ type }) => type === "round");
  const known = after.slice(0, round).findLast(({ type }) => type === "links");
  const [link] = known?.type === "links" ? known.links : [];
  expect(link?.thereBytesPerMs).toBeGreaterThan(80);
  expect(link?.thereBytesPerMs).toBeLessThan(105);
});

test("coding takes time where machines say how fast they code", async () => {
  const planner: Planner = (request) =>
    featureReplay({ ...request, featureReplay: { up: ["affine8"], down: ["affine8"] } });
  const timeAt = async (codingSpeed?: number): Promise<number> => {
    const { nodes, ...rest } = options(100, { planner, engine: nullEngine });
    const coding = codingSpeed === undefined ? {} : { codingSpeed };
    const { virtualMs } = await simulate({
      ...rest,
      nodes: nodes.map((node) => ({ ...node, ...coding })),
    });
    return virtualMs;
  };
  const free = await timeAt();
  // 8 x 64 values a batch: a hundred thousandth of the benchmarks' machine takes some milliseconds.
  expect(await timeAt(1e-5)).toBeGreaterThan(free * 1.02);
  expect(await timeAt(1e3)).toBeCloseTo(free, 0);
});
