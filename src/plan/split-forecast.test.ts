import { describe, expect, test } from "vitest";
import { playRound, type SplitRun, slowestMs } from "./split-forecast.ts";
import type { SplitOption } from "./split-option.ts";

const option = (work: number, more: Partial<SplitOption>): SplitOption => {
  const parts = {
    ...{ codecUp: "float32" as const, codecDown: "float32" as const },
    ...{ cut: 1, tail: null, forwardMs: 1, backwardMs: 2, stepMs: 3, delayMs: 0 },
    ...{ featureBytes: 10, gradientBytes: 20, weightBytes: 5, homeBytes: 5 },
    ...more,
  };
  const { forwardMs, backwardMs, stepMs, delayMs, featureBytes, gradientBytes, weightBytes } =
    parts;
  return {
    ...parts,
    fixedMs: work * (forwardMs + backwardMs + stepMs + 2 * delayMs) + 2 * delayMs,
    upBytes: work * featureBytes + weightBytes,
    downBytes: work * gradientBytes + weightBytes,
    serverMs: work * stepMs,
  };
};

const run = (work: number, more: Partial<SplitOption> = {}, server = 0): SplitRun => ({
  option: option(work, more),
  rate: { up: 5, down: 5 },
  server,
});

describe("a round that is played through", () => {
  test("is the device's own time where nobody else needs the server", () => {
    // 1 down, 3 x (1 + 2 + 3 + 4 + 2), 1 up.
    expect(playRound([run(3)], 3)).toEqual([{ roundMs: 38, waitMs: 0 }]);
    expect(playRound([run(3), run(3, {}, 1)], 3).map(({ waitMs }) => waitMs)).toEqual([0, 0]);
  });

  test("has batches wait for a server that is busy, in the order in which they come", () => {
    // At the server after 4 and after 6; the first is done at 7, so the second waits for 1.
    const late = run(1, { forwardMs: 3 });
    expect(playRound([late, run(1)], 1).map(({ waitMs }) => waitMs)).toEqual([1, 0]);
    // Two that are alike: one is 3 ms later from the first batch on, and they meet no more.
    const times = playRound([run(4), run(4)], 4);
    expect(times.map(({ waitMs }) => waitMs)).toEqual([0, 3]);
    expect(slowestMs(times)).toBe(1 + 4 * 12 + 1 + 3);
  });

  test("of a full server takes as long as all its work, and what comes before and after", () => {
    const many = Array.from({ length: 10 }, () => run(5));
    // 1 + 1 + 2 before the first step; 4 + 2 + 1 after the last.
    expect(slowestMs(playRound(many, 5))).toBe(4 + 10 * 5 * 3 + 7);
  });

  test("has devices that keep all wait for nobody", () => {
    const alone = run(2, { stepMs: 0, featureBytes: 0, gradientBytes: 0 });
    expect(playRound([alone, run(2)], 2)[0]).toEqual({ roundMs: 2 * 3 + 2, waitMs: 0 });
  });
});
