import { describe, expect, test } from "vitest";
import { present } from "../base/assert.ts";
import { random } from "../base/random.ts";
import { byteLength, dense, float32, hollow, type Tensor } from "../base/tensor.ts";
import { codecs, wireBytes } from "./codec.ts";
import { applyUpdate, encodeUpdate, isUpdateCoded, updateCodecNames } from "./update.ts";

const type = { dtype: "float32", shape: [4, 300] } as const;

function drawn(seed: number, scale: number): Tensor {
  const draw = random(seed);
  return float32(
    type.shape,
    Array.from({ length: 1200 }, () => scale * draw.normal()),
  );
}

const valuesOf = (tensor: Tensor | null): Float32Array =>
  dense(present(tensor, "a tensor")).data as Float32Array;

const lossy = updateCodecNames.filter((name) => name !== "float32");

describe.each(lossy)("an update in %s", (name) => {
  const base = drawn(1, 10);
  const change = valuesOf(drawn(2, 0.01));
  const value = float32(
    type.shape,
    valuesOf(base).map((from, i) => from + (change[i] as number)),
  );

  test("is as far off as a small difference is, whatever the values", () => {
    const parts = encodeUpdate(name, { value, base }, 3);
    expect(parts.reduce((sum, part) => sum + byteLength(part), 0)).toBe(wireBytes(name, type));
    const came = valuesOf(applyUpdate(name, base, parts));
    const off = Math.max(...valuesOf(value).map((wanted, i) => Math.abs(wanted - (came[i] ?? 0))));
    const steps = name.startsWith("affine4") ? 14 : 254;
    // Differences reach 0.04 either way; sums have the precision of values around 30.
    expect(off).toBeLessThan(0.08 / steps + 4e-6);
  });

  test("changes nothing where nothing has changed", () => {
    const came = applyUpdate(name, base, encodeUpdate(name, { value: base, base }, 3));
    expect(valuesOf(came)).toEqual(valuesOf(base));
  });

  test("is drawn by its seed alone", () => {
    const [first, again] = [3, 3].map((seed) => encodeUpdate(name, { value, base }, seed));
    expect(first).toEqual(again);
  });

  test("is none in parts of another type, or of another base", () => {
    const parts = encodeUpdate(name, { value, base }, 3);
    expect(applyUpdate(name, base, parts.slice(1))).toBeNull();
    expect(applyUpdate(name, base, [...parts, ...parts])).toBeNull();
    expect(applyUpdate(name, float32([2], [1, 2]), parts)).toBeNull();
  });

  test("has no values where there are none", () => {
    const parts = encodeUpdate(name, { value: hollow(type), base: hollow(type) }, 3);
    expect(parts).toEqual(codecs[name].wire(type).map(hollow));
    expect(applyUpdate(name, hollow(type), parts)).toEqual(hollow(type));
  });

  test("spoils what is spoilt, so that it is noticed", () => {
    const spoilt = valuesOf(value).slice();
    spoilt[7] = Number.NaN;
    const parts = encodeUpdate(name, { value: float32(type.shape, spoilt), base }, 3);
    expect(valuesOf(applyUpdate(name, base, parts))[7]).toBeNaN();
  });
});

test("a tensor is coded where that is smaller", () => {
  const number = { dtype: "float32", shape: [] } as const;
  expect(lossy.map((name) => isUpdateCoded(name, type))).toEqual(lossy.map(() => true));
  expect(isUpdateCoded("affine8", number)).toBe(false);
  expect(isUpdateCoded("float32", type)).toBe(false);
  expect(isUpdateCoded("affine8", { dtype: "int64", shape: [4000] })).toBe(false);
});
