import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AssertionError } from "./assert.ts";
import {
  byteLength,
  bytesOf,
  bytesPerElement,
  cloneTensor,
  type DType,
  dense,
  elementCount,
  float32,
  formatType,
  hollow,
  int64,
  isDType,
  sameShape,
  sameType,
  tensor,
  tensorOfBytes,
  zeros,
} from "./tensor.ts";

const dtypes: readonly DType[] = [
  "float32",
  "float64",
  "float16",
  "int64",
  "int32",
  "int8",
  "uint8",
  "bool",
];

describe("shapes and types", () => {
  test("a scalar has one element and a dimension of 0 has none", () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([2, 0])).toBe(0);
  });

  test("agree only in element type, rank and every dimension", () => {
    expect(sameShape([2, 3], [2, 3])).toBe(true);
    expect(sameShape([2, 3], [3, 2])).toBe(false);
    expect(sameShape([2], [2, 1])).toBe(false);
    const type = { dtype: "float32", shape: [2] } as const;
    expect(sameType(type, { ...type })).toBe(true);
    expect(sameType(type, { ...type, dtype: "float16" })).toBe(false);
    expect(sameType(type, { ...type, shape: [3] })).toBe(false);
  });

  test("print as in graphs", () => {
    expect(formatType({ dtype: "float32", shape: [32, 1, 28, 28] })).toBe("float32[32,1,28,28]");
    expect(formatType({ dtype: "int64", shape: [] })).toBe("int64[]");
  });

  test("know their names, and no others", () => {
    for (const dtype of dtypes) expect(isDType(dtype)).toBe(true);
    for (const name of ["float", "toString", "__proto__", ""]) expect(isDType(name)).toBe(false);
  });
});

describe("values", () => {
  test.each(dtypes)("%s takes the bytes that its type says", (dtype) => {
    const type = { dtype, shape: [3, 2] };
    const made = zeros(type);
    expect(made.data.byteLength).toBe(byteLength(type));
    expect(made.data.BYTES_PER_ELEMENT).toBe(bytesPerElement(dtype));
    expect(made.data.length).toBe(6);
  });

  test("must fit the shape", () => {
    expect(() => tensor("float32", [3], new Float32Array(2))).toThrow(AssertionError);
  });

  test("are rounded to the element type", () => {
    expect(float32([1], [0.1]).data[0]).toBe(Math.fround(0.1));
    expect(int64([2], [-1, 5]).data).toEqual(new BigInt64Array([-1n, 5n]));
  });

  test("are absent in a hollow tensor, and asking for them is a bug", () => {
    const empty = hollow({ dtype: "float32", shape: [4] });
    expect(empty.data).toBeNull();
    expect(byteLength(empty)).toBe(16);
    expect(() => dense(empty)).toThrow("float32[4] has no values");
  });

  test("are not shared by a clone", () => {
    const original = float32([2], [1, 2]);
    const copy = cloneTensor(original);
    copy.data[0] = 9;
    expect(original.data[0]).toBe(1);
  });
});

describe("bytes", () => {
  test("come back as the same values, at every alignment", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...dtypes),
        fc.uint8Array({ minLength: 24, maxLength: 24 }),
        fc.nat(8),
        (dtype, bytes, offset) => {
          const type = { dtype, shape: [24 / bytesPerElement(dtype)] };
          const moved = new Uint8Array(24 + 8);
          moved.set(bytes, offset);
          const read = tensorOfBytes(type, moved.subarray(offset, offset + 24));
          expect(bytesOf(read)).toEqual(bytes);
          expect(sameType(read, type)).toBe(true);
        },
      ),
    );
  });

  test("are viewed, not copied, where they are aligned", () => {
    const bytes = new Uint8Array(16);
    const read = tensorOfBytes({ dtype: "float32", shape: [2] }, bytes.subarray(8));
    bytes.set(new Uint8Array(new Float32Array([1.5]).buffer), 8);
    expect(read.data[0]).toBe(1.5);
  });

  test("must be as many as the type says", () => {
    expect(() => tensorOfBytes({ dtype: "float32", shape: [2] }, new Uint8Array(7))).toThrow(
      AssertionError,
    );
  });

  test("of a view are the view's alone", () => {
    const data = new Float32Array([1, 2, 3]).subarray(1, 2);
    expect(bytesOf(tensor("float32", [1], data))).toEqual(
      new Uint8Array(new Float32Array([2]).buffer),
    );
  });
});
