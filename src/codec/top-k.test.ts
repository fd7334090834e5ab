import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { filled } from "../../test/contract/codec.ts";
import { dense, float32, type Tensor, tensor } from "../base/tensor.ts";
import { codecs, fitsWire, wireBytes } from "./codec.ts";
import type { Codec } from "./codec-type.ts";
import { decodeIndices, encodeIndices, indexBytes } from "./index-coding.ts";
import { topK } from "./top-k.ts";

const through = (codec: Codec, value: Tensor): number[] => [
  ...(dense(codec.decode(codec.encode(value), value)).data as Float32Array),
];

describe("indices", () => {
  const some = fc
    .integer({ min: 1, max: 3000 })
    .chain((count) =>
      fc.tuple(fc.constant(count), fc.uniqueArray(fc.nat({ max: count - 1 }), { maxLength: 300 })),
    );

  test("come back, in as many bytes as their number says", () => {
    fc.assert(
      fc.property(some, ([count, chosen]) => {
        const indices = Int32Array.from(chosen).sort();
        const bytes = encodeIndices(indices, count);
        expect(bytes).toHaveLength(indexBytes(count, indices.length));
        expect(decodeIndices(bytes, count, indices.length)).toEqual(indices);
      }),
    );
  });

  test("take no more than a bitmap, and half a bit each more than any code needs", () => {
    for (const count of [1, 7, 64, 1000, 123_457]) {
      for (const share of [0.001, 0.01, 0.1, 0.3, 0.5, 1]) {
        const chosen = Math.ceil(share * count);
        const bytes = indexBytes(count, chosen);
        expect(bytes).toBeLessThanOrEqual(Math.ceil(count / 8));
        const entropy = (p: number) => (p === 0 || p === 1 ? 0 : -p * Math.log2(p));
        const p = chosen / count;
        const least = count * (entropy(p) + entropy(1 - p));
        if (share <= 0.1) expect(8 * bytes).toBeLessThanOrEqual(least + 0.65 * chosen + 24);
      }
    }
    expect(indexBytes(1000, 0)).toBe(0);
    expect(encodeIndices(new Int32Array(0), 1000)).toHaveLength(0);
  });

  test("of 2^31 places are told apart", () => {
    const indices = Int32Array.of(0, 5, 2 ** 30, 2 ** 31 - 1);
    const count = 2 ** 31;
    expect(decodeIndices(encodeIndices(indices, count), count, 4)).toEqual(indices);
  });

  test("that repeat, lie beyond the end, or are more or fewer than they should be are refused", () => {
    const at = (indices: number[]) => encodeIndices(Int32Array.from(indices), 1000);
    const bytes = at([3, 500, 999]);
    expect(decodeIndices(bytes, 1000, 3)).not.toBeNull();
    expect(decodeIndices(at([3, 500, 500]), 1000, 3)).toBeNull();
    expect(decodeIndices(at([4, 3, 500]), 1000, 3)).toBeNull();
    expect(decodeIndices(at([3, 500, 1001]), 1000, 3)).toBeNull();
    expect(decodeIndices(new Uint8Array(bytes.length), 1000, 3)).toBeNull();
    expect(decodeIndices(new Uint8Array(bytes.length).fill(255), 1000, 3)).toBeNull();
    const bitmap = new Uint8Array(2).fill(255);
    expect(decodeIndices(bitmap, 16, 15)).toBeNull();
    expect(decodeIndices(bitmap, 15, 15)).toBeNull();
  });
});

describe("top-k", () => {
  const exact = topK(1 / 4, codecs.float32);

  test("keeps exactly the largest magnitudes, the first of equal ones", () => {
    expect(through(exact, float32([8], [1, -5, 2, 3, 0, -1, 4, 2]))).toEqual([
      0, -5, 0, 0, 0, 0, 4, 0,
    ]);
    expect(through(exact, float32([8], [2, 2, -2, 2, 2, 2, 2, 2]))).toEqual([
      2, 2, 0, 0, 0, 0, 0, 0,
    ]);
    expect(through(exact, float32([1], [-3]))).toEqual([-3]);
    expect(through(exact, float32([0], []))).toEqual([]);
  });

  test("keeps what sorting by magnitude would keep", () => {
    const few = fc.array(fc.constantFrom(0, 1, -1, 2, -3, 1e-40, -1e30, 0.5), { minLength: 1 });
    const many = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(fc.oneof(few, many), (values) => {
        const value = float32([values.length], values);
        const all = [...(value.data as Float32Array)];
        const order = all
          .map((each, i) => [Math.abs(each), i] as const)
          .sort((a, b) => b[0] - a[0] || a[1] - b[1]);
        const kept = new Set(order.slice(0, Math.ceil(all.length / 4)).map(([, i]) => i));
        expect(through(exact, value)).toEqual(all.map((each, i) => (kept.has(i) ? each : 0)));
      }),
    );
  });

  test("bytes: 1.4 bits for a value of which a tenth is kept, known before", () => {
    const type = { dtype: "float32", shape: [32, 64, 16, 16] } as const;
    const count = 32 * 64 * 256;
    expect((8 * wireBytes("topk10", type)) / count).toBeCloseTo(1.375, 2);
    expect((8 * wireBytes("topk1", type)) / count).toBeCloseTo(0.171, 2);
  });

  test("parts with places that cannot be are refused", () => {
    const value = filled([10, 100], Math.sin);
    const [places, ...rest] = codecs.topk10.encode(value).map(dense);
    const wrong = tensor("uint8", places?.shape ?? [], new Uint8Array(places?.data.length ?? 0));
    expect(fitsWire("topk10", [wrong, ...rest], value)).toBe(false);
    if (places !== undefined) expect(fitsWire("topk10", [places, ...rest], value)).toBe(true);
  });
});
