/**
 * Pipelines over three nodes in virtual time: whatever the schedule, a run gives the weights of
 * its single-process replay, bit for bit; the synchronous ones give those of the serial chain.
 */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { Tensor } from "../../src/base/tensor.ts";
import type { Plan, PlanRequest } from "../../src/plan/plan.ts";
import type { Forecaster } from "../../src/plan/replan.ts";
import { train } from "./three-nodes.ts";

const dataOf = (weights: ReadonlyMap<string, Tensor>): unknown =>
  [...weights].map(([name, { data }]) => [name, data]);
const msOf = ({ rounds }: Awaited<ReturnType<typeof train>>): number =>
  rounds.reduce((sum, { ms }) => sum + ms, 0);

describe("a pipeline over three nodes", () => {
  test("R8: copies that share their tensors with no other keep them from round to round", async () => {
    const { rounds } = await train({ schedule: "window", window: 2 });
    const bytesDown = rounds.map(
      ({ nodes }) =>
        present(
          nodes.find(({ node }) => node === "far"),
          "the last stage",
        ).bytesDown,
    );
    // The same features come in each round, and the stage's parameters before the first alone.
    const tensors = 3 * (6 + 1) * 4;
    const [first = 0, ...later] = bytesDown;
    // Some rounds see more heartbeats and acknowledgements.
    expect(first - Math.min(...later)).toBeGreaterThan(tensors);
  });

  test("gives the same weights under every synchronous schedule, sooner than serially", async () => {
    const serial = await train({ schedule: "serial", window: 0 });
    const gpipe = await train({ schedule: "gpipe", window: 0 });
    const interleaved = await train({ schedule: "1f1b", window: 0 });
    const replayed = await train({ schedule: "1f1b", window: 0, backward: "replay" });
    for (const other of [gpipe, interleaved, replayed]) {
      expect(dataOf(other.weights)).toEqual(dataOf(serial.weights));
      expect(other.rounds.every(({ participants }) => participants[0]?.passes === undefined)).toBe(
        true,
      );
    }
    expect(msOf(gpipe)).toBeLessThan(0.8 * msOf(serial));
    expect(msOf(interleaved)).toBeLessThan(0.8 * msOf(serial));
  });

  test.each([1, 2, 4])("follows its log's passes with a window of %i", async (window) => {
    for (const backward of ["stored", "replay"] as const) {
      const change = { optimizer: { learningRate: 0.05, momentum: 0.9 } };
      const { rounds } = await train({ schedule: "window", window, backward }, change);
      for (const { participants, nodes } of rounds) {
        const ahead = new Map(nodes.map((cost) => [cost.node as string, cost.ahead]));
        expect([ahead.get("a"), ahead.get("far")]).toEqual([Math.min(window + 1, 6), null]);
        const passes = present(participants[0]?.passes, "passes");
        expect(passes.map(underWayMost)[0]).toBe(Math.min(window + 1, 6));
        expect(passes.map(underWayMost)[2]).toBe(0);
      }
    }
  });

  test("takes the next batch before an update that follows a gradient is done", async () => {
    const change = { optimizer: { learningRate: 0.05, momentum: 0.9 } };
    for (const schedule of ["serial", "window"] as const) {
      const window = schedule === "serial" ? 0 : 1;
      const { rounds } = await train({ schedule, window, updateMs: 40 }, change);
      expect(rounds).toHaveLength(4);
    }
  });

  test("takes longer where forward is computed once more, by what that takes", async () => {
    const stored = await train({ schedule: "serial", window: 0 });
    const replayed = await train({ schedule: "serial", window: 0, backward: "replay" });
    // Two segments of 1 ms forward on each of the two stages that come back.
    const batches = 4 * 6;
    expect(msOf(replayed) - msOf(stored)).toBeCloseTo(batches * 2 * 2, 0);
  });

  test("computes with a window of 0 what the serial chain computes", async () => {
    const serial = await train({ schedule: "serial", window: 0 });
    const window = await train({ schedule: "window", window: 0 });
    expect(dataOf(window.weights)).toEqual(dataOf(serial.weights));
  });

  test("moves other weights where updates are missed, and hardly others where they are few", async () => {
    const change = { optimizer: { learningRate: 0.01, momentum: 0 } };
    const serial = await train({ schedule: "serial", window: 0 }, change);
    const stored = await train({ schedule: "window", window: 2 }, change);
    const replayed = await train({ schedule: "window", window: 2, backward: "replay" }, change);
    expect(dataOf(stored.weights)).not.toEqual(dataOf(serial.weights));
    expect(dataOf(replayed.weights)).not.toEqual(dataOf(stored.weights));
    for (const { weights } of [stored, replayed]) {
      for (const [name, { data }] of weights) {
        const exact = present(serial.weights.get(name), name).data as Float32Array;
        (data as Float32Array).forEach((value, i) => {
          expect(Math.abs(value - present(exact[i], name))).toBeLessThan(0.02);
        });
      }
    }
  });

  test.each(["stored", "replay"] as const)(
    "moves what moves alone, with a backward of %s",
    async (backward) => {
      const change = { optimizer: { learningRate: 0.05, momentum: 0.9 }, rounds: 6 };
      // Nobody needs the spare server, but who is there is planned for anew each time it comes or goes.
      const faults = [60, 160, 260].map(
        (atMs) => ({ kind: "crash", node: "spare", atMs, forMs: 40 }) as const,
      );
      const cutsOf = ({ term }: PlanRequest): readonly number[] => [
        0,
        1 + (term % 2),
        4 - (term % 3),
        5,
      ];
      const way = { schedule: "window", window: 2, backward, cutsOf } as const;
      const { records, rounds } = await train(way, change, faults);
      const plans = records.filter((record) => record.type === "planned");
      expect(
        new Set(plans.map(({ plan }) => plan.copies.map(({ from }) => from).join())).size,
      ).toBeGreaterThan(2);
      expect(rounds).toHaveLength(6);
    },
  );

  test("R15: frees a server that gives notice after a window of batches, and the replay knows", async () => {
    const change = {
      localBatches: 60,
      rounds: 2,
      optimizer: { learningRate: 0.02, momentum: 0.9 },
    };
    const fault = { kind: "notice", node: "near", atMs: 200, withinMs: 5000, forMs: 300 } as const;
    const way = { schedule: "window", window: 2 } as const;
    const { rounds, records } = await train(way, change, [fault]);
    const [first, second] = rounds.map(({ participants }) => participants[0]?.steps);
    expect(first).toBeGreaterThan(2);
    expect(first).toBeLessThan(40);
    expect(second).toBeUndefined();
    expect(records.filter(({ type }) => type === "left")).toHaveLength(1);
  });

  test("is planned anew within a round when one server becomes slow, and when another does", async () => {
    const periodOf = ({ copies }: Plan, { fleet }: PlanRequest): number =>
      Math.max(
        ...copies.map(({ node, from, to }) => {
          const own = present(
            fleet.nodes.find(({ id }) => id === node),
            node,
          ).profile.segments.slice(from, to);
          return own.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0);
        }),
      );
    const cutsOf = ({ fleet }: PlanRequest): readonly number[] => {
      const [near, far] = ["near", "far"].map((name) => {
        const node = fleet.nodes.find((one) => one.name === name);
        return present(node?.profile.segments[0], "a segment").forwardMs;
      });
      return present(near, "a time") > 2 * present(far, "a time") ? [0, 2, 3, 5] : [0, 2, 4, 5];
    };
    const forecaster: Forecaster = (plan, request) => {
      const periodMs = periodOf(plan, request);
      return { periodMs, latencyMs: 3 * periodMs, homeMs: 0, roundMs: 100 * periodMs };
    };
    const change = {
      localBatches: 400,
      rounds: 2,
      optimizer: { learningRate: 0.001, momentum: 0 },
      evaluate: { every: 99 },
    };
    const faults = [
      { kind: "slow", node: "near", atMs: 3000, forMs: 27_000, factor: 4 },
      { kind: "slow", node: "far", atMs: 35_000, forMs: 100_000, factor: 4 },
    ] as const;
    const way = { schedule: "window", window: 2, cutsOf, forecaster, slowness: 10 } as const;
    const { rounds, records } = await train(way, change, faults);
    const plans = records.filter((record) => record.type === "planned");
    expect(plans.map(({ plan }) => plan.copies[1]?.to)).toEqual([4, 3, 4]);
    expect(plans[1]?.reason).toMatch(/ms a batch instead of .* of moving$/);
    // The replay follows the shortened rounds, too: what was begun is finished, and no more.
    for (const { participants } of rounds)
      expect(participants[0]?.steps ?? 400).toBeLessThanOrEqual(400);
  }, 60_000);

  test("is measured after each round while the next one trains, and once more at the end", async () => {
    const change = { evaluate: { every: 1 } };
    const { rounds, records } = await train({ schedule: "window", window: 2 }, change);
    const measured = records.filter((record) => record.type === "evaluation");
    expect(measured.map(({ round }) => round)).toEqual(rounds.map(({ round }) => round + 1));
    expect(measured.map((one) => one.final)).toEqual(rounds.map((_, i) => i === rounds.length - 1));
  });

  test("loses no update when a server in the middle is lost and comes back", async () => {
    const fault = { kind: "crash", node: "near", atMs: 150, forMs: 500 } as const;
    const change = { optimizer: { learningRate: 0.05, momentum: 0.9 } };
    const { rounds, records } = await train({ schedule: "window", window: 2 }, change, [fault]);
    expect(records.some((record) => record.type === "left" && record.name === "near")).toBe(true);
    expect(rounds.map(({ round }) => round)).toEqual([0, 1, 2, 3]);
  });
});

/** Most batches that were between their passes at once. */
function underWayMost(passes: string): number {
  let [now, most] = [0, 0];
  for (const pass of passes) {
    now += pass === "F" ? 1 : -1;
    most = Math.max(most, now);
  }
  return most;
}
