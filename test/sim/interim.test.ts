/** A node is lost in the middle of a round: what its chain has brought on the way is committed, and the rest is trained by others. */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { Network } from "../../src/models/network.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { train, type Way } from "./three-nodes.ts";

/** Running statistics move with each batch that goes forward, also with those that never come back. */
function normalised() {
  const net = new Network("normalised", { seed: 3 });
  const x = net.batchNorm("bn1", net.linear("fc1", net.input([12]), 8));
  return net.model(net.linear("fc3", net.relu("relu2", net.linear("fc2", x, 6)), 3));
}

const crash: SimFault = { kind: "crash", node: "far", atMs: 400, forMs: 100 };

const run = (way: Partial<Way>, change: object = {}, faults: readonly SimFault[] = [crash]) =>
  train(
    { schedule: "window", window: 2, ...way },
    {
      localBatches: 60,
      rounds: 2,
      optimizer: { learningRate: 0.02, momentum: 0.9, accumulate: 3 },
      round: { interim: 6 },
      ...change,
    },
    faults,
  );

const stepsOf = ({ rounds }: Awaited<ReturnType<typeof run>>): (number | undefined)[] =>
  rounds.map(({ participants }) => present(participants[0], "a chain").steps);

describe("R29: a node that is lost within a round", () => {
  test("costs what was trained since its chain has brought something last", async () => {
    const undisturbed = await run({}, {}, []);
    expect(stepsOf(undisturbed)).toEqual([undefined, undefined]);
    const [ms] = undisturbed.rounds.map((round) => round.ms);
    const begunMs = present(
      undisturbed.timed.find(({ record }) => record.type === "planned"),
      "a plan",
    ).atMs;
    const share = (400 - begunMs) / present(ms, "a round");
    const [first = 0, ...others] = stepsOf(await run({}));
    expect(first % 6).toBe(0);
    // Of what was trained by then, no more is lost than two times of bringing, and what was under way.
    expect(first).toBeGreaterThan(60 * share - 2 * 6 - 3);
    expect(first).toBeLessThan(60 * share + 1);
    // Others make up for it, in whole rounds.
    const all = others.map((steps = 60) => steps).reduce((sum, steps) => sum + steps, first);
    expect(all).toBeGreaterThanOrEqual(120);
  });

  test("costs the round where nothing was brought on the way", async () => {
    const lost = await run({}, { round: { interim: 1000 } });
    expect(stepsOf(lost)).toEqual([undefined, undefined]);
  });

  test.each([
    ["weights stashed", { backward: "stored" }],
    ["weights replayed", { backward: "replay" }],
    ["all batches of an update at once", { schedule: "gpipe", window: 0 }],
    ["one batch forward, one back", { schedule: "1f1b", window: 0 }],
    ["one batch at a time", { schedule: "serial", window: 0 }],
    ["running statistics", { model: normalised(), window: 4 }],
  ] satisfies [string, Partial<Way>][])("leaves what its log gives: %s", async (_, way) => {
    for (const updates of ["float32", "affine8"]) {
      const [first] = stepsOf(await run(way, { codec: { updates } }));
      expect(first).toBeGreaterThan(0);
    }
  });

  test("is another one than the data are on, or that one", async () => {
    for (const node of ["a", "near"]) {
      const [first] = stepsOf(await run({}, {}, [{ ...crash, node }]));
      expect(first).toBeGreaterThan(0);
      expect(first).toBeLessThan(60);
    }
  });

  test("leaves nothing behind where codecs remember, since that has moved on", async () => {
    const codecs = { up: "affine8+feedback", down: "affine8" } as const;
    expect(stepsOf(await run({ codecs }))).toEqual([undefined, undefined]);
  });
});
