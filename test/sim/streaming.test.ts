/** Members that exchange their changes by fragments while they train on, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { Sequential } from "../../src/models/layers.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import {
  accuracyOf,
  cloudFleet,
  cloudJob,
  expectReplayed,
  type Ran,
  run,
  saved,
  straightBytes,
} from "./clouds.ts";

const stream = { fragments: 3, mix: 0.5 };
const outer = { rate: 0.7, momentum: 0.5 };
/** Rounds of twelve updates, with an exchange after six. */
const streamedJob = (exchange: object = {}, change: object = {}) =>
  cloudJob({
    ...{ rounds: 2, localBatches: 48 },
    exchange: { every: 6, stream, ...exchange },
    ...change,
  });

const exchangeOf = (ran: Ran) =>
  present(ran.of("planned")[0]?.plan.groups[0]?.exchange, "an exchange");

/** A hundred kilobytes: over slow lines, fragments are under way for a while. */
const wider = new Sequential("small", [12], 3)
  .linear("fc1", 256)
  .relu("relu1")
  .linear("fc2", 96)
  .relu("relu2")
  .linear("fc3", 3)
  .model();

describe("members that exchange by fragments", () => {
  it.each([
    ["slices of them joined for all", {}],
    ["each joining all", { reduce: "each", outer }],
    ["in 8 bits a value", { codec: "affine8", outer: { rate: 0.7, momentum: 0.9 } }],
    ["in 4 bits a value, each joining all", { codec: "affine4", reduce: "each" }],
    [
      "under way for two updates, and nothing kept of them",
      { stream: { ...stream, delay: 2, mix: 0 } },
    ],
    ["more often than they divide the updates", { every: 4, stream: { ...stream, fragments: 3 } }],
    ["one of them, which is the model", { stream: { fragments: 1, delay: 2 } }],
    ["updates of two batches", { inner: 2 }],
    ["the median of them", { join: { kind: "median" } }],
    ["neighbours in a ring", { topology: "ring" }],
  ])("R31: give the weights of their replay, bit for bit, with %s", async (_what, exchange) => {
    const ran = await run(streamedJob(exchange));
    expect(ran.end).toEqual({ reason: "finished", text: "2 rounds" });
    expect(exchangeOf(ran).stream).toBeDefined();
    expect(straightBytes(ran)).toBeGreaterThan(1000);
    await expectReplayed(ran);
  });

  it("R31: go on from the same after the same update, however long what they sent was under way", async () => {
    const job = streamedJob({ stream: { ...stream, delay: 2 } });
    const nodes = cloudFleet(job).map((node) => ({ ...node, latencyMs: 400 }));
    const [near, far] = [await run(job), await run(job, { nodes })];
    expect(far.virtualMs).toBeGreaterThan(near.virtualMs + 1000);
    expect(saved(far)).toEqual(saved(near));
    const relayed = cloudFleet(job).map((node) => ({ ...node, reachable: false }));
    expect(saved(await run(job, { nodes: relayed }))).toEqual(saved(near));
  });

  it("R31: end a round with the same, so that one brings it home", async () => {
    const ran = await run(streamedJob({ outer }, { rounds: 4 }));
    expect(exchangeOf(ran)).toMatchObject({ home: "first", reduce: "scatter" });
    for (const { participants } of ran.of("round")) {
      for (const { joined } of participants) expect(joined).toBeUndefined();
    }
    await expectReplayed(ran);
  });

  it("learn as well as where all goes at once", async () => {
    const job = { rounds: 8, localBatches: 24 };
    const whole = await run(streamedJob({ stream: undefined }, job));
    const streamed = await run(streamedJob({}, job));
    expect(accuracyOf(whole)).toBeGreaterThan(0.9);
    expect(accuracyOf(streamed)).toBeGreaterThan(accuracyOf(whole) - 0.05);
  });

  it("go on when one of them dies while a fragment is under way, and lose no more than it had not sent", async () => {
    const job = streamedJob({ stream: { ...stream, delay: 2 }, outer }, { rounds: 4 });
    const calm = await run(job);
    const [first, second] = calm.records.filter(({ record }) => record.type === "round");
    const [from, to] = [present(first, "a round").atMs, present(second, "a round").atMs];
    for (const part of [0.15, 0.4, 0.65, 0.97]) {
      const atMs = from + part * (to - from);
      const ran = await run(job, { faults: [{ kind: "crash", node: "b", atMs, forMs: null }] });
      expect(ran.end).toEqual({ reason: "finished", text: "4 rounds" });
      const cut = present(ran.of("round")[1], "a round");
      expect(cut.dropped.map(({ chain }) => chain)).toEqual(["chain:b"]);
      expect(cut.participants).toHaveLength(5);
      await expectReplayed(ran);
    }
  });

  it("R26: go on without the coordinator, and bring home what they came to", async () => {
    const job = streamedJob({ outer }, { rounds: 8, evaluate: { every: 100 } });
    const calm = await run(job);
    const ends = calm.records.filter(({ record }) => record.type === "round");
    const [second, third] = [present(ends[1], "a round"), present(ends[2], "a round")];
    const [atMs, forMs] = [(second.atMs + third.atMs) / 2, 3 * (third.atMs - second.atMs)];
    const faults = [{ kind: "crash", node: "coordinator", atMs, forMs }] as const;
    const ran = await run(job, { faults: [...faults], patienceMs: 600_000 });
    expect(ran.end?.reason).toBe("finished");
    expect(ran.of("round").some(({ alone = [] }) => alone.length > 0)).toBe(true);
    await expectReplayed(ran);
  });

  it("hide what is under way behind what they compute, as the plan foresees", async () => {
    const slow = (exchange: object) => {
      // Fewer bits would leave too little to hide.
      const coded = { codec: "affine8", ...exchange };
      const job = streamedJob(coded, { localBatches: 96, evaluate: { every: 100 } });
      const bytesPerMs = 200;
      const line = { upBytesPerMs: bytesPerMs, downBytesPerMs: bytesPerMs };
      const wire = { ...line, jitterMs: 0, loss: 0, cell: null };
      const nodes = cloudFleet(job).map((node) => {
        return node.kind === "device" ? { ...node, ceilingBytesPerMs: bytesPerMs, wire } : node;
      });
      return run(job, { engine: nullEngine, model: wider, nodes });
    };
    const [whole, streamed] = [
      // As fragments have them.
      await slow({ stream: undefined, batches: "dealt" }),
      await slow({}),
    ];
    const msOf = (ran: Ran) => present(ran.of("round")[1], "a round").ms;
    const forecastOf = (ran: Ran) => ran.of("planned")[0]?.plan.forecasts[0];
    for (const ran of [whole, streamed]) {
      expect((forecastOf(ran)?.roundMs ?? 0) / msOf(ran)).toBeCloseTo(1, 1);
    }
    // Of four exchanges of everything the last one is left to wait for.
    const saved = msOf(whole) - msOf(streamed);
    const foreseen = (forecastOf(whole)?.transferMs ?? 0) - (forecastOf(streamed)?.transferMs ?? 0);
    expect(saved / foreseen).toBeGreaterThan(0.9);
    expect(msOf(streamed)).toBeLessThan(0.85 * msOf(whole));
  });
});
