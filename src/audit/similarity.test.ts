import { describe, expect, it } from "vitest";
import { random } from "../base/random.ts";
import { isComparable, structuralSimilarity } from "./similarity.ts";

const shape = { channels: 2, height: 13, width: 17 };
const draw = random(1);
const picture = Float64Array.from({ length: 2 * 13 * 17 }, () => draw.uniform());

describe("structural similarity", () => {
  it("is 1 for equal pictures, and the same both ways for others", () => {
    const other = picture.map((value, i) => (i % 3 === 0 ? 1 - value : value));
    expect(structuralSimilarity(picture, picture, shape, 1)).toBeCloseTo(1, 12);
    const there = structuralSimilarity(picture, other, shape, 1);
    expect(there).toBeLessThan(0.9);
    expect(structuralSimilarity(other, picture, shape, 1)).toBeCloseTo(there, 12);
  });

  it("compares brightness alone where pictures are even", () => {
    const [a, b] = [0.25, 0.75];
    const even = (value: number) => new Float64Array(picture.length).fill(value);
    // Without variance the second factor of the formula is 1; what is left is the paper's luminance term.
    const luminance = (2 * a * b + 0.01 ** 2) / (a * a + b * b + 0.01 ** 2);
    expect(structuralSimilarity(even(a), even(b), shape, 1)).toBeCloseTo(luminance, 9);
  });

  it("is what the formula gives for a window of its own, written out", () => {
    const small = { channels: 1, height: 11, width: 11 };
    const a = picture.slice(0, 121);
    const b = Float64Array.from({ length: 121 }, (_, i) => (i * 37) % 11);
    const range = 10;
    let sum = 0;
    const weights = Array.from({ length: 121 }, (_, i) => {
      const [y, x] = [Math.floor(i / 11) - 5, (i % 11) - 5];
      return Math.exp(-(x * x + y * y) / (2 * 1.5 * 1.5));
    });
    for (const weight of weights) sum += weight;
    const mean = (of: (i: number) => number) =>
      weights.reduce((total, weight, i) => total + (weight / sum) * of(i), 0);
    const at = (values: Float64Array, i: number) => values[i] as number;
    const [ma, mb] = [mean((i) => at(a, i)), mean((i) => at(b, i))];
    const va = mean((i) => (at(a, i) - ma) ** 2);
    const vb = mean((i) => (at(b, i) - mb) ** 2);
    const cov = mean((i) => (at(a, i) - ma) * (at(b, i) - mb));
    const [c1, c2] = [(0.01 * range) ** 2, (0.03 * range) ** 2];
    const expected =
      ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    expect(structuralSimilarity(a, b, small, range)).toBeCloseTo(expected, 10);
  });

  it("needs pictures that its window fits into", () => {
    expect(isComparable({ channels: 1, height: 11, width: 40 })).toBe(true);
    expect(isComparable({ channels: 1, height: 10, width: 40 })).toBe(false);
  });
});
