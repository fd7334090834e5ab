import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import { dirichletPartition, iidPartition } from "./partition.ts";

const ascending = (part: Int32Array): boolean =>
  part.every((index, i) => i === 0 || index > (part[i - 1] as number));

const shares = (part: Int32Array, labels: readonly number[], classes: number): number[] =>
  Array.from(
    { length: classes },
    (_, label) => part.filter((index) => labels[index] === label).length,
  );

describe("dirichletPartition", () => {
  test("every sample goes to exactly one part, every part has one, positions ascend", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(9), { minLength: 1, maxLength: 300 }),
        fc.nat(),
        fc.double({ min: 1e-3, max: 100, noNaN: true }),
        fc.integer(),
        (labels, wish, alpha, seed) => {
          const parts = 1 + (wish % labels.length);
          const result = dirichletPartition(labels, { parts, alpha, seed });
          expect(result).toHaveLength(parts);
          expect(result.every((part) => part.length > 0 && ascending(part))).toBe(true);
          const all = result.flatMap((part) => [...part]).sort((a, b) => a - b);
          expect(all).toEqual(labels.map((_, index) => index));
        },
      ),
    );
  });

  const labels = Array.from({ length: 10_000 }, (_, i) => i % 10);

  test("the same seed gives the same partition, another seed another", () => {
    const draw = (seed: number) => dirichletPartition(labels, { parts: 4, alpha: 0.5, seed });
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  test("a small alpha gives each class to nearly one part, a large one to all alike", () => {
    const topShare = (alpha: number): number => {
      const parts = dirichletPartition(labels, { parts: 5, alpha, seed: 3 });
      const counts = parts.map((part) => shares(part, labels, 10));
      const tops = Array.from({ length: 10 }, (_, label) =>
        Math.max(...counts.map((c) => c[label] as number)),
      );
      return tops.reduce((sum, top) => sum + top, 0) / labels.length;
    };
    expect(topShare(0.01)).toBeGreaterThan(0.9);
    expect(topShare(1000)).toBeLessThan(0.25);
  });

  test("shares have the moments of a Dirichlet distribution", () => {
    const [parts, alpha, draws] = [4, 0.5, 400];
    const values = Array.from({ length: draws }, (_, seed) => {
      const result = dirichletPartition(new Uint8Array(1000), { parts, alpha, seed });
      return (result[0] as Int32Array).length / 1000;
    });
    const mean = values.reduce((a, b) => a + b) / draws;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws;
    // Mean 1/k and variance (k - 1) / (k^2 (k alpha + 1)); the bounds are four standard errors.
    expect(Math.abs(mean - 0.25)).toBeLessThan(0.05);
    expect(Math.abs(variance - 3 / (16 * 3))).toBeLessThan(0.015);
  });

  test.each([
    [0, 0.5, /number of parts: got 0; allowed: 1 to 3/],
    [4, 0.5, /got 4/],
    [1.5, 0.5, /got 1.5/],
    [2, 0, /alpha: got 0; allowed: a number above 0/],
    [2, Number.NaN, /alpha: got NaN/],
  ])("%s parts with alpha %s are refused", (parts, alpha, message) => {
    const attempt = () => dirichletPartition([0, 1, 2], { parts, alpha, seed: 1 });
    expect(attempt).toThrow(InputError);
    expect(attempt).toThrow(message);
  });
});

describe("iidPartition", () => {
  test("sizes differ by at most one, and every sample goes to exactly one part", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.nat(),
        fc.integer(),
        (samples, wish, seed) => {
          const parts = 1 + (wish % samples);
          const result = iidPartition(samples, { parts, seed });
          const sizes = result.map((part) => part.length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          expect(result.every(ascending)).toBe(true);
          expect(new Set(result.flatMap((part) => [...part])).size).toBe(samples);
        },
      ),
    );
  });
});
