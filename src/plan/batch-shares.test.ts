import { describe, expect, it } from "vitest";
import { batchesBySamples } from "./batch-shares.ts";

describe("batches by samples", () => {
  it("are dealt out in proportion, as many in all as asked for", () => {
    expect(batchesBySamples([100, 100], { mean: 10, accumulate: 1 })).toEqual([10, 10]);
    expect(batchesBySamples([300, 100], { mean: 10, accumulate: 1 })).toEqual([15, 5]);
  });

  it("are whole updates, and one at least", () => {
    expect(batchesBySamples([1000, 1, 500], { mean: 8, accumulate: 4 })).toEqual([16, 4, 8]);
  });
});
