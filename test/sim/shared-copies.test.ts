/** Copies on a server that several devices train in turns: what is computed, in which order, and who is missing. */
import { describe, expect, test, vi } from "vitest";
import { present } from "../../src/base/assert.ts";
import { byteLength } from "../../src/base/tensor.ts";
import type { Program } from "../../src/compile/program.ts";
import { scaledProfile } from "../../src/plan/program-time.ts";
import type { Engine } from "../../src/run/host.ts";
import type { JobFields } from "../../src/run/job-fields.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { type SimulationResult, simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

/** Devices whose cuts differ: 4, 2, 1 and 4 segments, so that the server's part is three copies in a row. */
const devices = [
  { name: "a", duty: 1 },
  { name: "b", duty: 0.25 },
  { name: "c", duty: 0.05 },
  { name: "d", duty: 0.5 },
];

function sharing(split: JobFields["split"] = {}, more: object = {}) {
  const fleet = { cellMbit: null, devices };
  const job = smallJob({
    ...{ rounds: 3, fleet, split: { serverCopies: "shared", ...split } },
    ...more,
  });
  const nodes = smallFleet(job).map((node) =>
    node.name === "edge" ? { ...node, duty: 0.5 } : node,
  );
  return { job, nodes, model: smallModel() };
}

const of = <T extends RunRecord["type"]>({ records }: SimulationResult, type: T) =>
  records.flatMap(({ record }) =>
    record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
  );

describe("devices of unequal speed and different cuts that share the server's copies", () => {
  const manners: [what: string, split: JobFields["split"], more: object][] = [
    ["with an update for every batch", { merge: 1 }, {}],
    ["with an update for one batch of each", {}, {}],
    ["with batches left over at the end of a round", { merge: 3 }, { localBatches: 5 }],
    ["with more batches to an update than a round has", { merge: 100 }, {}],
    [
      "with batches that add up to an update on the device, too",
      { merge: 2 },
      { localBatches: 4, optimizer: { learningRate: 0.1, accumulate: 2 } },
    ],
    ["with codecs on the links", {}, { codec: { up: "affine8", down: "float16" } }],
    ["with activations computed once more", {}, { recompute: true }],
  ];
  test.each(manners)("train what one process computes, %s", async (_what, split, more) => {
    const given = sharing(split, more);
    const result = await simulate({ ...given, engine: interpreterEngine });
    expect(result.end.text).toBe("3 rounds");
    const { plan } = present(of(result, "planned")[0], "a plan");
    const cuts = new Set(plan.copies.flatMap(({ from, to }) => (from === 0 ? [to] : [])));
    expect(cuts.size).toBeGreaterThanOrEqual(2);
    // As many copies in a row as there are cuts, none twice.
    expect(plan.copies.filter(({ node }) => node === "edge")).toHaveLength(cuts.size);
    await expectReplayed(given.job, result);
  });

  test("weigh as much in the shared copies as in their own", async () => {
    const given = sharing();
    const result = await simulate({ ...given, engine: interpreterEngine });
    for (const { participants, turns, loss } of of(result, "round")) {
      expect(participants.map(({ samples }) => samples)).toEqual([40, 70, 100, 130]);
      expect(turns?.map(({ chains }) => chains.length)).toEqual([12]);
      expect(loss).toBeLessThan(2);
    }
  });
});

