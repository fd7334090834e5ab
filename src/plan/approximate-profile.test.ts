import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { segmentCost } from "../../test/fleets.ts";
import { approximateProfile, coarseBlocks } from "./approximate-profile.ts";

const anySegments = fc
  .array(fc.record({ flops: fc.nat(1000), bytes: fc.nat(100) }), { minLength: 1, maxLength: 30 })
  .map((all) =>
    all.map(({ flops, bytes }, i) =>
      segmentCost(i, 1, {
        forwardFlops: flops,
        backwardFlops: 2 * flops,
        parameterBytes: bytes,
      }),
    ),
  );
const fixed = { runMs: 0.5, callMs: 0.25 };

describe("coarse blocks", () => {
  test("cover every model in order, as many as were asked for where it has as many segments", () => {
    fc.assert(
      fc.property(anySegments, fc.integer({ min: 1, max: 6 }), (segments, count) => {
        const blocks = coarseBlocks(segments, count);
        expect(blocks).toHaveLength(Math.min(count, segments.length));
        let at = 0;
        for (const { from, to } of blocks) {
          expect(from).toBe(at);
          expect(to).toBeGreaterThan(from);
          at = to;
        }
        expect(at).toBe(segments.length);
      }),
    );
  });

  test("hold equal work where segments are equal, and leave a heavy one alone", () => {
    const even = Array.from({ length: 8 }, (_, i) => segmentCost(i, 1));
    expect(coarseBlocks(even).map(({ to }) => to)).toEqual([2, 4, 6, 8]);
    const heavy = even.map((cost, i) => (i === 0 ? { ...cost, forwardFlops: 1e6 } : cost));
    expect(coarseBlocks(heavy).map(({ to }) => to)).toEqual([1, 4, 6, 8]);
  });
});

describe("an approximate profile", () => {
  test("keeps what was measured of every block", () => {
    const times = fc.record({
      forwardMs: fc.integer({ min: 1, max: 500 }),
      backwardMs: fc.integer({ min: 1, max: 500 }),
      updateMs: fc.integer({ min: 1, max: 500 }),
    });
    fc.assert(
      fc.property(anySegments, fc.array(times, { minLength: 4, maxLength: 4 }), (segments, ms) => {
        const blocks = coarseBlocks(segments).map((block, i) => ({
          ...block,
          time: ms[i] as (typeof ms)[number],
        }));
        const profile = approximateProfile(segments, blocks, fixed);
        expect(profile).toMatchObject(fixed);
        for (const { from, to, time: measured } of blocks) {
          const own = profile.segments.slice(from, to);
          for (const kind of ["forwardMs", "backwardMs", "updateMs"] as const) {
            const sum = own.reduce((total, time) => total + time[kind], 0);
            expect(sum).toBeCloseTo(measured[kind], 6);
          }
        }
      }),
    );
  });

  test("divides what was measured by flops and parameter bytes", () => {
    const segments = [
      segmentCost(0, 1, { forwardFlops: 10, backwardFlops: 10, parameterBytes: 3 }),
      segmentCost(1, 1, { forwardFlops: 30, backwardFlops: 10, parameterBytes: 0 }),
    ];
    const time = { forwardMs: 8, backwardMs: 8, updateMs: 8 };
    const profile = approximateProfile(segments, [{ from: 0, to: 2, time }], fixed);
    expect(profile.segments).toEqual([
      { forwardMs: 2, backwardMs: 4, updateMs: 8 },
      { forwardMs: 6, backwardMs: 4, updateMs: 0 },
    ]);
  });
});
