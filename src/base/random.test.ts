import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hash32, random } from "./random.ts";

const mask = 0xffff_ffffn;
const rotate = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & mask;

/** SplitMix32 as published, in big integers cut to 32 bits: four words of state from a seed. */
function seedWords(seed: bigint): bigint[] {
  let state = seed;
  return [0, 1, 2, 3].map(() => {
    state = (state + 0x9e3779b9n) & mask;
    let z = state;
    z = ((z ^ (z >> 16n)) * 0x21f0aaadn) & mask;
    z = ((z ^ (z >> 15n)) * 0x735a2d97n) & mask;
    return z ^ (z >> 15n);
  });
}

/** xoshiro128** as published, in big integers cut to 32 bits. */
function xoshiro(state: readonly bigint[], count: number): number[] {
  let [a = 0n, b = 0n, c = 0n, d = 0n] = state;
  return Array.from({ length: count }, () => {
    const result = (rotate((b * 5n) & mask, 7n) * 9n) & mask;
    const t = (b << 9n) & mask;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11n);
    return Number(result);
  });
}

const draws = (count: number, draw: () => number): number[] => Array.from({ length: count }, draw);

describe("the stream", () => {
  test("the generator in this test gives the first numbers known for the state 1, 2, 3, 4", () => {
    expect(xoshiro([1n, 2n, 3n, 4n], 4)).toEqual([11520, 0, 5927040, 70819200]);
  });

  test("is xoshiro128** seeded through SplitMix32", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const stream = random(seed);
        expect(draws(50, () => stream.uint32())).toEqual(xoshiro(seedWords(BigInt(seed)), 50));
      }),
      { numRuns: 20 },
    );
  });

  test("counts the low 32 bits of a seed", () => {
    expect(random(-1).uint32()).toBe(random(0xffff_ffff).uint32());
    expect(random(2 ** 32 + 5).uint32()).toBe(random(5).uint32());
  });

  test("does not repeat for different seeds", () => {
    const firsts = new Set(Array.from({ length: 1000 }, (_, seed) => random(seed).uint32()));
    expect(firsts.size).toBe(1000);
  });
});

describe("below", () => {
  test("stays under its bound and reaches every value", () => {
    const stream = random(7);
    const seen = new Set(draws(500, () => stream.below(10)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(draws(10, () => stream.below(1))).toEqual(Array(10).fill(0));
  });

  test("is uniform: chi-squared of 16 bins over 16,000 draws is ordinary", () => {
    const stream = random(3);
    const bins = Array<number>(16).fill(0);
    for (const bin of draws(16_000, () => stream.below(16))) bins[bin] = (bins[bin] ?? 0) + 1;
    const chiSquared = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    // 15 degrees of freedom: 99.9 % of fair streams lie below 37.7.
    expect(chiSquared).toBeLessThan(37.7);
  });

  test("has no modulo bias", () => {
    // The plain remainder would hit the lower third of [0, 3 x 2^30) with 1/2 instead of 1/3.
    const stream = random(11);
    const low = draws(3000, () => stream.below(3 * 2 ** 30)).filter((value) => value < 2 ** 30);
    expect(low.length / 3000).toBeGreaterThan(0.3);
    expect(low.length / 3000).toBeLessThan(0.37);
  });

  test("takes the whole range as a bound", () => {
    expect(random(5).below(2 ** 32)).toBe(random(5).uint32());
  });
});

test("uniform numbers lie in [0, 1) with mean 1/2 and variance 1/12", () => {
  const stream = random(1);
  const values = draws(20_000, () => stream.uniform());
  expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...values)).toBeLessThan(1);
  expect(meanOf(values)).toBeCloseTo(0.5, 2);
  expect(varianceOf(values)).toBeCloseTo(1 / 12, 2);
});

test("normal numbers have mean 0, variance 1 and the tails of a bell", () => {
  const stream = random(2);
  const values = draws(20_000, () => stream.normal());
  expect(Math.abs(meanOf(values))).toBeLessThan(0.03);
  expect(varianceOf(values)).toBeCloseTo(1, 1);
  const beyondTwo = values.filter((value) => Math.abs(value) > 2).length / values.length;
  expect(beyondTwo).toBeCloseTo(0.0455, 2);
});

test("a shuffle keeps the items, moves them, and works in place on typed arrays", () => {
  const items = Uint32Array.from({ length: 100 }, (_, i) => i);
  const shuffled = random(4).shuffle(items);
  expect(shuffled).toBe(items);
  expect([...shuffled]).not.toEqual([...shuffled].sort((a, b) => a - b));
  expect([...shuffled].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("a shuffle of three reaches all six orders about equally often", () => {
  const stream = random(9);
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = stream.shuffle(["a", "b", "c"]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

describe("a fork", () => {
  test("depends on seed and label alone and does not advance its parent", () => {
    const parent = random(6);
    const before = parent.fork("data").uint32();
    const next = random(6).uint32();
    expect(parent.uint32()).toBe(next);
    expect(parent.fork("data").uint32()).toBe(before);
  });

  test("is another stream for another label, another seed and another depth", () => {
    const firsts = [0, 1, 2].flatMap((seed) => [
      random(seed).uint32(),
      random(seed).fork("a").uint32(),
      random(seed).fork("b").uint32(),
      random(seed).fork("a").fork("b").uint32(),
      random(seed).fork("b").fork("a").uint32(),
    ]);
    expect(new Set(firsts).size).toBe(firsts.length);
  });
});

test("hash32 is FNV-1a", () => {
  // Published test values of the 32-bit hash.
  expect(hash32("")).toBe(0x811c9dc5);
  expect(hash32("a")).toBe(0xe40c292c);
  expect(hash32("foobar")).toBe(0xbf9cf968);
});

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function varianceOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return meanOf(values.map((value) => (value - mean) ** 2));
}
