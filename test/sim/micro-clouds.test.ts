/** Workers that agree from node to node while they train, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { dense, type Tensor, tensor, zeros } from "../../src/base/tensor.ts";
import { stagePrograms } from "../../src/compile/program.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { Sequential } from "../../src/models/layers.ts";
import { type Job, jobSpecOf } from "../../src/run/job.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import type { SimulationOptions } from "../../src/sim/simulate.ts";
import {
  accuracyOf,
  all,
  cloudJob,
  expectReplayed,
  names,
  parts,
  type Ran,
  run,
  saved,
  sourceOf,
  straightBytes,
} from "./clouds.ts";
import { smallFleet, smallModel } from "./small-job.ts";

/** One process that takes all batches of an update as one large batch. */
async function largeBatch(job: Job, shares: ReadonlyMap<string, number>, updates: number) {
  const spec = jobSpecOf(job);
  const { graph, segments } = trainingModel(smallModel().graph, job);
  const total = [...shares.values()].reduce((sum, share) => sum + share, 0);
  const optimizer = { ...spec.optimizer, accumulate: total };
  const { step, update } = stagePrograms(graph, segments, 0, segments.length, {
    ...spec,
    optimizer,
  });
  const engine = interpreterEngine();
  const held = new Map<string, Tensor>(smallModel().weights);
  for (let at = 0; at < updates; at++) {
    const batches = [...shares].flatMap(([node, share]) =>
      Array.from({ length: share }, (_, i) => ({ node, step: at * share + i })),
    );
    const sums = new Map<string, Tensor>();
    for (const key of [...batches, null]) {
      const batch = key && sourceOf(key.node).batch({ seed: job.seed, size: job.batch, ...key });
      const program = present(batch === null ? update : step, "a program");
      const feeds = new Map(
        program.inputs.map((port): [string, Tensor] => {
          if (port.role === "feature") return [port.name, present(batch, "a batch").features];
          if (port.role === "labels") return [port.name, present(batch, "a batch").labels];
          const rate = Float32Array.of(job.optimizer.learningRate);
          if (port.role === "learningRate") return [port.name, tensor("float32", [], rate)];
          const own = port.role === "parameterGradient" ? sums : held;
          const value = dense(own.get(port.of) ?? zeros(port));
          return [port.name, { ...value, data: value.data.slice() }];
        }),
      );
      await engine.load([program]);
      const fetch = program.outputs.map(({ name }) => name);
      const { outputs } = await engine.run({ program: program.id, feeds, keep: new Map(), fetch });
      for (const { role, of, name } of program.outputs) {
        if (role === "loss") continue;
        (role === "parameterGradient" ? sums : held).set(of, present(outputs.get(name), name));
      }
    }
  }
  return held;
}

/** Of layers so large that what is said of a message weighs little beside what is in it. */
const wider = new Sequential("small", [12], 3)
  .linear("fc1", 64)
  .relu("relu1")
  .linear("fc2", 32)
  .relu("relu2")
  .linear("fc3", 3)
  .model();

