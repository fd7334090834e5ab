/** Data that go straight between workers: which way they take, what a lost link costs, and that it costs no update. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { Simulation, type SimulationOptions } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const job = smallJob({ rounds: 6 });

type Change = Partial<SimulationOptions> & { readonly reachable?: boolean };

/** Runs the small job, with a look at the network beside what was recorded. */
async function run({ reachable, ...change }: Change = {}) {
  const nodes = smallFleet(job).map((node) => ({
    ...node,
    ...(reachable === undefined ? {} : { reachable }),
  }));
  const simulation = new Simulation({
    job,
    model: smallModel(),
    nodes,
    engine: interpreterEngine,
    patienceMs: 60_000,
    ...change,
  });
  let coordinatorBytes = 0;
  const wires = present(simulation.machines.get("coordinator"), "a coordinator").access.line;
  simulation.network.onCarried = ({ pipes, bytes }) => {
    if (pipes.includes(wires.up) || pipes.includes(wires.down)) coordinatorBytes += bytes;
  };
  await simulation.run();
  const { end, records, files, virtualMs } = simulation.result();
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  return { end, records, of, files, virtualMs, coordinatorBytes };
}

type Ran = Awaited<ReturnType<typeof run>>;

/** Bytes that went straight, to and from a node, round by round. */
const straightOf = ({ of }: Ran, name: string): number[] =>
  of("round").map(({ nodes }) => nodes.find(({ node }) => node === name)?.bytesStraight ?? 0);

describe("data between a device and an edge server that can be reached", () => {
  it("D1: go straight, and no byte of a round is lost from its record", async () => {
    const [straight, relayed] = [await run(), await run({ reachable: false })];
    for (const { end, of } of [straight, relayed]) {
      expect(end).toEqual({ reason: "finished", text: "6 rounds" });
      expect(of("round").flatMap(({ dropped }) => dropped)).toEqual([]);
    }
    for (const name of ["a", "b", "c", "edge"]) {
      expect(Math.min(...straightOf(straight, name)), name).toBeGreaterThan(1000);
      expect(Math.max(...straightOf(relayed, name)), name).toBe(0);
    }
    // By neighbour it is the same: what a node sent itself, and what others sent it.
    for (const { nodes } of straight.of("round")) {
      const sent = nodes.flatMap((from) => from.straight.map((to) => ({ from: from.node, ...to })));
      expect(sent.every(({ bytesPerMs }) => bytesPerMs === null || bytesPerMs > 0)).toBe(true);
      const ends = sent.map(({ from, to }): string[] => [from, to]);
      expect(ends.every((pair) => pair.includes("edge"))).toBe(true);
      const bytes = sent.reduce((sum, one) => sum + one.bytes, 0);
      // What is on its way as a round ends, one end has counted and the other has not.
      const both = nodes.reduce((sum, { bytesStraight }) => sum + bytesStraight, 0);
      expect(Math.abs(both - 2 * bytes)).toBeLessThan(0.05 * both);
    }
    expect(
      relayed.of("round").flatMap(({ nodes }) => nodes.flatMap((one) => one.straight)),
    ).toEqual([]);
    const total = ({ of }: Ran): number =>
      of("round")
        .flatMap(({ nodes }) => nodes)
        .reduce((sum, { bytesUp, bytesDown }) => sum + bytesUp + bytesDown, 0);
    // The same data, and heartbeats on more links.
    expect(total(straight) / total(relayed)).toBeGreaterThan(1);
    expect(total(straight) / total(relayed)).toBeLessThan(1.2);
    expect(straight.coordinatorBytes).toBeLessThan(0.75 * relayed.coordinatorBytes);
    await expectReplayed(job, straight);
    await expectReplayed(job, relayed);
  });

  it("D1: go straight to a device that can be reached, where the server cannot", async () => {
    const ran = await run({
      nodes: smallFleet(job).map((node) => ({ ...node, reachable: node.name === "b" })),
    });
    expect(Math.min(...straightOf(ran, "b"))).toBeGreaterThan(1000);
    expect(Math.max(...straightOf(ran, "a"), ...straightOf(ran, "c"))).toBe(0);
    await expectReplayed(job, ran);
  });

  it("D8: keep to the device's share of the bandwidth, each way", async () => {
    const ran = await run();
    const plan = present(ran.of("planned")[0], "a plan").plan;
    for (const { from, bytesPerMs } of plan.links) {
      for (const { nodes } of ran.of("round").slice(1)) {
        const node = present(
          nodes.find((candidate) => candidate.node === from),
          from,
        );
        for (const paced of [node.sending, node.receiving]) {
          const { bytes, ms } = present(paced, "paced traffic");
          expect(bytes / ms / (bytesPerMs ?? 0)).toBeCloseTo(1, 1);
        }
        expect(present(node.sending, "sending").bytes).toBeGreaterThan(1500);
        expect(present(node.receiving, "receiving").bytes).toBeGreaterThan(1500);
      }
    }
  });
});

