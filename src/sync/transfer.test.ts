import { describe, expect, it } from "vitest";
import { bestOf, heldOutOf, isBetter, mixedWeights } from "./transfer.ts";

describe("transfer of weights", () => {
  it("asks the best neighbour, where it loses less by more than the margin", () => {
    const losses = new Map([
      ["a", 0.8],
      ["b", 0.5],
      ["c", 0.5],
    ]);
    expect(bestOf(1, losses, { margin: 0.2 })).toBe("b");
    expect(bestOf(0.6, losses, { margin: 0.2 })).toBeNull();
    expect(bestOf(0.6, losses, { margin: 0 })).toBe("b");
    expect(bestOf(Number.NaN, losses, { margin: 0.2 })).toBe("b");
    expect(bestOf(1, new Map(), { margin: 0 })).toBeNull();
  });

  it("keeps what loses less, and its own where nothing tells them apart", () => {
    expect(isBetter(0.5, 0.6)).toBe(true);
    expect(isBetter(0.6, 0.6)).toBe(false);
    expect(isBetter(0.7, 0.6)).toBe(false);
    expect(isBetter(Number.NaN, 0.6)).toBe(false);
    expect(isBetter(0.7, Number.NaN)).toBe(true);
    expect(isBetter(Number.POSITIVE_INFINITY, Number.NaN)).toBe(false);
  });

  it("goes a share of the way to the other weights", () => {
    const mixed = mixedWeights([Float32Array.of(0, 4)], [Float32Array.of(2, 0)], { mix: 0.75 });
    expect(mixed.map((tensor) => [...tensor])).toEqual([[1.5, 1]]);
  });

  it("holds a tenth of the samples out, and no more than four batches", () => {
    expect([1, 2, 15, 40, 10_000].map((samples) => heldOutOf(samples, 32))).toEqual([
      0, 1, 1, 4, 128,
    ]);
  });
});
