import { expect, it } from "vitest";
import { smallJob } from "../../test/sim/small-job.ts";
import { grownRate, growthAt } from "./growth.ts";

const jobOf = (growth: object, change: object = {}) =>
  smallJob({
    ...{ planner: "micro-clouds", localBatches: 32, optimizer: { accumulate: 4 } },
    exchange: { growth },
    ...change,
  });

it("multiplies the batches to an update every so many rounds, up to a bound", () => {
  const job = jobOf({ every: 2, factor: 2, max: 6 });
  expect([0, 1, 2, 3, 4, 5, 99].map((round) => growthAt(job, round))).toEqual([
    1, 1, 2, 2, 4, 4, 6,
  ]);
  const others = jobOf({ every: 2 }, { planner: "full-exchange" });
  expect(growthAt(others, 99)).toBe(1);
  expect(grownRate(others, 99)).toBe(1);
  expect(growthAt(smallJob({ planner: "micro-clouds" }), 99)).toBe(1);
});

it("takes the learning rate along, as the job says", () => {
  const rates = ["linear", "sqrt", "none"].map((rate) => grownRate(jobOf({ every: 1, rate }), 2));
  expect(rates).toEqual([4, 2, 1]);
});

it("is refused where an update would take more batches than a round has", () => {
  expect(() => jobOf({ every: 1, max: 9 })).toThrow(
    "exchange.growth.max: got 9 with accumulate 4 and localBatches 32; allowed: at most 8",
  );
});
