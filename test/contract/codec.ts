/**
 * What every codec promises, as a suite. A new entry of the table of codecs runs
 * it by being there; it only adds how far a value may be off.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAllFinite } from "../../src/base/finite.ts";
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
  /** How far the decoded value may be from `value`, one of `all` of the tensor. */
  errorOf(value: number, all: Float32Array): number;
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

/** A tensor of which each value is a function of its place. */
export function filled(shape: readonly number[], of: (place: number) => number): DenseTensor {
  const value = zeros({ dtype: "float32", shape });
  const data = value.data as Float32Array;
  for (let i = 0; i < data.length; i++) data[i] = of(i);
  return value;
}

export function testCodec(name: CodecName, promise: CodecPromise): void {
  const codec = codecs[name];
  const anyTensor = tensors(promise.largest);

  describe(`codec ${name}`, () => {
    test("brings every value back within its error", () => {
      fc.assert(
        fc.property(anyTensor, (value) => {
          const decoded = dense(codec.decode(codec.encode(value), value));
          expect(sameType(decoded, value)).toBe(true);
          const all = value.data as Float32Array;
          for (const [i, original] of all.entries()) {
            const off = Math.abs((decoded.data[i] as number) - original);
            expect(off).toBeLessThanOrEqual(promise.errorOf(original, all));
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
      for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        for (let at = 0; at < 3; at++) {
          const value = float32([3], [1, -2, 3].with(at, broken));
          expect(isAllFinite(codec.decode(codec.encode(value), value))).toBe(false);
        }
      }
    });

    test("gives equal parts for equal values and seeds, wherever the values lie in memory", () => {
      const value = filled([2, 3, 7, 11], (i) => Math.sin(i * i));
      const data = value.data as Float32Array;
      const elsewhere = new Float32Array(500).subarray(3, 465);
      elsewhere.set(data);
      const moved = tensor("float32", value.shape, elsewhere);
      expect(codec.encode(moved, 5).map(dense)).toEqual(codec.encode(value, 5).map(dense));
    });

    test("decodes whatever fits, and refuses the rest: damaged parts never bring an exception", () => {
      const type = { dtype: "float32", shape: [3, 50] } as const;
      const sound = codec.encode(filled(type.shape, Math.sin)).map(dense);
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (noise, at) => {
          const parts = sound.map(cloneTensor);
          for (const part of parts) {
            const bytes = bytesOf(part);
            for (const [i, byte] of noise.entries()) bytes[(at + i) % bytes.length] = byte;
          }
          if (!fitsWire(name, parts, type)) return;
          expect(sameType(codec.decode(parts, type), type)).toBe(true);
        }),
      );
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
      const bytes = tensor("bool", [byteLength(first)], new Uint8Array(byteLength(first)));
      const hostile: (readonly Tensor[])[] = [
        [],
        [...parts, first],
        parts.slice(1),
        [bytes, ...rest],
        [{ ...first, shape: [5] }, ...rest],
        [{ ...first, shape: [2, 2] }, ...rest],
        [{ ...first, shape: [] }, ...rest],
        [{ ...first, dtype: "float64" }, ...rest],
        parts.with(-1, { ...(parts.at(-1) as Tensor), shape: [9, 9] }),
        parts.with(-1, { ...(parts.at(-1) as Tensor), dtype: "int64" }),
      ];
      for (const received of hostile) expect(fitsWire(name, received, type)).toBe(false);
      expect(fitsWire(name, parts, type)).toBe(true);
    });
  });
}
