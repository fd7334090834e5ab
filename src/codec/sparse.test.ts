import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteLength, type Tensor, tensor } from "../base/tensor.ts";
import { decodeSparse, encodeSparse, hollowSparse, sparseBytes } from "./sparse.ts";

const entry = fc.float({ noNaN: true, noDefaultInfinity: true });
const entries = fc.array(fc.tuple(fc.boolean(), entry), { minLength: 1, maxLength: 80 });
const bytesOf = (parts: ReadonlyMap<string, Tensor>): number =>
  [...parts.values()].reduce((sum, part) => sum + byteLength(part), 0);

describe("sparse values on a link", () => {
  it("come back as they were, in the bytes that were reckoned", () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 4 }), (tensors) => {
        const sparse = tensors.map((own) => {
          const places = own.flatMap(([isThere], i) => (isThere ? [i] : []));
          const values = Float32Array.from(places, (i) => (own[i] as [boolean, number])[1]);
          const isWhole = places.length === own.length;
          return { count: own.length, indices: isWhole ? null : Int32Array.from(places), values };
        });
        const counts = tensors.map((own) => own.length);
        const parts = encodeSparse(sparse);
        const bytes = counts.map((count, i) => sparseBytes(count, parts.chosen[i] as number));
        expect(bytesOf(parts.tensors)).toBe(bytes.reduce((sum, own) => sum + own, 0));
        expect(bytesOf(hollowSparse(counts, parts.chosen).tensors)).toBe(bytesOf(parts.tensors));
        expect(decodeSparse(parts, counts)).toEqual(sparse);
      }),
    );
  });

  it("are refused where they are no entries of such tensors", () => {
    const sparse = { count: 9, indices: Int32Array.of(2, 7), values: Float32Array.of(1, 2) };
    const whole = { count: 1, indices: null, values: Float32Array.of(3) };
    const { chosen, tensors } = encodeSparse([sparse, whole]);
    const values = tensors.get("values") as Tensor;
    const places = tensors.get("places") as Tensor;
    expect(decodeSparse({ chosen, tensors }, [9, 1])).toEqual([sparse, whole]);
    const refused: [number[], [string, Tensor][], number[]][] = [
      [
        [2, 1],
        [
          ["values", values],
          ["places", places],
        ],
        [7, 1],
      ],
      [
        [2, 1],
        [
          ["values", values],
          ["places", places],
        ],
        [9],
      ],
      [
        [1, 2],
        [
          ["values", values],
          ["places", places],
        ],
        [9, 1],
      ],
      [[2, 1], [["values", values]], [9, 1]],
      [[2, 1], [["places", places]], [9, 1]],
      [
        [2, 1],
        [
          ["values", places],
          ["places", values],
        ],
        [9, 1],
      ],
      [
        [2, 1],
        [
          ["values", values],
          ["places", tensor("uint8", places.shape, new Uint8Array(places.shape[0] ?? 0))],
        ],
        [9, 1],
      ],
    ];
    for (const [own, parts, counts] of refused) {
      expect(decodeSparse({ chosen: own, tensors: new Map(parts) }, counts)).toBeNull();
    }
  });
});
