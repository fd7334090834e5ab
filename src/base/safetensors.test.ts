import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InputError } from "./errors.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";
import { bytesOf, type DenseTensor, type DType, float32, int64, tensor } from "./tensor.ts";

/** Any tensor of 0 to 3 dimensions, of any element type and any bytes. */
const anyTensor: fc.Arbitrary<DenseTensor> = fc
  .record({
    dtype: fc.constantFrom<DType>(
      "float32",
      "float64",
      "float16",
      "int64",
      "int32",
      "int8",
      "uint8",
      "bool",
    ),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
    seed: fc.nat(255),
  })
  .map(({ dtype, shape, seed }) => {
    const count = shape.reduce((product, dimension) => product * dimension, 1);
    const numbers = Array.from(
      { length: count },
      (_, i) => (i * 37 + seed) % (dtype === "bool" ? 2 : 127),
    );
    if (dtype === "int64") return tensor(dtype, shape, BigInt64Array.from(numbers, BigInt));
    const types = {
      float32: Float32Array,
      float64: Float64Array,
      float16: Float16Array,
      int32: Int32Array,
      int8: Int8Array,
      uint8: Uint8Array,
      bool: Uint8Array,
    };
    return tensor(dtype, shape, types[dtype].from(numbers));
  });

const anyFile = fc.record({
  tensors: fc
    .dictionary(fc.string(), anyTensor, { maxKeys: 6 })
    .map((entries) => new Map(Object.entries(entries).filter(([name]) => name !== "__metadata__"))),
  metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
});

/** A file from its parts, for headers that the writer never writes. */
function file(header: unknown, values: number): Uint8Array {
  const text = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + text.length + values);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

describe("safetensors", () => {
  test("what is written is read back, byte for byte", () => {
    fc.assert(
      fc.property(anyFile, ({ tensors, metadata }) => {
        const read = readSafetensors(writeSafetensors(tensors, metadata));
        expect({ ...read.metadata }).toEqual({ ...metadata });
        expect([...read.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
        for (const [name, value] of tensors) {
          const back = read.tensors.get(name) as DenseTensor;
          expect([back.dtype, back.shape]).toEqual([value.dtype, value.shape]);
          expect(bytesOf(back)).toEqual(bytesOf(value));
        }
      }),
    );
  });

  test("the layout is the published one", () => {
    const bytes = writeSafetensors(new Map([["w", float32([2], [1, -2])]]), { by: "test" });
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    expect(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)))).toEqual({
      __metadata__: { by: "test" },
      w: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    });
    expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 128, 63, 0, 0, 0, 192]);
  });

  test("tensors are read without copying, and with one copy where alignment forbids it", () => {
    const bytes = writeSafetensors(
      new Map([
        ["a", int64([1], [7])],
        ["b", float32([3], [1, 2, 3])],
      ]),
    );
    const read = readSafetensors(bytes).tensors;
    expect(read.get("a")?.data.buffer).toBe(bytes.buffer);
    expect(read.get("b")?.data.buffer).toBe(bytes.buffer);
    const shifted = Buffer.alloc(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(readSafetensors(shifted.subarray(1)).tensors.get("b")?.data).toEqual(
      Float32Array.of(1, 2, 3),
    );
  });

  test("the order of insertion does not change the bytes", () => {
    const a = float32([1], [1]);
    const b = int64([1], [2]);
    expect(
      writeSafetensors(
        new Map([
          ["a", a],
          ["b", b],
        ]),
      ),
    ).toEqual(
      writeSafetensors(
        new Map([
          ["b", b],
          ["a", a],
        ]),
      ),
    );
  });

  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["no header", new Uint8Array(7), /7 bytes; allowed: at least 8/],
    [
      "a header beyond the end",
      new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 1]),
      /header length: got 9; allowed: at most 1/,
    ],
    ["a header of terabytes", new Uint8Array(16).fill(255), /header length/],
    ["no JSON", file("{nonsense", 0), /no JSON/],
    ["a list for a header", file("[]", 0), /opening brace/],
    [
      "an unknown element type",
      file({ w: entry(0, 4, [1], "F8_E4M3") }, 4),
      /tensor "w": dtype: got "F8_E4M3"; allowed: F32/,
    ],
    ["a negative dimension", file({ w: entry(0, 4, [-1]) }, 4), /shape: got \[-1\]/],
    [
      "offsets that do not fit the shape",
      file({ w: entry(0, 8, [1]) }, 8),
      /8 bytes; allowed: 4 bytes/,
    ],
    ["an end beyond the file", file({ w: entry(0, 8) }, 4), /end 8; allowed: at most 4/],
    [
      "an overlap",
      file({ a: entry(0, 8), b: entry(4, 12) }, 12),
      /tensor "b": data_offsets: got 4 to 12; allowed: a range from 8/,
    ],
    ["a hole", file({ a: entry(0, 4), b: entry(8, 12) }, 12), /tensor "b": data_offsets/],
    [
      "bytes that no tensor owns",
      file({ a: entry(0, 4) }, 5),
      /bytes of values: got 5; allowed: 4/,
    ],
    ["metadata that is no text", file({ __metadata__: { a: 1 } }, 0), /__metadata__/],
    [
      "a shape whose size overflows",
      file({ a: entry(0, 4, [2 ** 52, 2 ** 52]) }, 4),
      /bytes for its shape/,
    ],
  ])("%s is refused", (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(InputError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });

  test("damaged bytes are read or refused, never worse", () => {
    fc.assert(
      fc.property(anyFile, fc.nat(), fc.nat(255), fc.nat(), ({ tensors }, at, value, length) => {
        const bytes = writeSafetensors(tensors);
        bytes[at % bytes.length] = value;
        try {
          readSafetensors(length % 3 === 0 ? bytes.subarray(0, length % bytes.length) : bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
