import { describe, expect, it } from "vitest";
import { learningRateAt, type Schedule, type ScheduleName, scheduleDefaults } from "./schedule.ts";

const rates = (kind: ScheduleName, rounds: number, settings: Partial<Schedule> = {}): number[] => {
  const schedule = { ...scheduleDefaults(kind), ...settings };
  return Array.from({ length: rounds }, (_, round) =>
    learningRateAt({ rounds, optimizer: { learningRate: 0.2, schedule } }, round),
  );
};

const expectRates = (received: number[], expected: number[]): void => {
  expect(received).toHaveLength(expected.length);
  received.forEach((rate, i) => {
    expect(rate).toBeCloseTo(expected[i] as number, 12);
  });
};

describe("the learning rate of a round", () => {
  it("stays where it is constant", () => {
    expectRates(rates("constant", 3), [0.2, 0.2, 0.2]);
  });

  it("falls along half a cosine from the job's rate towards 0", () => {
    const half = 0.1 * Math.SQRT1_2;
    expectRates(rates("cosine", 4), [0.2, 0.1 + half, 0.1, 0.1 - half]);
  });

  it("falls by a factor every few rounds, or every round", () => {
    expectRates(rates("step", 5, { every: 2, factor: 0.5 }), [0.2, 0.2, 0.1, 0.1, 0.05]);
    expectRates(rates("exponential", 3, { factor: 0.5 }), [0.2, 0.1, 0.05]);
  });

  it("grows evenly while it warms up; the schedule starts after that", () => {
    expectRates(rates("constant", 4, { warmup: 3 }), [0.05, 0.1, 0.15, 0.2]);
    expectRates(rates("cosine", 4, { warmup: 2 }), [0.2 / 3, 0.4 / 3, 0.2, 0.1]);
  });
});