describe("turns", () => {
  /** Turns of a device that goes between two of another one whose batch waits, at the most. */
  const mostBetween = (turns: readonly number[], chain: number, other: number): number => {
    const places = turns.flatMap((turn, i) => (turn === chain ? [i] : []));
    const counts = places
      .slice(1)
      .map((to, i) => turns.slice(places[i], to).filter((turn) => turn === other).length);
    return Math.max(0, ...counts);
  };

  test("R20: are taken one after the other where the server is what everybody waits for", async () => {
    const { job, nodes, model } = sharing({ merge: 1 }, { localBatches: 20, rounds: 1 });
    const slow = nodes.map((node) => ({ ...node, duty: node.name === "edge" ? 0.01 : 1 }));
    const result = await simulate({ job, model, nodes: slow, engine: nullEngine });
    const [turns] = present(of(result, "round")[0]?.turns, "turns");
    const taken = present(turns, "turns").chains;
    expect(taken).toHaveLength(80);
    for (const chain of [0, 1, 2, 3]) {
      for (const other of [0, 1, 2, 3]) {
        if (other !== chain) expect(mostBetween(taken, chain, other)).toBe(1);
      }
    }
  });

  test("are told of in the middle of a round, once a second at most, for each copy", async () => {
    const told: { copy: string; steps: number }[] = [];
    const { send } = Channel.prototype;
    vi.spyOn(Channel.prototype, "send").mockImplementation(function (
      this: Channel<WorkerMessage>,
      message,
      tensors,
    ) {
      if (message.type === "progress") {
        const { copy, steps } = message;
        if (copy.startsWith("copy:edge")) told.push({ copy, steps });
      }
      send.call(this, message, tensors);
    });
    const { job, nodes, model } = sharing({}, { localBatches: 20, rounds: 1 });
    const slow = nodes.map((node) => ({ ...node, duty: node.name === "edge" ? 0.01 : 1 }));
    const result = await simulate({ job, model, nodes: slow, engine: nullEngine });
    vi.restoreAllMocks();
    const [round] = of(result, "round");
    const end = told.filter(({ copy }) => copy.endsWith("-5")).map(({ steps }) => steps);
    expect(end.length).toBeGreaterThan(3);
    expect(end.length).toBeLessThanOrEqual((round?.ms ?? 0) / 1000);
    expect(end).toEqual([...new Set(end)].sort((a, b) => a - b));
    expect(end[0]).toBeLessThan(80);
  });

  test("of a fast device do not wait for a slow one", async () => {
    const { job, nodes, model } = sharing({}, { localBatches: 20, rounds: 1 });
    const slow: SimFault = { kind: "slow", node: "c", atMs: 0, forMs: 1e9, factor: 30 };
    const result = await simulate({ job, model, nodes, engine: nullEngine, faults: [slow] });
    const [turns] = present(of(result, "round")[0]?.turns, "turns");
    const taken = present(turns, "turns").chains;
    const slowest = present(taken.at(-1), "a turn");
    expect(new Set(taken.slice(-10))).toEqual(new Set([slowest]));
    expect(taken.filter((turn) => turn === slowest)).toHaveLength(20);
  });
});

describe("a device that is lost in the middle of a round", () => {
  test.each([
    ["and what it had trained stays trained", "c"],
    ["of those with the deepest cut", "a"],
  ])("R20: holds nobody up, %s", async (_what, node) => {
    const given = sharing({}, { localBatches: 12 });
    const whole = await simulate({ ...given, engine: nullEngine });
    const [first] = whole.records.flatMap(({ atMs, record }) =>
      record.type === "round" ? [{ atMs, ms: record.ms }] : [],
    );
    const { atMs, ms } = present(first, "a round");
    const crash: SimFault = { kind: "crash", node, atMs: atMs - 0.6 * ms };
    const result = await simulate({ ...given, engine: interpreterEngine, faults: [crash] });
    expect(result.end.text).toBe("3 rounds");
    const [round] = of(result, "round");
    const { dropped, participants, turns } = present(round, "a round");
    expect(dropped.map(({ chain }) => chain)).toEqual([`chain:${node}`]);
    expect(participants).toHaveLength(3);
    const place = present(of(result, "planned")[0], "a plan").plan.chains.findIndex(
      ({ source }) => source === node,
    );
    const own = present(turns?.[0], "turns").chains.filter((turn) => turn === place);
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(12);
    await expectReplayed(given.job, result);
  });

  test("or falls silent, is dropped at the lease's end", async () => {
    const given = sharing({}, { localBatches: 12, rounds: 2 });
    const crash: SimFault = { kind: "crash", node: "b", atMs: 600, isSilent: true };
    const result = await simulate({ ...given, engine: interpreterEngine, faults: [crash] });
    expect(result.end.text).toBe("2 rounds");
    await expectReplayed(given.job, result);
  });

  test("R20: or is too late: those who waited for it with what they share are not", async () => {
    const given = sharing({}, { rounds: 2 });
    const slow: SimFault = { kind: "slow", node: "c", atMs: 100, forMs: 1e9, factor: 1e6 };
    const result = await simulate({ ...given, engine: interpreterEngine, faults: [slow] });
    const [round] = of(result, "round");
    const { dropped, participants } = present(round, "a round");
    expect(dropped.map(({ chain }) => chain)).toEqual(["chain:c"]);
    expect(dropped[0]?.reason).toBe("1 of 4 chains missed the deadline");
    expect(participants).toHaveLength(3);
    await expectReplayed(given.job, result);
  });

  test.each([
    ["goes on without it, where others are enough", { quorum: 0.5, late: "fold" }],
    ["and where devices have batches by their samples", { quorum: 0.5, batches: "proportional" }],
  ])("or is late for a quorum, %s", async (_what, round) => {
    const given = sharing({}, { rounds: 3, round: { deadline: 2, ...round } });
    const slow: SimFault = { kind: "slow", node: "c", atMs: 100, forMs: 1e9, factor: 300 };
    const result = await simulate({ ...given, engine: interpreterEngine, faults: [slow] });
    expect(result.end.text).toBe("3 rounds");
    const [first] = of(result, "round");
    expect(present(first, "a round").dropped.map(({ chain }) => chain)).toEqual(["chain:c"]);
    // What it had trained with others is theirs: there is nothing of its own to fold in.
    expect(of(result, "round").flatMap(({ folded = [] }) => folded)).toEqual([]);
    await expectReplayed(given.job, result);
  });

  test("the server itself: the round is made again", async () => {
    const given = sharing({}, { localBatches: 12 });
    const crash: SimFault = { kind: "crash", node: "edge", atMs: 600, forMs: 1000 };
    const result = await simulate({
      ...{ ...given, engine: interpreterEngine, faults: [crash], patienceMs: 60_000 },
    });
    expect(result.end.text).toBe("3 rounds");
    await expectReplayed(given.job, result);
  });
});

