/**
 * What every codec promises, as a suite. A new entry of the table of codecs runs
 * it by being there; it only adds how far a value may be off.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  byteLength,
  bytesOf,
  cloneTensor,
  type DenseTensor,
  dense,
  float32,
  hollow,
  sameType,
  type Tensor,
  tensor,
  zeros,
} from "../../src/base/tensor.ts";
import { type CodecName, codecs, fitsWire, wireBytes } from "../../src/codec/codec.ts";

export interface CodecPromise {
  /** Largest magnitude that the codec carries. */
  readonly largest: number;
  /** How far the decoded value may be from `value`. */
  errorOf(value: number): number;
}

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });

/** Any float32 tensor within the codec's range, small magnitudes included. */
const tensors = (largest: number): fc.Arbitrary<DenseTensor> =>
  shapes.chain((shape) => {
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    return fc
      .array(fc.float({ min: Math.fround(-largest), max: Math.fround(largest), noNaN: true }), {
        minLength: count,
        maxLength: count,
      })
      .map((values) => float32(shape, values));
  });

export function testCodec(name: CodecName, promise: CodecPromise): void {
  const codec = codecs[name];
  const anyTensor = tensors(promise.largest);

  describe(`codec ${name}`, () => {
    test("brings every value back within its error", () => {
      fc.assert(
        fc.property(anyTensor, (value) => {
          const decoded = dense(codec.decode(codec.encode(value), value));
          expect(sameType(decoded, value)).toBe(true);
          for (const [i, original] of (value.data as Float32Array).entries()) {
            const off = Math.abs((decoded.data[i] as number) - original);
            expect(off).toBeLessThanOrEqual(promise.errorOf(original));
          }
        }),
      );
    });

    test("sends exactly the types and bytes that it announces", () => {
      fc.assert(
        fc.property(anyTensor, (value) => {
          const parts = codec.encode(value).map(dense);
          const announced = codec.wire(value);
          expect(parts).toHaveLength(announced.length);
          for (const [i, part] of parts.entries()) {
            expect(sameType(part, announced[i] as Tensor)).toBe(true);
          }
          const bytes = parts.reduce((sum, part) => sum + bytesOf(part).byteLength, 0);
          expect(bytes).toBe(wireBytes(name, value));
          expect(fitsWire(name, parts, value)).toBe(true);
        }),
      );
    });

    test("changes neither what it encodes nor what it decodes", () => {
      const value = float32([2, 3], [1, -2, 0.1, 1e-3, 0, 3]);
      const before = cloneTensor(value);
      const parts = codec.encode(value).map(dense);
      const partsBefore = parts.map(cloneTensor);
      codec.decode(parts, value);
      expect(value).toEqual(before);
      expect(parts).toEqual(partsBefore);
    });

    test("never makes a broken value look sound", () => {
      const value = float32([3], [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
      const decoded = dense(codec.decode(codec.encode(value), value));
      for (const broken of decoded.data) expect(Number.isFinite(broken)).toBe(false);
    });

    test("carries tensors without values as such, with the same bytes on the wire", () => {
      const type = { dtype: "float32", shape: [4, 5] } as const;
      const parts = codec.encode(hollow(type));
      expect(parts.every((part) => part.data === null)).toBe(true);
      expect(parts.reduce((sum, part) => sum + byteLength(part), 0)).toBe(wireBytes(name, type));
      expect(fitsWire(name, parts, type)).toBe(true);
      expect(codec.decode(parts, type)).toEqual(hollow(type));
    });

    test("does not take parts of another number, element type or shape", () => {
      const type = { dtype: "float32", shape: [4] } as const;
      const parts = codec.encode(zeros(type));
      const [first, ...rest] = parts as [Tensor, ...Tensor[]];
      const bytes = tensor("uint8", [byteLength(first)], new Uint8Array(byteLength(first)));
      const hostile: (readonly Tensor[])[] = [
        [],
        [...parts, first],
        parts.slice(1),
        [bytes, ...rest],
        [{ ...first, shape: [5] }, ...rest],
        [{ ...first, shape: [2, 2] }, ...rest],
        [{ ...first, shape: [] }, ...rest],
        [{ ...first, dtype: "float64" }, ...rest],
      ];
      for (const received of hostile) expect(fitsWire(name, received, type)).toBe(false);
      expect(fitsWire(name, parts, type)).toBe(true);
    });
  });
}
