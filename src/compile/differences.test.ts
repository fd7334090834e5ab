import { expect, test } from "vitest";
import { float32 } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import { Differences } from "./differences.ts";

const isSame = (a: number, b: number): boolean => Math.abs(a - b) < 1e-6;

/** The sum of relu(x) w, with x = [1, -1, 0]. */
function sum() {
  const builder = new GraphBuilder("sum");
  const x = builder.input("x", { dtype: "float32", shape: [3] });
  const w = builder.parameter("w", { dtype: "float32", shape: [3] });
  const cast = builder.emit("Cast", [builder.emit("Relu", [x])], { to: 1 });
  const y = builder.emit("ReduceSum", [builder.emit("Mul", [cast, w])], { keepdims: 0 });
  const feeds = new Map([
    ["x", float32([3], [1, -1, 0])],
    ["w", float32([3], [2, 3, 4])],
  ]);
  return new Differences(builder.graph([y]), y, feeds);
}

test("a difference is the derivative along a direction", () => {
  expect(sum().value).toBe(2);
  expect(sum().along("w", [1, 1, 1], isSame)).toBeCloseTo(1, 9);
  expect(sum().along("x", [1, -1, 0], isSame)).toBeCloseTo(2, 9);
});

test("only what depends on an input is computed again", () => {
  expect(
    sum()
      .dependents("w")
      .map(({ op }) => op),
  ).toEqual(["Mul", "ReduceSum"]);
});

test("a kink at the point itself halves the slope, one nearby has the reach shrink", () => {
  expect(sum().along("x", [0, 0, 1], isSame)).toBeCloseTo(2, 6);
  const builder = new GraphBuilder("near");
  const x = builder.input("x", { dtype: "float64", shape: [2] });
  const y = builder.emit("ReduceSum", [builder.emit("Relu", [x])], { keepdims: 0 });
  const near = new Differences(builder.graph([y]), y, new Map([["x", float32([2], [1, 5e-6])]]));
  expect(near.along("x", [0, 1], isSame)).toBeCloseTo(1, 6);
});

test("where no two reaches agree there is no answer", () => {
  expect(sum().along("w", [1, 1, 1], () => false)).toBeNull();
});