/** A null engine that counts the bytes in its slots. */
function counting(counts: { edge: number }): Engine {
  const engine = nullEngine();
  const held = new Map<string, number>();
  const programs = new Map<string, Program>();
  const keep = (slot: string, bytes: number): void => {
    held.set(slot, bytes);
    let sum = 0;
    for (const [name, own] of held) if (name.startsWith("stage|copy:edge:")) sum += own;
    counts.edge = Math.max(counts.edge, sum);
  };
  return {
    ...{ description: engine.description, isHollow: true },
    load: (own) => {
      for (const program of own) programs.set(program.id, program);
      return engine.load(own);
    },
    write: (values) => {
      for (const [slot, value] of values) keep(slot, byteLength(value));
      return engine.write(values);
    },
    read: (slots) => engine.read(slots),
    run: (run) => {
      const program = present(programs.get(run.program), "a program");
      for (const [name, slot] of run.keep) {
        const port = program.outputs.find((output) => output.name === name);
        keep(slot, byteLength(present(port, name)));
      }
      return engine.run(run);
    },
    drop: (prefix) => {
      for (const slot of [...held.keys()]) if (slot.startsWith(prefix)) held.delete(slot);
      return engine.drop(prefix);
    },
    close: () => engine.close(),
  };
}

describe("what a server holds", () => {
  /** Most bytes in a server's slots, for so many devices; a fast server leaves all the same cut. */
  async function bytesFor(count: number, serverCopies: "each" | "shared", isFast: boolean) {
    const many = Array.from({ length: count }, (_, i) => ({
      name: `d${i}`,
      duty: [1, 0.25, 0.05, 0.5][i % 4] as number,
    }));
    const fleet = { cellMbit: null, devices: many };
    const job = smallJob({ rounds: 1, localBatches: 2, fleet, split: { serverCopies } });
    const nodes = smallFleet(job).map((node) =>
      node.name === "edge" && isFast
        ? { ...node, profile: scaledProfile(node.profile, (ms) => ms / 1000) }
        : node,
    );
    const counts = { edge: 0 };
    const result = await simulate({
      ...{ job, model: smallModel(), nodes, engine: () => counting(counts) },
    });
    expect(result.end.text).toBe("1 rounds");
    const { plan } = present(of(result, "planned")[0], "a plan");
    expect(plan.chains).toHaveLength(count);
    return counts.edge;
  }

  test("is as much for 64 devices as for 4 where they share it, and grows with them where not", async () => {
    const four = await bytesFor(4, "shared", true);
    expect(await bytesFor(16, "shared", true)).toBe(four);
    expect(await bytesFor(64, "shared", true)).toBe(four);
    expect(await bytesFor(16, "each", true)).toBeGreaterThan(8 * four);
  });

  test("is no more than one whole part where cuts differ", async () => {
    const whole = await bytesFor(4, "shared", true);
    expect(await bytesFor(16, "shared", false)).toBeLessThan(2 * whole);
    expect(await bytesFor(64, "shared", false)).toBeLessThan(2 * whole);
  });
});
