import { expect, test } from "vitest";
import { float32, int64 } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { specialize } from "./specialize.ts";
import { verify } from "./verify.ts";

const node = (
  op: GraphNode["op"],
  name: string,
  inputs: string[],
  attributes: GraphNode["attributes"] = {},
): GraphNode => ({ op, name, inputs, outputs: [name], attributes });

/** x [N, 2, 3] flattened in the long-winded way of exporters: its own size, joined with -1. */
const exported: Graph = {
  name: "exported",
  inputs: [{ name: "x", dtype: "float32", shape: ["N", 2, 3] }],
  parameters: [{ name: "w", dtype: "float32", shape: [6, 4] }],
  constants: new Map([
    ["zero", int64([], [0])],
    ["axes", int64([1], [0])],
    ["rest", int64([1], [-1])],
    ["half", float32([], [0.5])],
    ["quarter", float32([], [0.25])],
  ]),
  nodes: [
    node("Shape", "shape", ["x"]),
    node("Gather", "size", ["shape", "zero"], { axis: 0 }),
    node("Unsqueeze", "sizes", ["size", "axes"]),
    node("Concat", "target", ["sizes", "rest"], { axis: 0 }),
    node("Reshape", "flat", ["x", "target"]),
    node("Add", "factor", ["half", "quarter"]),
    node("Relu", "unused", ["flat"]),
    node("MatMul", "product", ["flat", "w"]),
    node("Mul", "y", ["product", "factor"]),
  ],
  outputs: ["y"],
};

test("sizes are bound, what is known is computed, what is not needed goes", () => {
  const graph = specialize(exported, { batch: 5 });
  expect(graph.inputs[0]?.shape).toEqual([5, 2, 3]);
  expect(graph.nodes.map(({ name }) => name)).toEqual(["flat", "product", "y"]);
  expect(graph.constants).toEqual(
    new Map([
      ["target", int64([2], [5, -1])],
      ["factor", float32([], [0.75])],
    ]),
  );
  expect(graph.parameters).toEqual(exported.parameters);
  expect(verify(graph).get("y")?.shape).toEqual([5, 4]);
});

test("a dimension may be bound by its own name", () => {
  expect(specialize(exported, { N: 2 }).inputs[0]?.shape).toEqual([2, 2, 3]);
});

test("a dimension that stays open is named", () => {
  expect(() => specialize(exported, {})).toThrow(/x: dimension "N" has no size/);
});

test("a node that does not fit the bound sizes is named", () => {
  const inputs = [{ name: "x", dtype: "float32" as const, shape: ["N", "height", 3] }];
  expect(() => specialize({ ...exported, inputs }, { batch: 1, height: 4 })).toThrow(
    /MatMul "product": .*inner sizes 12 and 6/,
  );
});

test("a model whose batch is fixed is refused for any other batch", () => {
  const builder = new GraphBuilder("fixed");
  const x = builder.input("x", { dtype: "float32", shape: [4, 2] });
  const graph = builder.graph([builder.emit("Relu", [x])]);
  expect(specialize(graph, { batch: 4 }).inputs[0]?.shape).toEqual([4, 2]);
  expect(() => specialize(graph, { batch: 8 })).toThrow(
    /the batch is fixed at 4, and 8 is asked for/,
  );
});

test("a constant that would be huge is left to the engine instead of computed", () => {
  const builder = new GraphBuilder("huge");
  const x = builder.input("x", { dtype: "float32", shape: [1, 1] });
  const one = builder.constant(float32([1, 1], [1]));
  const wide = builder.emit("Expand", [one, builder.constant(int64([2], [60_000, 40_000]))]);
  const graph = builder.graph([builder.emit("Add", [x, wide])]);
  expect(specialize(graph, {}).nodes.map(({ op }) => op)).toEqual(["Expand", "Add"]);
});
