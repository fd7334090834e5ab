import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  firstProbeState,
  nextProbePeriod,
  type ProbeState,
  payloadPauseMs,
  probeShareMax,
} from "./probe-period.ts";

/** States after each of some measurements of a predicted 100 ms. */
function periods(start: ProbeState, measured: readonly number[]): number[] {
  let state = start;
  return measured.map((measuredMs) => {
    state = nextProbePeriod(state, { measuredMs, predictedMs: 100 }).state;
    return state.periodMs;
  });
}

describe("the time between probes", () => {
  test("doubles with every third good forecast, to a minute", () => {
    const good = Array.from({ length: 30 }, () => 101);
    const grown = periods(firstProbeState, good);
    expect(grown.slice(0, 7)).toEqual([1000, 1000, 2000, 2000, 2000, 4000, 4000]);
    expect(grown.at(-1)).toBe(60_000);
  });

  test("halves with every bad one, whichever way it is wrong, to a second", () => {
    const start = { periodMs: 8000, good: 2 };
    expect(periods(start, [120, 80, 100, 100, 120, 120, 120])).toEqual([
      4000, 2000, 2000, 2000, 1000, 1000, 1000,
    ]);
  });

  test("stays while forecasts are neither, which also breaks the row", () => {
    const start = { periodMs: 8000, good: 2 };
    expect(periods(start, [110, 101, 101, 101])).toEqual([8000, 8000, 8000, 16_000]);
  });

  test("takes what cannot be compared for a bad forecast", () => {
    const state = { periodMs: 8000, good: 2 };
    const answer = nextProbePeriod(state, { measuredMs: Number.NaN, predictedMs: 100 });
    expect(answer.state.periodMs).toBe(4000);
  });

  test("stays within its bounds whatever is measured, and says why", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true })), (measured) => {
        for (const periodMs of periods(firstProbeState, measured)) {
          expect(periodMs).toBeGreaterThanOrEqual(1000);
          expect(periodMs).toBeLessThanOrEqual(60_000);
        }
      }),
    );
    const { reason } = nextProbePeriod(firstProbeState, { measuredMs: 130, predictedMs: 100 });
    expect(reason).toBe("the forecast was 30 % off: probe more often");
  });
});

test("payloads keep to their share of the link's time", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), (payloadMs) => {
      const pauseMs = payloadPauseMs(firstProbeState, payloadMs);
      expect(payloadMs / pauseMs).toBeLessThanOrEqual(probeShareMax * (1 + 1e-9));
      expect(pauseMs).toBeGreaterThanOrEqual(firstProbeState.periodMs);
    }),
  );
});
