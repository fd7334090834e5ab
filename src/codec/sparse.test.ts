import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { densified } from "../base/sparse.ts";
import { byteLength, type Tensor, tensor } from "../base/tensor.ts";
import { decodeSparse, hollowSparse, sparseCodecNames, sparseCoding } from "./sparse.ts";

const entry = fc.float({ noNaN: true, noDefaultInfinity: true });
const entries = fc.array(fc.tuple(fc.boolean(), entry), { minLength: 1, maxLength: 80 });
const bytesOf = (parts: ReadonlyMap<string, Tensor>): number =>
  [...parts.values()].reduce((sum, part) => sum + byteLength(part), 0);

describe.each(sparseCodecNames)("sparse values on a link, as %s", (codec) => {
  const { bytesOf: sparseBytes, encode } = sparseCoding(codec);

  it("come back as their sender says, in the bytes that were reckoned", () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 4 }), (tensors) => {
        const sparse = tensors.map((own) => {
          const places = own.flatMap(([isThere], i) => (isThere ? [i] : []));
          const values = Float32Array.from(places, (i) => (own[i] as [boolean, number])[1]);
          const isWhole = places.length === own.length;
          return { count: own.length, indices: isWhole ? null : Int32Array.from(places), values };
        });
        const counts = tensors.map((own) => own.length);
        const { parts, arrived } = encode(sparse);
        const bytes = counts.map((count, i) => sparseBytes(count, parts.chosen[i] as number));
        expect(bytesOf(parts.tensors)).toBe(bytes.reduce((sum, own) => sum + own, 0));
        expect(bytesOf(hollowSparse(codec, counts, parts.chosen).tensors)).toBe(
          bytesOf(parts.tensors),
        );
        expect(decodeSparse(codec, parts, counts)).toEqual(arrived);
        if (codec === "float32") expect(arrived).toEqual(sparse);
        expect(arrived.map(({ indices }) => indices)).toEqual(sparse.map(({ indices }) => indices));
      }),
    );
  });

  it("take a quarter or an eighth of the bytes, and 6 % more for grids", () => {
    const count = 128 * 100;
    const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
    const { parts, arrived } = encode([{ count, indices: null, values }]);
    const share = { float32: 1, affine8: (1 + 8 / 128) / 4, affine4: (0.5 + 8 / 128) / 4 }[codec];
    expect(bytesOf(parts.tensors) / (4 * count)).toBeCloseTo(share, 3);
    const step = { float32: 0, affine8: 2 / 255, affine4: 2 / 15 }[codec];
    const [own] = arrived.map(densified);
    values.forEach((value, i) => {
      expect(Math.abs(value - (own?.[i] ?? Number.NaN))).toBeLessThanOrEqual(0.51 * step);
    });
  });

  it("are refused where codes and grids are not those of so many values", () => {
    const all = { count: 300, indices: null, values: new Float32Array(300).fill(1) };
    const { chosen, tensors } = encode([all]).parts;
    for (const [name, part] of tensors) {
      const data = part.data as Float32Array | Uint8Array;
      const shorter = tensor(part.dtype, [data.length - 1], data.subarray(1));
      const other = part.dtype === "uint8" ? "float32" : "uint8";
      const wrong = tensor(
        other,
        part.shape,
        other === "uint8" ? new Uint8Array(data.length) : new Float32Array(data.length),
      );
      for (const bad of [shorter, wrong]) {
        const changed = { chosen, tensors: new Map(tensors).set(name, bad) };
        expect(decodeSparse(codec, changed, [300]), name).toBeNull();
      }
      const missing = new Map([...tensors].filter(([own]) => own !== name));
      expect(decodeSparse(codec, { chosen, tensors: missing }, [300]), name).toBeNull();
    }
  });
});

describe("sparse values on a link", () => {
  const codec = "float32";

  it("are refused where they are no entries of such tensors", () => {
    const sparse = { count: 9, indices: Int32Array.of(2, 7), values: Float32Array.of(1, 2) };
    const whole = { count: 1, indices: null, values: Float32Array.of(3) };
    const { chosen, tensors } = sparseCoding(codec).encode([sparse, whole]).parts;
    const values = tensors.get("values") as Tensor;
    const places = tensors.get("places") as Tensor;
    expect(decodeSparse(codec, { chosen, tensors }, [9, 1])).toEqual([sparse, whole]);
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
      const changed = { chosen: own, tensors: new Map(parts) };
      expect(decodeSparse(codec, changed, counts)).toBeNull();
    }
  });
});
