import { expect, test } from "vitest";
import { type CodecPromise, testCodec } from "../../test/contract/codec.ts";
import { AssertionError } from "../base/assert.ts";
import { dense, float32, tensor, zeros } from "../base/tensor.ts";
import { type CodecName, codecNames, codecs, wireBytes } from "./codec.ts";

/** How exact each codec is: one entry per codec, or this does not compile. */
const promises: { readonly [Name in CodecName]: CodecPromise } = {
  float32: { largest: 3.4e38, errorOf: () => 0 },
  // Half a unit in the last of 11 bits; below the normal range, half the smallest step.
  float16: { largest: 65_504, errorOf: (value) => Math.max(2 ** -11 * Math.abs(value), 2 ** -25) },
};

for (const name of codecNames) testCodec(name, promises[name]);

test("float16 takes half the bytes of float32", () => {
  const type = { dtype: "float32", shape: [32, 6, 14, 14] } as const;
  expect(wireBytes("float32", type)).toBe(4 * 32 * 6 * 14 * 14);
  expect(wireBytes("float16", type)).toBe(2 * 32 * 6 * 14 * 14);
});

test("float16 rounds ties to even and overflows to infinity", () => {
  const value = float32([4], [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65_519, 65_520]);
  const codec = codecs.float16;
  const decoded = dense(codec.decode(codec.encode(value), value));
  expect([...(decoded.data as Float32Array)]).toEqual([
    1,
    1 + 2 ** -9,
    65_504,
    Number.POSITIVE_INFINITY,
  ]);
});

test("float16 does not encode other element types by mistake", () => {
  const whole = tensor("int32", [1], new Int32Array(1));
  expect(() => codecs.float16.encode(whole)).toThrow(AssertionError);
});

test("decoding another number of parts than one is a bug", () => {
  const type = { dtype: "float32", shape: [1] } as const;
  for (const name of codecNames) {
    expect(() => codecs[name].decode([], type)).toThrow(AssertionError);
    expect(() => codecs[name].decode([zeros(type), zeros(type)], type)).toThrow(AssertionError);
  }
});
