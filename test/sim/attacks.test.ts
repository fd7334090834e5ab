/** Simulated machines that mean harm, and what policies against them are worth, with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { SimAttack } from "../../src/sim/attacks.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const names = ["a", "b", "c", "d", "e", "f", "g"];
const liars = new Set(["b", "e"]);

/** Accuracy of a run among so many, two of whom attack; 0 where it diverged. */
async function accuracyOf(attack: SimAttack | null, change: object, count = 6): Promise<number> {
  const devices = names.slice(0, count).map((name) => ({ name }));
  const job = smallJob({
    ...{ planner: "micro-clouds", rounds: 4, localBatches: 12, batch: 16 },
    optimizer: { learningRate: 0.1, momentum: 0.9 },
    evaluate: { every: 100 },
    fleet: { cellMbit: null, devices },
    ...change,
  });
  const nodes = smallFleet(job).map((node) =>
    attack !== null && liars.has(node.name) ? { ...node, attack } : node,
  );
  const options = { model: smallModel(), nodes, engine: interpreterEngine };
  const { records, end } = await simulate({ job, ...options });
  if (end.text.includes("is not finite")) return 0;
  expect(end.reason).toBe("finished");
  const evaluation = records.findLast(({ record }) => record.type === "evaluation")?.record;
  return present(evaluation?.type === "evaluation" ? evaluation.accuracy : null, "accuracy");
}

const flipped = { kind: "sign-flip", factor: 4 } as const;
const exchange = (join: object, every = 1) => ({ exchange: { every, select: "all", join } });
const averaging = (join: object) => ({ planner: "federated-averaging", round: { join } });
const policies = [
  [6, { kind: "median" }],
  [6, { kind: "trimmed-mean", liars: 2 }],
  [7, { kind: "krum", liars: 2 }],
] as const;

describe("two who turn around what they compute", () => {
  it.each([
    ["gradients", exchange({})],
    ["changes of weights", exchange({}, 3)],
    ["rounds", averaging({})],
  ])("spoil an average of %s", async (_what, change) => {
    expect(await accuracyOf(flipped, change)).toBeLessThan(0.7);
    expect(await accuracyOf(null, change)).toBeGreaterThan(0.9);
  });

  it.each(policies)("of %i do no harm to exchanges and rounds by %j", async (count, join) => {
    expect(await accuracyOf(flipped, exchange(join), count)).toBeGreaterThan(0.9);
    expect(await accuracyOf(flipped, exchange(join, 3), count)).toBeGreaterThan(0.9);
    expect(await accuracyOf(flipped, averaging(join), count)).toBeGreaterThan(0.85);
  });
});

describe("two who scale what they compute", () => {
  const scaled = { kind: "scaled", factor: 1000 } as const;

  it("are held by the median, and in rounds by clipping what each may change", async () => {
    expect(await accuracyOf(scaled, averaging({}))).toBeLessThan(0.7);
    expect(await accuracyOf(scaled, averaging({ kind: "median" }))).toBeGreaterThan(0.8);
    expect(await accuracyOf(scaled, averaging({ clip: 0.3 }))).toBeGreaterThan(0.8);
    expect(await accuracyOf(scaled, exchange({ kind: "median" }))).toBeGreaterThan(0.8);
  });
});

it("who says that it has lost nothing is believed, and counts no more for it", async () => {
  const lying = { kind: "lying-loss", factor: 1 } as const;
  const change = averaging({ kind: "median" });
  expect(await accuracyOf(lying, change)).toBe(await accuracyOf(null, change));
});
