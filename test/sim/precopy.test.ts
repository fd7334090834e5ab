/** Weights go ahead of a move, and what has changed since follows: runs are those of their logs all the same. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { PlanRequest } from "../../src/plan/plan.ts";
import type { Forecaster } from "../../src/plan/replan.ts";
import { Precopied } from "../../src/run/worker/precopied.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { train } from "./three-nodes.ts";

afterEach(() => void vi.restoreAllMocks());

const forwardMs = ({ fleet }: PlanRequest, name: string): number =>
  fleet.nodes.find((node) => node.name === name)?.profile.segments[0]?.forwardMs ?? Infinity;

/** The second layer is the middle's, or the last server's where the middle is slow. */
const cutsOf = (request: PlanRequest): readonly number[] =>
  forwardMs(request, "near") > 2 * forwardMs(request, "far") ? [0, 1, 2, 5] : [0, 1, 3, 5];

const forecaster: Forecaster = ({ copies }, request) => {
  const periodMs = Math.max(
    ...copies.map(({ node, from, to }) => 3 * (to - from) * forwardMs(request, node)),
  );
  return { periodMs, latencyMs: 3 * periodMs, homeMs: 0, roundMs: 100 * periodMs };
};

const way = { schedule: "window", window: 2, cutsOf, forecaster, slowness: 10 } as const;
const job = {
  localBatches: 160,
  rounds: 2,
  codec: { updates: "affine8" },
  optimizer: { learningRate: 0.001, momentum: 0.9 },
  evaluate: { every: 99 },
};
const slow = { kind: "slow", node: "near", atMs: 3000, forMs: 1_000_000, factor: 4 } as const;

/** A run in which the middle becomes slow, and what nodes took of what had come ahead, in order. */
async function moved(faults: readonly SimFault[] = [], codec: object = job.codec) {
  const takeFor = vi.spyOn(Precopied.prototype, "takeFor");
  const update = vi.spyOn(Precopied.prototype, "update");
  const { timed, rounds } = await train(way, { ...job, codec }, [slow, ...faults]);
  const taken = takeFor.mock.results.flatMap(({ value }) => [
    ...(value as Map<string, unknown>).keys(),
  ]);
  const plans = timed.filter(({ record }) => record.type === "planned");
  vi.restoreAllMocks();
  return { taken, updates: update.mock.results.map(({ value }) => value), plans, rounds };
}

const second = ["fc2.weight", "fc2.bias", "momentum:fc2.weight", "momentum:fc2.bias"].sort();

describe("R19: a move of a pipeline", () => {
  test("takes what came ahead, with what the round has changed of it", async () => {
    const { taken, updates, plans, rounds } = await moved();
    expect(plans).toHaveLength(2);
    expect(rounds[0]?.participants[0]?.steps).toBeLessThan(160);
    // The replay has the same bits, so they were those of the round.
    expect(taken.sort()).toEqual(second);
    expect(updates).toEqual([null]);
  }, 60_000);

  test("goes without where what is trained travels home whole", async () => {
    const { taken, updates, plans } = await moved([], { updates: "float32" });
    expect(plans).toHaveLength(2);
    expect([taken, updates]).toEqual([[], []]);
  }, 60_000);

  test("may be cut short by a crash of whoever is to have it, at any moment", async () => {
    const { plans } = await moved();
    const atMs = present(plans[1], "a move").atMs;
    for (const beforeMs of [30, 3, -1, -5]) {
      const crash = { kind: "crash", node: "far", atMs: atMs - beforeMs, forMs: 400 } as const;
      const { rounds } = await moved([crash]);
      expect(rounds.map(({ round }) => round)).toEqual([...rounds.keys()]);
    }
  }, 120_000);
});
