import { expect, it } from "vitest";
import { random } from "../base/random.ts";
import { addToSketch } from "./sketch.ts";

const drawn = (label: string) => {
  const draw = random(2).fork(label);
  return Float64Array.from({ length: 20_000 }, () => draw.normal());
};
const dot = (a: Float64Array, b: Float64Array) =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

it("a sketch keeps inner products to about one part in the root of its size", () => {
  const a = drawn("a");
  const b = a.map((value, i) => 0.6 * value + 0.8 * (drawnOther[i] ?? 0));
  const sketches = [a, b].map((values) => {
    const buckets = new Float64Array(4096);
    addToSketch(buckets, values, { seed: 7 });
    return buckets;
  });
  const [sa, sb] = sketches as [Float64Array, Float64Array];
  const norm = dot(a, a);
  expect(Math.abs(dot(sa, sa) / norm - 1)).toBeLessThan(4 / Math.sqrt(4096));
  expect(Math.abs((dot(sa, sb) - dot(a, b)) / norm)).toBeLessThan(4 / Math.sqrt(4096));
});
const drawnOther = drawn("other");

it("a sketch made in parts is the sketch of all", () => {
  const values = drawn("parts");
  const [whole, parts] = [new Float64Array(64), new Float64Array(64)];
  addToSketch(whole, values, { seed: 3 });
  addToSketch(parts, values.subarray(0, 777), { seed: 3 });
  addToSketch(parts, values.subarray(777), { seed: 3, from: 777 });
  expect(parts).toEqual(whole);
});
