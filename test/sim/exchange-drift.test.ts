/** Workers that agree from node to node, on machines and links that are not what they were: how the plan follows. */
import { expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { Sequential } from "../../src/models/layers.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode, SimTrace } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob } from "./small-job.ts";

const parts = [24, 24, 12, 12, 4, 4];
const names = ["a", "b", "c", "d", "e", "f"];
/** A megabyte, of which 24 batches take about two seconds on all nodes. */
const model = new Sequential("small", [12], 3)
  .linear("fc1", 512)
  .relu("relu1")
  .linear("fc2", 512)
  .relu("relu2")
  .linear("fc3", 3)
  .model();
const segment = { forwardMs: 20, backwardMs: 40, updateMs: 0 };

/** Rounds of eight updates over lines that carry so much from some moments on. */
async function run(
  bytesPerMs: readonly (readonly [atMs: number, bytesPerMs: number])[],
  change: object = {},
  rounds = 24,
) {
  const job = smallJob({
    ...{ planner: "micro-clouds", rounds, localBatches: 32, evaluate: { every: 1000 } },
    optimizer: { accumulate: 4 },
    fleet: { cellMbit: null, devices: names.map((name) => ({ name })) },
    ...change,
  });
  const first = present(bytesPerMs[0]?.[1], "a rate");
  const wire = { upBytesPerMs: first, downBytesPerMs: first, jitterMs: 0, loss: 0, cell: null };
  const nodes = smallFleet(job).map((node): SimNode => {
    const part = parts[names.indexOf(node.name)] ?? 24;
    const scaled = (ms: number): number => (ms * 24) / part;
    const own = { ...segment, forwardMs: scaled(20), backwardMs: scaled(40) };
    const profile = { segments: Array.from({ length: 5 }, () => own), runMs: 0, callMs: 0 };
    const isDevice = node.kind === "device";
    return { ...node, profile, reachable: isDevice, ...(isDevice ? { wire } : {}) };
  });
  const traces = names.map(
    (of): SimTrace => ({ kind: "rate", of, way: "both", points: bytesPerMs }),
  );
  const { records, end } = await simulate({ job, model, nodes, engine: nullEngine, traces });
  expect(end.reason).toBe("finished");
  const all = records.map(({ record, atMs }) => ({ record, atMs }));
  const plans = all.flatMap(({ record, atMs }) =>
    record.type === "planned" ? [{ ...record, atMs }] : [],
  );
  const ms = all.flatMap(({ record }) => (record.type === "round" ? [record.ms] : []));
  return { plans, ms };
}

const exchangeOf = (plan: Plan) => present(plan.groups[0]?.exchange, "an exchange");

test.each([
  // Rates at the end, how often each plan exchanges, and updates of the rounds before and after the second one.
  ["dealt", 1000, [2, 10, 3], [8, 10]],
  ["proportional", 4000, [3, 9, 4], [9, 9]],
] as const)(
  "with batches %s, what is exchanged how often follows lines that become slow, and fast again, and nothing else changes it",
  async (batches, late, expected, updates) => {
    const { plans, ms } = await run(
      [
        [0, 1000],
        [120_000, 50],
        [300_000, late],
      ],
      // Slices of 4 bits a value would be too small to tell what lines carry.
      { exchange: { codec: "affine8", batches } },
      28,
    );
    const often = plans.map(({ plan }) => exchangeOf(plan).every);
    // Nobody has said what lines carry, so the first plan knows of no limit.
    expect(often).toEqual(expected);
    const [, slow, again] = plans.map(({ plan }) => plan.forecasts[0]?.roundMs ?? 0);
    // What was measured beside other flows is what forecasts are made of.
    expect((slow ?? 0) / (ms[6] ?? Number.NaN)).toBeCloseTo(1, 1);
    expect((again ?? 0) / (ms.at(-1) ?? Number.NaN)).toBeCloseTo(1, 1);
    const [before = 0, after = 0] = [(ms[5] ?? 0) / updates[0], (ms[6] ?? 0) / updates[1]];
    expect(after).toBeLessThan(0.75 * before);
  },
);

test("entries that each link has room for follow its rate", async () => {
  const exchange = { every: 1, select: { kind: "max-n" } };
  const { plans } = await run(
    [
      [0, 1000],
      [100_000, 200],
    ],
    { exchange },
    12,
  );
  const bytes = plans.map(({ plan }) => exchangeOf(plan).topology[0]?.bytes ?? null);
  expect(bytes[0]).toBeNull();
  expect((bytes.at(-1) ?? 0) / (bytes[1] ?? 0)).toBeCloseTo(0.2, 1);
  expect(plans.length).toBeLessThanOrEqual(4);
});
