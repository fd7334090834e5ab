import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LineTimes, linePeriodMs, playedWindow } from "./line.ts";

const times: LineTimes = {
  ...{ forwardMs: 10, backwardMs: 20 },
  ...{ upMs: 25, serverMs: 12, downMs: 25, delayMs: 5 },
};
const latencyMs = 10 + 25 + 5 + 12 + 25 + 5 + 20;

describe("a line of two nodes", () => {
  test("takes the whole way for each batch where there is one at a time", () => {
    expect(linePeriodMs(times, 0)).toBeCloseTo(latencyMs, 9);
  });

  test("takes what its slowest part takes where there are many", () => {
    expect(linePeriodMs(times, 20)).toBeCloseTo(30, 0);
  });

  test("is never faster than the formula's bound", () => {
    const ms = fc.double({ min: 0.1, max: 100, noNaN: true });
    const any = fc.record({
      ...{ forwardMs: ms, backwardMs: ms, upMs: ms, serverMs: ms, downMs: ms, delayMs: ms },
    });
    fc.assert(
      fc.property(any, fc.nat(8), (line, window) => {
        const { forwardMs, backwardMs, upMs, serverMs, downMs, delayMs } = line;
        const device = forwardMs + backwardMs;
        const wholeMs = device + upMs + serverMs + downMs + 2 * delayMs;
        const slowestMs = Math.max(device, upMs, serverMs, downMs);
        const boundMs = Math.max(slowestMs, wholeMs / (window + 1));
        // The last batches leave the line empty, which is a little shorter.
        expect(linePeriodMs(line, window)).toBeGreaterThan(boundMs * 0.85);
      }),
    );
  });

  test("has as large a window as saves time, and no larger", () => {
    expect(playedWindow(times, 0, 64)).toBeLessThanOrEqual(6);
    expect(linePeriodMs(times, playedWindow(times, 0, 64))).toBeLessThan(31);
    expect(playedWindow(times, 2, 2)).toBe(2);
    // Batches bunch up: four under way are enough on the average, and take a fifth longer.
    const bunched = { ...times, forwardMs: 16, backwardMs: 16, upMs: 32, serverMs: 1, downMs: 31 };
    const window = playedWindow(bunched, 3, 64);
    expect(linePeriodMs(bunched, window)).toBeLessThanOrEqual(linePeriodMs(bunched, 3));
  });
});
