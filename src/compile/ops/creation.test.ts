/** Tensors made of sizes and indices, by hand, and what is refused. */
import { describe, expect, test } from "vitest";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { float32, int64 } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { readOnnx } from "../onnx/read.ts";
import { writeOnnx } from "../onnx/write.ts";
import { specialize } from "../specialize.ts";
import type { OpName } from "./table.ts";

describe("reference kernels by hand", () => {
  test("one of several is hot, or none where the index is no place", () => {
    const indices = int64([3], [1, -1, 3]);
    const hot = evaluate("OneHot", [indices, int64([], [3]), float32([2], [0, 5])]);
    expect(hot).toMatchObject({ shape: [3, 3], values: [0, 5, 0, 0, 0, 5, 0, 0, 0] });
  });

  test("ones on a diagonal", () => {
    const x = int64([2, 3], [0, 0, 0, 0, 0, 0]);
    expect(evaluate("EyeLike", [x])).toMatchObject({ dtype: "int64", values: [1, 0, 0, 0, 1, 0] });
    expect(evaluate("EyeLike", [x], { k: 1, dtype: 1 })).toMatchObject({
      dtype: "float32",
      values: [0, 1, 0, 0, 0, 1],
    });
  });

  test("coordinates of what is not zero", () => {
    const found = evaluate("NonZero", [float32([2, 2], [1, 0, -1, 2])]);
    expect(found).toMatchObject({ shape: [2, 3], values: [0, 1, 1, 0, 0, 1] });
  });

  test("one value everywhere", () => {
    expect(evaluate("ConstantOfShape", [int64([2], [1, 2])])).toMatchObject({
      dtype: "float32",
      values: [0, 0],
    });
    const value = int64([1], [7]);
    expect(evaluate("ConstantOfShape", [int64([1], [2])], { value })).toMatchObject({
      dtype: "int64",
      values: [7, 7],
    });
  });
});

test("what depends on sizes alone is a constant of the specialised graph, through a file too", () => {
  const builder = new GraphBuilder("sizes");
  const x = builder.input("x", { dtype: "float32", shape: [2, 2] });
  const value = float32([1], [3]);
  const sizes = builder.constant(int64([2], [2, 2]));
  const filled = builder.emit("ConstantOfShape", [sizes], { value });
  const sum = builder.emit("Add", [builder.emit("EyeLike", [x]), filled]);
  const { graph } = readOnnx(writeOnnx(builder.graph([builder.emit("Mul", [x, sum])])));
  const { nodes, constants } = specialize(graph, {});
  expect(nodes.map(({ op }) => op)).toEqual(["Mul"]);
  expect([...constants.values()].map(({ data }) => Array.from(data, Number))).toEqual([
    [4, 3, 3, 4],
  ]);
});

const refusals: [OpName, readonly Input[], Attributes, RegExp][] = [
  ["OneHot", [[2], int64([], [3]), [2]], {}, /the indices is float32\[2\]; allowed: int64, int32/],
  ["OneHot", [int64([1], [0]), [1], [2]], {}, /the depth \(input 1\) must be a constant/],
  ["OneHot", [int64([1], [0]), int64([], [0]), [2]], {}, /depth 0.*allowed: a depth from 1/],
  ["OneHot", [int64([1], [0]), int64([], [3]), [3]], {}, /values float32\[3\].*two values/],
  ["EyeLike", [[2]], {}, /allowed: 2 dimensions/],
  ["EyeLike", [[2, 2]], { dtype: 8 }, /attribute dtype: got 8; allowed: .*1 \(float32\)/],
  ["NonZero", [[2]], {}, /input 0 must be a constant/],
  ["ConstantOfShape", [[2]], {}, /the shape \(input 0\) must be a constant/],
  ["ConstantOfShape", [int64([1], [2])], { value: 1 }, /value: allowed: a tensor of one element/],
  ["ReverseSequence", [[2, 3], int64([2], [1, 1])], {}, /a length for each sequence/],
  ["ReverseSequence", [[2, 3], int64([3], [1, 1, 1])], { time_axis: 1 }, /axis 1 for both/],
];

test.each(refusals)("%s refuses in words: %4$s", (op, inputs, attributes, message) => {
  expect(() => emit(op, inputs, attributes)).toThrow(ModelError);
  expect(() => emit(op, inputs, attributes)).toThrow(message);
});
