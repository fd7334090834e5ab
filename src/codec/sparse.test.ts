import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteLength, type Tensor } from "../base/tensor.ts";
import { decodeSparse, encodeSparse, hollowSparse, sparseBytes } from "./sparse.ts";

const entry = fc.float({ noNaN: true, noDefaultInfinity: true });
const bytesOf = (parts: readonly Tensor[]): number =>
  parts.reduce((sum, part) => sum + byteLength(part), 0);

describe("sparse values on a link", () => {
  it("come back as they were, in the bytes that were reckoned", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), entry), { minLength: 1, maxLength: 80 }),
        (entries) => {
          const places = entries.flatMap(([isThere], i) => (isThere ? [i] : []));
          const values = Float32Array.from(places, (i) => (entries[i] as [boolean, number])[1]);
          const isWhole = places.length === entries.length;
          const sparse = {
            count: entries.length,
            indices: isWhole ? null : Int32Array.from(places),
            values,
          };
          const parts = encodeSparse(sparse);
          expect(bytesOf(parts)).toBe(sparseBytes(entries.length, places.length));
          expect(bytesOf(hollowSparse(entries.length, places.length))).toBe(bytesOf(parts));
          expect(decodeSparse(parts, entries.length)).toEqual(sparse);
        },
      ),
    );
  });

  it("are refused where they are no entries of the tensor", () => {
    const parts = encodeSparse({
      count: 9,
      indices: Int32Array.of(2, 7),
      values: Float32Array.of(1, 2),
    });
    expect(decodeSparse(parts, 9)?.indices).toEqual(Int32Array.of(2, 7));
    expect(decodeSparse(parts, 7)).toBeNull();
    expect(decodeSparse(parts.slice(1), 9)).toBeNull();
    expect(decodeSparse([...parts, ...parts], 9)).toBeNull();
    expect(decodeSparse([...parts].reverse(), 9)).toBeNull();
  });
});