describe("micro-clouds", () => {
  it("with all gradients from everybody make the updates of one large batch, however it is dealt out", async () => {
    const job = cloudJob({ rounds: 2, exchange: all });
    const ran = await run(job);
    expect(ran.end).toEqual({ reason: "finished", text: "2 rounds" });
    const { plan } = present(ran.of("planned")[0], "a plan");
    const shares = new Map(
      plan.chains.map(({ source, microBatches }) => [source, microBatches ?? 0]),
    );
    expect([...shares.values()].reduce((sum, share) => sum + share, 0)).toBe(24);
    expect(shares.get("a" as never)).toBeGreaterThan(5 * (shares.get("f" as never) ?? 0));
    const expected = await largeBatch(job, shares, 2 * 3);
    for (const [name, { data }] of saved(ran)) {
      const values = dense(present(expected.get(name), name)).data as Float32Array;
      const largest = Math.max(...values.map(Math.abs));
      (data as Float32Array).forEach((value, i) => {
        expect(Math.abs(value - (values[i] as number)) / largest, name).toBeLessThan(1e-5);
      });
    }
    await expectReplayed(ran);
  });

  it.each([
    ["the largest gradients", { every: 1, select: { kind: "max-n" } }],
    ["significant gradients", { every: 1, select: { kind: "significant", share: 0.05 } }],
    [
      "parts in turn, up to two late",
      { every: 1, select: { kind: "parts", parts: 3 }, staleness: 2 },
    ],
    ["all gradients, each joined by everybody", { ...all, reduce: "each" }],
    ["changes after updates of two batches", { every: 3, inner: 2 }],
    ["slices of changes", { every: 3, reduce: "scatter", outer: { rate: 0.7, momentum: 0.5 } }],
    ["all but the slowest neighbour", { every: 1, select: "all", staleness: 2, backups: 1 }],
    ["gradients in 8 bits", { ...all, codec: "affine8" }],
    ["gradients in 4 bits, each joined by everybody", { ...all, codec: "affine4", reduce: "each" }],
    ["the largest gradients in 8 bits", { every: 1, select: { kind: "max-n" }, codec: "affine8" }],
    ["changes in 4 bits", { every: 3, codec: "affine4", outer: { rate: 0.7, momentum: 0.9 } }],
    ["the median of gradients", { every: 1, select: "all", join: { kind: "median" } }],
    ["changes after three updates", { every: 3, outer: { rate: 0.7, momentum: 0.5 } }],
  ])("give the weights of their replay, bit for bit, with %s", async (_what, exchange) => {
    const ran = await run(cloudJob({ rounds: 2, exchange }));
    expect(ran.end).toEqual({ reason: "finished", text: "2 rounds" });
    expect(straightBytes(ran)).toBeGreaterThan(1000);
    await expectReplayed(ran);
  });

  it("reach the same through the coordinator where nobody can be reached", async () => {
    const job = cloudJob({ rounds: 1, exchange: all });
    const nodes = smallFleet(job).map((node) => ({ ...node, reachable: false }));
    const [straight, relayed] = [await run(job), await run(job, { nodes })];
    expect(straightBytes(relayed)).toBe(0);
    expect(saved(relayed)).toEqual(saved(straight));
  });

  it("learn as well from the largest gradients, with a fraction of the bytes", async () => {
    const change = { rounds: 8, localBatches: 16 };
    const slow = (exchange: object) => {
      const job = cloudJob({ ...change, exchange });
      const devices = job.fleet.devices.map((device) => ({ ...device, ceilingBytesPerMs: 100 }));
      return run({ ...job, fleet: { ...job.fleet, devices } }, { model: wider });
    };
    const [full, largest] = [
      await slow({ ...all, reduce: "each" }),
      await slow({ every: 1, select: { kind: "max-n" } }),
    ];
    expect(accuracyOf(full)).toBeGreaterThan(0.9);
    expect(accuracyOf(largest)).toBeGreaterThan(accuracyOf(full) - 0.05);
    expect(straightBytes(largest)).toBeLessThan(0.4 * straightBytes(full));
  });

  it("R28: come to the same from codes of 8 and 4 bits, with a fraction of the bytes", async () => {
    const coded = (codec: string, change: Partial<SimulationOptions> = {}, more: object = {}) =>
      run(
        cloudJob({ rounds: 8, localBatches: 16, exchange: { every: 2, codec, ...more } }),
        change,
      );
    const whole = await coded("float32");
    // What is said of a message, and grids of small tensors, come on top.
    for (const [codec, share, shareWithTook] of [
      ["affine8", 0.4, 0.44],
      ["affine4", 0.32, 0.37],
    ] as const) {
      const ran = await coded(codec);
      const { plan } = present(ran.of("planned")[0], "a plan");
      expect(plan.groups[0]?.exchange).toMatchObject({ home: "first", reduce: "scatter" });
      expect(accuracyOf(ran)).toBeGreaterThan(accuracyOf(whole) - 0.05);
      await expectReplayed(ran);
      const hollow = { engine: nullEngine, model: wider };
      // Where batches are not dealt out, messages of this small model say how many they were as well.
      for (const [batches, most] of [
        ["dealt", share],
        ["proportional", shareWithTook],
      ] as const) {
        const [all, less] = [
          await coded("float32", hollow, { batches }),
          await coded(codec, hollow, { batches }),
        ];
        expect(straightBytes(less)).toBeLessThan(most * straightBytes(all));
      }
    }
  });

  it("go on when one of them dies, and follow the plan without it from the next round on", async () => {
    const job = cloudJob({ rounds: 4, exchange: all });
    const calm = await run(job);
    const [first, second] = calm.records.filter(({ record }) => record.type === "round");
    const atMs = (present(first, "a round").atMs + present(second, "a round").atMs) / 2;
    const ran = await run(job, { faults: [{ kind: "crash", node: "b", atMs }] });
    expect(ran.end).toEqual({ reason: "finished", text: "4 rounds" });
    const rounds = ran.of("round");
    expect(rounds[1]?.dropped.map(({ chain }) => chain)).toEqual(["chain:b"]);
    expect(rounds[1]?.participants).toHaveLength(5);
    const joined = rounds[1]?.participants[0]?.joined ?? [];
    expect(new Set(joined.map(({ chain }) => chain))).toEqual(new Set(["chain:b"]));
    expect(ran.of("planned").at(-1)?.plan.chains).toHaveLength(5);
    await expectReplayed(ran);
  });

  it.each([
    ["gradients of all", all],
    ["changes of weights", { every: 3, outer: { rate: 0.7, momentum: 0.5 } }],
  ])("bring home once what all have, with %s", async (_what, exchange) => {
    const ran = await run(cloudJob({ rounds: 3, exchange }));
    const { plan } = present(ran.of("planned")[0], "a plan");
    expect(plan.groups[0]?.exchange?.home).toBe("first");
    const first = plan.copies.find(({ id }) => id === plan.groups[0]?.members[0]);
    const [, ...later] = ran.of("round");
    for (const { nodes } of later) {
      for (const { node, bytesUp, bytesDown, bytesStraight } of nodes) {
        // Weights of 500 bytes travel once, and what is said of a round is as much again.
        if (node !== first?.node) expect(bytesUp + bytesDown - bytesStraight).toBeLessThan(4000);
      }
    }
    await expectReplayed(ran);
  });

  it("have another one bring what all have where the first one dies while it does", async () => {
    // The slowest has the fastest link, so that it brings it, and is done after the others.
    const devices = parts.map((part, i) => {
      return { name: names[i], duty: part / 24, ceilingMbit: part === 4 ? 2 : 1 };
    });
    const job = cloudJob({ rounds: 2, exchange: all, fleet: { cellMbit: null, devices } });
    const calm = await run(job);
    const { plan } = present(calm.of("planned")[0], "a plan");
    const copy = present(plan.groups[0]?.members[0], "the first one");
    const { node } = present(
      plan.copies.find(({ id }) => id === copy),
      copy,
    );
    const [first] = calm.records.filter(({ record }) => record.type === "round");
    // It has exchanged all there is, and the others have said that they are done.
    const atMs = present(first, "a round").atMs - 11;
    const ran = await run(job, { faults: [{ kind: "crash", node, atMs }] });
    expect(ran.end).toEqual({ reason: "finished", text: "2 rounds" });
    const [cut] = ran.of("round");
    expect(cut?.dropped.map(({ chain }) => chain)).toEqual([`chain:${node}`]);
    // It had exchanged all there was: what was missing was nothing but the weights.
    for (const { joined } of cut?.participants ?? []) expect(joined).toBeUndefined();
    await expectReplayed(ran);
  });

  it.each([
    ["gradients of all", all],
    ["changes of weights", { every: 3 }],
  ])(
    "take more batches to an update from round to round, and the learning rate along, with %s",
    async (_what, own) => {
      const exchange = { ...own, growth: { every: 2, max: 2, rate: "sqrt" } };
      const ran = await run(cloudJob({ rounds: 4, localBatches: 24, exchange }));
      const plans = ran.of("planned").map(({ plan }) => plan);
      const toUpdate = plans.map(({ chains, groups }) => {
        const inner = groups[0]?.exchange?.inner ?? null;
        return inner ?? chains.reduce((sum, { microBatches = 0 }) => sum + microBatches, 0);
      });
      expect(toUpdate).toEqual("select" in own ? [24, 48] : [1, 2]);
      expect(ran.of("planned")[1]?.reason).toContain("2 times the job's batches");
      const rates = ran.of("round").map(({ learningRate }) => learningRate);
      expect(rates).toEqual([0.1, 0.1, 0.1 * Math.SQRT2, 0.1 * Math.SQRT2]);
      await expectReplayed(ran);
    },
  );

  it("deal batches out anew where one of them has become slow", async () => {
    const job = cloudJob({ rounds: 6, exchange: all });
    const slow = { kind: "slow", node: "b", atMs: 0, forMs: 1e9, factor: 4 } as const;
    const calm = await run(job);
    const atMs = present(
      calm.records.find(({ record }) => record.type === "round"),
      "a round",
    ).atMs;
    const ran = await run(job, { faults: [{ ...slow, atMs }] });
    expect(ran.end).toEqual({ reason: "finished", text: "6 rounds" });
    const plans = ran.of("planned").map(({ plan }) => plan);
    const sharesOf = (plan: (typeof plans)[0] | undefined) =>
      new Map(plan?.chains.map(({ source, microBatches = 0 }) => [String(source), microBatches]));
    const [first, last] = [sharesOf(plans[0]), sharesOf(plans.at(-1))];
    expect(plans.length).toBeGreaterThan(1);
    expect(last.get("b")).toBeLessThan(0.5 * (first.get("b") ?? 0));
    expect([...last.values()].reduce((sum, share) => sum + share, 0)).toBe(24);
    await expectReplayed(ran);
  });

  it("send as much where nothing is computed, and take as long", async () => {
    const job = cloudJob({ rounds: 2, planner: "full-exchange" });
    const [real, hollow] = [await run(job), await run(job, { engine: nullEngine })];
    expect(straightBytes(hollow) / straightBytes(real)).toBeCloseTo(1, 1);
    const msOf = (ran: Ran): number => present(ran.of("round")[1], "a round").ms;
    expect(msOf(hollow) / msOf(real)).toBeCloseTo(1, 2);
  });
});
