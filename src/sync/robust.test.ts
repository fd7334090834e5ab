/** What the robust policies promise, against liars that are drawn to break it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AssertionError } from "../base/assert.ts";
import { dense, float32, hollow, type Tensor } from "../base/tensor.ts";
import { clipped, krum, krumMin, median, trimmedMean } from "./robust.ts";
import type { Contribution } from "./sync.ts";

const copy = (values: readonly number[], samples = 1): Contribution => ({
  samples,
  tensors: new Map([["w", float32([values.length], values)]]),
});

const valuesOf = (merged: ReadonlyMap<string, Tensor>, name = "w"): number[] => [
  ...(dense(merged.get(name) as Tensor).data as Float32Array),
];

const entry = fc.float({ min: -10, max: 10, noNaN: true });
const lie = fc.float({ noNaN: true, noDefaultInfinity: true });
const vector = (of: fc.Arbitrary<number>) => fc.array(of, { minLength: 3, maxLength: 3 });

/** Honest copies and fewer liars, in any order. */
const electorate = fc
  .integer({ min: 1, max: 3 })
  .chain((liars) =>
    fc.record({
      liars: fc.constant(liars),
      honest: fc.array(vector(entry), { minLength: liars + 1, maxLength: liars + 4 }),
      lies: fc.array(vector(lie), { minLength: liars, maxLength: liars }),
      first: fc.boolean(),
    }),
  )
  .map(({ liars, honest, lies, first }) => ({
    liars,
    honest,
    copies: (first ? [...lies, ...honest] : [...honest, ...lies]).map((values) => copy(values)),
  }));

function expectWithin(merged: readonly number[], honest: readonly (readonly number[])[]): void {
  for (const [i, value] of merged.entries()) {
    const all = honest.map((values) => Math.fround(values[i] as number));
    expect(value).toBeGreaterThanOrEqual(Math.min(...all));
    expect(value).toBeLessThanOrEqual(Math.max(...all));
  }
}

describe("the median", () => {
  test("lies between honest copies, whatever fewer liars bring", () => {
    fc.assert(
      fc.property(electorate, ({ honest, copies }) => {
        expectWithin(valuesOf(median(copies)), honest);
      }),
    );
  });

  test("is the middle of an odd number, and between the middle two of an even one", () => {
    expect(valuesOf(median([copy([9]), copy([1]), copy([2])]))).toEqual([2]);
    expect(valuesOf(median([copy([9]), copy([1]), copy([2]), copy([4])]))).toEqual([3]);
  });

  test("finds the middle of many as of few", () => {
    for (const count of [3, 31, 33, 101]) {
      const values = Array.from({ length: count }, (_, i) => (i * 37) % count);
      expect(valuesOf(median(values.map((value) => copy([value]))))).toEqual([(count - 1) / 2]);
    }
  });

  test("gives each copy one voice, however many samples it says it has", () => {
    expect(valuesOf(median([copy([1]), copy([2]), copy([100], 1e9)]))).toEqual([2]);
  });

  test("goes per tensor over the copies that hold it, and has no values where one has none", () => {
    const type = { dtype: "float32", shape: [1] } as const;
    const merged = median([
      copy([1]),
      copy([3]),
      { samples: 1, tensors: new Map([["b", float32([1], [7])]]) },
      { samples: 1, tensors: new Map([["c", hollow(type)]]) },
    ]);
    expect(valuesOf(merged)).toEqual([2]);
    expect(valuesOf(merged, "b")).toEqual([7]);
    expect(merged.get("c")).toEqual(hollow(type));
  });
});

describe("the trimmed mean", () => {
  test("lies between honest copies, whatever so many liars bring", () => {
    fc.assert(
      fc.property(electorate, ({ honest, liars, copies }) => {
        expectWithin(valuesOf(trimmedMean(copies, liars)), honest);
      }),
    );
  });

  test("is the mean of what is left", () => {
    const copies = [5, 1, 1000, 2, -1000].map((value) => copy([value]));
    expect(valuesOf(trimmedMean(copies, 1))[0]).toBeCloseTo(8 / 3, 6);
  });

  test("of no liars is the mean, and of more than there can be the median", () => {
    const copies = [1, 2, 6].map((value) => copy([value]));
    expect(valuesOf(trimmedMean(copies, 0))).toEqual([3]);
    expect(valuesOf(trimmedMean(copies, 5))).toEqual([2]);
  });
});

describe("Krum", () => {
  test("takes an honest copy, where honest ones are close together", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }).chain((liars) =>
          fc.record({
            liars: fc.constant(liars),
            honest: fc.array(vector(entry), {
              minLength: krumMin(liars) - liars,
              maxLength: krumMin(liars) - liars + 2,
            }),
            // All liars say the same, which no distance between them gives away.
            lie: vector(fc.float({ min: 1000, max: 1e6, noNaN: true })),
          }),
        ),
        ({ liars, honest, lie: same }) => {
          const lies = Array.from({ length: liars }, () => copy(same));
          const chosen = valuesOf(krum([...lies, ...honest.map((values) => copy(values))], liars));
          expect(honest.map((values) => values.map(Math.fround))).toContainEqual(chosen);
        },
      ),
    );
  });

  test("takes a whole copy, by its distance over all tensors", () => {
    const both = (w: number, b: number): Contribution => ({
      samples: 1,
      tensors: new Map([
        ["w", float32([1], [w])],
        ["b", float32([1], [b])],
      ]),
    });
    const copies = [both(0, 9), both(1, 1), both(0, 0), both(1, 0), both(9, 0)];
    const merged = krum(copies, 1);
    expect([valuesOf(merged, "w"), valuesOf(merged, "b")]).toEqual([[1], [0]]);
  });

  test("refuses fewer copies than it needs", () => {
    const copies = [1, 2, 3, 4].map((value) => copy([value]));
    expect(() => krum(copies, 1)).toThrow(AssertionError);
    expect(valuesOf(krum([...copies, copy([2])], 1))).toEqual([2]);
  });
});

describe("clipping", () => {
  const base = () => float32([2], [1, 1]);

  test("shortens what has moved too far, and keeps its direction", () => {
    const [far] = clipped([copy([7, 9])], base, 5);
    expect(valuesOf((far as Contribution).tensors)).toEqual([4, 5]);
  });

  test("leaves others alone", () => {
    const near = copy([2, 1]);
    expect(clipped([near], base, 5)).toEqual([near]);
  });

  test("bounds how far any copy is from the start", () => {
    fc.assert(
      fc.property(fc.array(lie, { minLength: 2, maxLength: 2 }), (values) => {
        const [one] = clipped([copy(values)], base, 2);
        const moved = valuesOf((one as Contribution).tensors).map((value) => value - 1);
        expect(Math.hypot(...moved)).toBeLessThanOrEqual(2 + 1e-5);
      }),
    );
  });
});
