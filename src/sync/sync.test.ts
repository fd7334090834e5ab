import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AssertionError } from "../base/assert.ts";
import { dense, float32, hollow, type Tensor } from "../base/tensor.ts";
import { average, type Contribution } from "./sync.ts";

const contribution = (
  samples: number,
  tensors: Record<string, readonly number[]>,
): Contribution => ({
  samples,
  tensors: new Map(
    Object.entries(tensors).map(([name, values]) => [name, float32([values.length], values)]),
  ),
});

const valuesOf = (merged: ReadonlyMap<string, Tensor>, name: string): number[] => [
  ...(dense(merged.get(name) as Tensor).data as Float32Array),
];

/** Copies of one tensor of three values, each standing for some samples. */
const anyCopies = fc.array(
  fc
    .record({
      samples: fc.integer({ min: 1, max: 60_000 }),
      values: fc.array(fc.float({ min: -1000, max: 1000, noNaN: true }), {
        minLength: 3,
        maxLength: 3,
      }),
    })
    .map(({ samples, values }) => contribution(samples, { w: values })),
  { minLength: 1, maxLength: 6 },
);

describe("the average", () => {
  test("weighs copies by their samples", () => {
    const merged = average([
      contribution(100, { w: [1, 10], b: [0] }),
      contribution(300, { w: [5, -10], b: [4] }),
    ]);
    expect(valuesOf(merged, "w")).toEqual([4, -5]);
    expect(valuesOf(merged, "b")).toEqual([3]);
  });

  test("goes per tensor over the copies that hold it", () => {
    // Two devices cut at different depths; the server's copies hold the rest.
    const merged = average([
      contribution(1, { first: [2] }),
      contribution(1, { second: [10], third: [1] }),
      contribution(3, { first: [6], second: [30] }),
      contribution(3, { third: [5] }),
    ]);
    expect(valuesOf(merged, "first")).toEqual([5]);
    expect(valuesOf(merged, "second")).toEqual([25]);
    expect(valuesOf(merged, "third")).toEqual([4]);
  });

  test("of one copy is the copy, exactly", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 29 }),
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true })),
        (samples, values) => {
          const merged = average([contribution(samples, { w: values })]);
          expect(valuesOf(merged, "w")).toEqual(values.map((value) => value + 0));
        },
      ),
    );
  });

  test("gives the same bits for the same copies in the same order", () => {
    fc.assert(
      fc.property(anyCopies, (copies) => {
        expect(valuesOf(average(copies), "w")).toEqual(valuesOf(average([...copies]), "w"));
      }),
    );
  });

  test("sums in float64, so any order agrees to the last bit or two of float32", () => {
    fc.assert(
      fc.property(anyCopies, (copies) => {
        const forwards = valuesOf(average(copies), "w");
        const backwards = valuesOf(average([...copies].reverse()), "w");
        for (const [i, value] of forwards.entries()) {
          const gap = Math.abs(value - (backwards[i] as number));
          expect(gap).toBeLessThanOrEqual(2 ** -22 * Math.abs(value) + 1e-9);
        }
      }),
    );
  });

  test("lies between the smallest and the largest copy", () => {
    fc.assert(
      fc.property(anyCopies, (copies) => {
        for (const [i, value] of valuesOf(average(copies), "w").entries()) {
          const all = copies.map(({ tensors }) => valuesOf(tensors, "w")[i] as number);
          expect(value).toBeGreaterThanOrEqual(Math.min(...all));
          expect(value).toBeLessThanOrEqual(Math.max(...all));
        }
      }),
    );
  });

  test("leaves the copies as they were", () => {
    const copies = [contribution(1, { w: [1] }), contribution(1, { w: [3] })];
    average(copies);
    expect(copies.map(({ tensors }) => valuesOf(tensors, "w"))).toEqual([[1], [3]]);
  });

  test("has no values where a copy has none", () => {
    const type = { dtype: "float32", shape: [1] } as const;
    const empty = { samples: 1, tensors: new Map([["w", hollow(type)]]) };
    const merged = average([contribution(1, { w: [1], b: [2] }), empty]);
    expect(merged.get("w")).toEqual(hollow(type));
    expect(valuesOf(merged, "b")).toEqual([2]);
  });

  test("of nothing is nothing", () => {
    expect(average([]).size).toBe(0);
  });

  test("refuses copies of different shape and copies that stand for nothing", () => {
    const copies = [contribution(1, { w: [1] }), contribution(1, { w: [1, 2] })];
    expect(() => average(copies)).toThrow(AssertionError);
    expect(() => average([...copies].reverse())).toThrow("copies of w differ in shape");
    expect(() => average([contribution(0, { w: [1] })])).toThrow(AssertionError);
  });
});
