/** Plans of many chains are made anew between rounds, where devices or the cell are not as they were. */
import { expect, test } from "vitest";
import { random } from "../../src/base/random.ts";
import { readyScenario } from "../../src/nodejs/scenario.ts";
import { planners } from "../../src/plan/planners.ts";
import { parseScenario } from "../../src/sim/scenario.ts";
import { simulate } from "../../src/sim/simulate.ts";

const phones = ["phone-1", "phone-2", "phone-3", "phone-4"];

/** Rounds of four phones in a cell: the times of rounds, and the plans. */
async function run(change: object, { rounds = 30, isFixed = false } = {}) {
  const scenario = parseScenario({
    ...{ model: "lenet5", data: "mnist", rounds, localBatches: 12, seed: 1 },
    fleet: {
      cellMbit: 400,
      coordinator: "server",
      nodes: [
        { name: "server", kind: "edge", gflops: 60, upMbit: 1000, downMbit: 1000, ms: 1 },
        { name: "phone-{n}", kind: "device", count: 4, gflops: 2, ms: 3, behind: "radio" },
      ],
      cells: [{ name: "radio", upMbit: 400, downMbit: 400 }],
    },
    ...change,
  });
  const ready = await readyScenario(scenario, ".");
  // A planner that a program brings is asked once.
  const planner = isFixed ? { planner: planners["parallel-split"] } : {};
  const { records, end } = await simulate({ ...ready, ...planner });
  expect(end.reason).toBe("finished");
  const all = records.map(({ record }) => record);
  expect(all.some(({ type }) => type === "left")).toBe(false);
  const ms = all.flatMap((record) => (record.type === "round" ? [record.ms] : []));
  const plans = all.flatMap((record) => (record.type === "planned" ? [record] : []));
  return { ms, plans, lastMs: ms.at(-1) ?? Number.NaN };
}

/** How fast each phone is, a tenth up or down at random, twice a second. */
const noise = (seed: number, seconds: number) =>
  phones.map((node, i) => {
    const draw = random(seed + i);
    const speed = Array.from({ length: 2 * seconds }, (_, k) => [
      k / 2,
      0.9 + draw.below(201) / 1000,
    ]);
    return { node, speed };
  });

const cutsOf = ({ plan }: { plan: { copies: readonly { from: number; to: number }[] } }) =>
  plan.copies.filter(({ from }) => from === 0).map(({ to }) => to);

/** The cell has this rate from then on. */
const narrowed = (atSeconds: number, mbit: number) => ({
  link: "radio",
  mbit: [
    [0, 400],
    [atSeconds, mbit],
  ],
});

test("a device that becomes slow keeps less, also in a cell that becomes narrow", async () => {
  const change = {
    faults: [{ slow: "phone-2", at: 5, for: 1000, factor: 4 }],
    traces: [narrowed(15, 200), ...noise(1, 60)],
  };
  const [adapting, fixed] = [await run(change), await run(change, { isFixed: true })];
  expect(fixed.plans).toHaveLength(1);
  expect(adapting.lastMs).toBeLessThan(0.9 * fixed.lastMs);
  expect(adapting.plans.length).toBeGreaterThanOrEqual(2);
  expect(adapting.plans.length).toBeLessThanOrEqual(3);
  const [first, second] = adapting.plans.map(cutsOf);
  expect(second).not.toEqual(first);
  const reason = /^\d.* a round instead of .* rounds and takes .* of moving$/;
  expect(adapting.plans[1]?.reason).toMatch(reason);
}, 60_000);

test("a cell that becomes narrow is sent less, and once it is learnt no plan goes back", async () => {
  const change = { traces: [narrowed(5, 100), ...noise(7, 60)] };
  const [adapting, fixed] = [await run(change), await run(change, { isFixed: true })];
  expect(adapting.lastMs).toBeLessThan(0.92 * fixed.lastMs);
  expect(adapting.plans.length).toBeGreaterThanOrEqual(2);
  expect(adapting.plans.length).toBeLessThanOrEqual(3);
}, 60_000);

test("a device that becomes slow gets more of the cell where it has the model's end and its labels, too", async () => {
  const change = {
    split: { labels: "at-home" },
    faults: [{ slow: "phone-2", at: 5, for: 1000, factor: 8 }],
  };
  const [adapting, fixed] = [await run(change), await run(change, { isFixed: true })];
  expect(adapting.lastMs).toBeLessThan(0.9 * fixed.lastMs);
  expect(adapting.plans).toHaveLength(2);
  // Until then rounds take as long as was forecast.
  const forecasts = adapting.plans[0]?.plan.forecasts ?? [];
  const forecastMs = Math.max(...forecasts.map(({ roundMs }) => roundMs));
  expect(adapting.ms[1]).toBeGreaterThan(forecastMs);
  expect(adapting.ms[1]).toBeLessThan(1.05 * forecastMs);
  const shares = adapting.plans.map(
    ({ plan }) => plan.links.find(({ from }) => from === "phone-2")?.bytesPerMs ?? 0,
  );
  const [first = 0, second = 0] = shares;
  expect(second).toBeGreaterThan(1.2 * first);
  for (const { plan } of adapting.plans) {
    for (const { stages } of plan.chains) expect(stages).toHaveLength(3);
  }
}, 60_000);

test.each([1, 2, 3])(
  "noise of a tenth changes no plan (%d)",
  async (seed) => {
    const { plans } = await run({ traces: noise(10 * seed, 60) }, { rounds: 40 });
    expect(plans).toHaveLength(1);
  },
  60_000,
);