describe("a link between two workers that is cut", () => {
  const calm = run();

  it.each([0.1, 0.25, 0.4, 0.55, 0.7, 0.85])(
    "D6: at %f of the run costs time, but no chain and no update",
    async (share) => {
      const { virtualMs } = await calm;
      const atMs = share * virtualMs;
      const ran = await run({
        faults: [{ kind: "cut", between: ["edge", "b"], atMs, forMs: 15_000 }],
      });
      expect(ran.end).toEqual({ reason: "finished", text: "6 rounds" });
      expect(ran.of("left")).toEqual([]);
      expect(ran.of("round").flatMap(({ dropped }) => dropped)).toEqual([]);
      // What waits for a silent link to be given up waits for its lease.
      expect(ran.virtualMs).toBeLessThan(virtualMs + 14_000);
      await expectReplayed(job, ran);
    },
  );

  it.each([0.1, 0.25, 0.4, 0.55, 0.7, 0.85])(
    "D6: or is reset, at %f of the run, costs no chain, no update, and little time",
    async (share) => {
      const { virtualMs } = await calm;
      const atMs = share * virtualMs;
      const ran = await run({
        faults: [{ kind: "cut", between: ["edge", "b"], atMs, forMs: 1000, isReset: true }],
      });
      expect(ran.end).toEqual({ reason: "finished", text: "6 rounds" });
      expect(ran.of("round").flatMap(({ dropped }) => dropped)).toEqual([]);
      expect(ran.virtualMs).toBeLessThan(virtualMs + 1000);
      await expectReplayed(job, ran);
    },
  );

  it("D7: is opened again, and used from the next round on", async () => {
    const long = smallJob({ rounds: 40 });
    const nodes = smallFleet(long);
    const ran = await run({
      job: long,
      nodes,
      faults: [{ kind: "cut", between: ["edge", "b"], atMs: 1000, forMs: 12_000 }],
    });
    const bytes = straightOf(ran, "b");
    expect(ran.of("planned")).toHaveLength(1);
    expect(bytes.filter((count) => count < 200).length).toBeGreaterThan(0);
    expect(bytes.at(-1)).toBeGreaterThan(1000);
    expect(Math.min(...straightOf(ran, "a"))).toBeGreaterThan(1000);
  });
});

describe("a worker that nobody reaches any more", () => {
  it("D4: holds up the start of rounds for a moment alone", async () => {
    const cut = { kind: "cut", between: ["edge", "b"], atMs: 0, forMs: 600_000 } as const;
    const [free, held] = [await run(), await run({ faults: [cut] })];
    expect(held.end?.reason).toBe("finished");
    expect(Math.max(...straightOf(held, "b"))).toBe(0);
    expect(held.virtualMs).toBeLessThan(free.virtualMs + 3000);
    await expectReplayed(job, held);
  });
});
