/** The graphs that differentiation emits, and where the gradient of a tie goes. */
import { describe, expect, test } from "vitest";
import { elementCount, formatType, type TensorType, tensor } from "../base/tensor.ts";
import { differentiate } from "./autodiff.ts";
import { GraphBuilder } from "./builder.ts";
import type { Attributes } from "./graph.ts";
import { interpret } from "./interpret.ts";
import { print } from "./print.ts";

const square = { kernel_shape: [2, 2], strides: [2, 2] };

describe("what is emitted", () => {
  const type: TensorType = { dtype: "float32", shape: [2, 3] };

  /** y = Relu(x w + b), with everything a gradient needs. */
  function layer(): GraphBuilder {
    const builder = new GraphBuilder("layer");
    builder.input("x", type);
    builder.parameter("w", { dtype: "float32", shape: [3, 4] });
    builder.parameter("b", { dtype: "float32", shape: [4] });
    builder.emit("Gemm", ["x", "w", "b"], {}, "fc");
    builder.emit("Relu", ["fc"], {}, "y");
    builder.input("dy", { dtype: "float32", shape: [2, 4] });
    return builder;
  }

  test("the text of a layer before and after", () => {
    const builder = layer();
    expect(print(builder.graph(["y"]))).toBe(`graph layer
  input x: float32[2,3]
  input dy: float32[2,4]
  parameter w: float32[3,4]
  parameter b: float32[4]
  fc = Gemm(x, w, b)
  y = Relu(fc)
  return y
`);
    const gradients = differentiate(builder, new Map([["y", "dy"]]), new Set(["x", "w", "b"]));
    const graph = builder.graph([...gradients.values()]);
    expect(print(graph)).toBe(`graph layer
  input x: float32[2,3]
  input dy: float32[2,4]
  parameter w: float32[3,4]
  parameter b: float32[4]
  constant constant_1: int64[1] = {0}
  fc = Gemm(x, w, b)
  y = Relu(fc)
  cast_1 = Cast(y) {to=9}
  cast_2 = Cast(cast_1) {to=1}
  mul_1 = Mul(dy, cast_2)
  gemm_1 = Gemm(mul_1, w) {alpha=1 transA=0 transB=1}
  gemm_2 = Gemm(x, mul_1) {alpha=1 transA=1 transB=0}
  reducesum_1 = ReduceSum(mul_1, constant_1) {keepdims=0}
  return gemm_1, gemm_2, reducesum_1
`);
  });

  test("only gradients that are wanted", () => {
    const builder = layer();
    const before = builder.nodes.length;
    const gradients = differentiate(builder, new Map([["y", "dy"]]), new Set(["b"]));
    expect([...gradients.keys()]).toEqual(["b"]);
    expect(builder.nodes.slice(before).map(({ op }) => op)).toEqual([
      "Cast",
      "Cast",
      "Mul",
      "ReduceSum",
    ]);
  });

  test("a value that is used twice gets the sum of its gradients", () => {
    const builder = new GraphBuilder("twice");
    builder.input("x", type);
    builder.input("dy", type);
    builder.emit("Mul", ["x", "x"], {}, "y");
    const gradients = differentiate(builder, new Map([["y", "dy"]]), new Set(["x"]));
    const graph = builder.graph([gradients.get("x") as string]);
    const x = tensor("float32", [2, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    const dy = tensor("float32", [2, 3], Float32Array.of(1, 1, 1, 1, 1, 2));
    const [result] = interpret(graph, new Map(Object.entries({ x, dy }))).values();
    expect(result?.data).toEqual(Float32Array.of(2, 4, 6, 8, 10, 24));
  });

  test("an operator without a gradient is named, with the reason", () => {
    const builder = new GraphBuilder("positions");
    builder.parameter("w", { dtype: "float32", shape: [2, 3] });
    const y = builder.emit("ArgMax", ["w"], {}, "best");
    const seed = builder.input("dy", builder.type(y));
    expect(() => differentiate(builder, new Map([[y, seed]]), new Set(["w"]))).toThrow(
      /ArgMax "best": no gradient: its output is a list of indices/,
    );
  });

  test("what does not depend on anything wanted needs no gradient", () => {
    const builder = new GraphBuilder("fixed");
    builder.input("x", { dtype: "float32", shape: [1, 1, 2, 2] });
    const best = builder.emit("Cast", [builder.emit("ArgMax", ["x"])], { to: 1 });
    builder.parameter("w", builder.type(best));
    const y = builder.emit("Mul", [best, "w"]);
    const seed = builder.input("dy", builder.type(y));
    const gradients = differentiate(builder, new Map([[y, seed]]), new Set(["w"]));
    expect(formatType(builder.type(gradients.get("w") as string))).toBe("float32[1,1,2,2]");
  });
});

describe("a tie for the maximum goes to the first element of the window, alone", () => {
  const pools: [string, readonly number[], Attributes][] = [
    ["windows that tile", [2, 2, 4, 4], square],
    ["disjoint windows with a rest", [1, 2, 5, 5], square],
    ["overlapping windows", [1, 1, 4, 4], { kernel_shape: [3, 3] }],
    ["padded windows", [1, 1, 3, 3], { ...square, pads: [1, 1, 0, 0] }],
  ];
  const fills: [string, (i: number) => number][] = [
    ["equal values", () => 3],
    ["negative equal values", () => -3],
    ["few values", (i) => (i * 7) % 3],
  ];

  for (const [form, shape, attributes] of pools) {
    test.each(fills)(`${form}, %s`, (_, fill) => {
      const values = Float64Array.from({ length: elementCount(shape) }, (_, i) => fill(i));
      const x = tensor("float64", shape, values);
      const builder = new GraphBuilder("ties");
      builder.input("x", x);
      const y = builder.emit("MaxPool", ["x"], attributes);
      const indices = builder.emitAll("MaxPool", ["x"], attributes, 2)[1] as string;
      const { shape: pooled } = builder.type(y);
      const counted = Float64Array.from({ length: elementCount(pooled) }, (_, i) => i + 1);
      const seed = builder.constant(tensor("float64", pooled, counted));
      const gradient = differentiate(builder, new Map([[y, seed]]), new Set(["x"])).get("x");
      const results = interpret(
        builder.graph([indices, seed, gradient as string]),
        new Map([["x", x]]),
      );
      const [winners, weights, dx] = [...results.values()].map(({ data }) =>
        Array.from(data, Number),
      );
      const expected = new Array<number>(x.data.length).fill(0);
      winners?.forEach((winner, i) => {
        expected[winner] = (expected[winner] as number) + (weights?.[i] as number);
      });
      expect(dx).toEqual(expected);
    });
  }

  test("the winner of equal values is the first in row-major order", () => {
    const builder = new GraphBuilder("winner");
    const x = tensor("float64", [1, 1, 2, 4], Float64Array.of(1, 5, 2, 2, 5, 5, 2, 2));
    builder.input("x", x);
    const indices = builder.emitAll("MaxPool", ["x"], square, 2)[1] as string;
    const [winners] = interpret(builder.graph([indices]), new Map([["x", x]])).values();
    expect(winners?.data).toEqual(BigInt64Array.of(1n, 2n));
  });
});
