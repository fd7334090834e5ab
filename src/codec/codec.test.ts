import { expect, test } from "vitest";
import { type CodecPromise, testCodec } from "../../test/contract/codec.ts";
import { AssertionError } from "../base/assert.ts";
import { dense, float32, tensor, zeros } from "../base/tensor.ts";
import { type CodecName, codecNames, codecs, wireBytes } from "./codec.ts";

/** Largest distance between neighbours of a grid of so many steps over the values. */
function stepOf(all: Float32Array, steps: number): number {
  const ends = [Math.min(...all), Math.max(...all)] as const;
  // Steps have 16 significant bits; below the normal range, they are rounded up by 2^-141 at most.
  return ((ends[1] - ends[0]) / steps) * (1 + 2 ** -15) + 2 ** -141;
}

/** What rounding the decoded value to float32 may add. */
const unit = (value: number): number => 2 ** -23 * Math.abs(value) + 2 ** -149;

/** Half a step, or a whole one where codes are drawn. */
const affine = (steps: number, share: number): CodecPromise => ({
  largest: 2 ** 127,
  errorOf: (value, all) => share * stepOf(all, steps) + unit(value),
});

/** What is left out is off by itself; what is kept, as codes of 8 bits are. */
const topK: CodecPromise = {
  largest: 2 ** 127,
  errorOf: (value, all) => Math.max(Math.abs(value), stepOf(all, 255) / 2 + unit(value)),
};

/** How exact each codec is: one entry per codec, or this does not compile. */
const promises: { readonly [Name in CodecName]: CodecPromise } = {
  float32: { largest: 3.4e38, errorOf: () => 0 },
  // Half a unit in the last of 11 bits; below the normal range, half the smallest step.
  float16: { largest: 65_504, errorOf: (value) => Math.max(2 ** -11 * Math.abs(value), 2 ** -25) },
  affine8: affine(255, 1 / 2),
  affine4: affine(15, 1 / 2),
  "affine8-stochastic": affine(254, 1),
  "affine4-stochastic": affine(14, 1),
  topk10: topK,
  topk1: topK,
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

test("no codec but float32 encodes other element types by mistake", () => {
  const whole = tensor("int32", [1], new Int32Array(1));
  for (const name of codecNames.filter((each) => each !== "float32")) {
    expect(() => codecs[name].encode(whole)).toThrow(AssertionError);
  }
});

test("decoding another number of parts than a codec has is a bug", () => {
  const type = { dtype: "float32", shape: [1] } as const;
  for (const name of codecNames) {
    const parts = codecs[name].wire(type).map(zeros);
    const more = [...parts, zeros(type)];
    expect(() => codecs[name].decode([], type)).toThrow(AssertionError);
    expect(() => codecs[name].decode(more, type)).toThrow(AssertionError);
  }
});
