import { describe, expect, it } from "vitest";
import { pictureOf, shrunk, shrunkShape } from "./shrink.ts";

describe("pictures that are reconstructed", () => {
  it("are samples of channels, rows and columns", () => {
    expect(pictureOf([3, 20, 30])).toEqual({ channels: 3, height: 20, width: 30 });
    expect(pictureOf([9, 128])).toBeNull();
  });

  it("stay as they are up to 32 x 32", () => {
    const shape = { channels: 2, height: 3, width: 32 };
    const values = Float32Array.from({ length: 192 }, (_, i) => i);
    expect(shrunkShape(shape)).toEqual(shape);
    expect(shrunk(values, shape)).toEqual(Float64Array.from(values));
  });

  it("become means of squares beyond, without the rest at the borders", () => {
    const shape = { channels: 2, height: 5, width: 65 };
    expect(shrunkShape(shape)).toEqual({ channels: 2, height: 1, width: 21 });
    const values = Float32Array.from({ length: 2 * 5 * 65 }, (_, i) => i);
    const small = shrunk(values, shape);
    expect(small).toHaveLength(42);
    // The middle of the first square of 3 x 3, and of the last of the second channel.
    expect(small[0]).toBe(65 + 1);
    expect(small[41]).toBe(5 * 65 + 65 + 61);
  });
});
