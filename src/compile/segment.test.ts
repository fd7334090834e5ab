import { describe, expect, test } from "vitest";
import { float32, type TensorType } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Graph } from "./graph.ts";
import { segmentModel } from "./segment.ts";

const matrix: TensorType = { dtype: "float32", shape: [4, 4] };
const names = (graph: Graph): string[] => segmentModel(graph).map(({ name }) => name);

function builderOf(...parameters: string[]): GraphBuilder {
  const builder = new GraphBuilder("model");
  builder.input("x", matrix);
  for (const parameter of parameters) builder.parameter(parameter, matrix);
  return builder;
}

describe("cuts are where one activation is live", () => {
  test("a chain is cut after every node", () => {
    const builder = builderOf("w", "v");
    builder.emit("MatMul", ["x", "w"], {}, "first");
    builder.emit("Relu", ["first"], {}, "active");
    builder.emit("MatMul", ["active", "v"], {}, "last");
    const segments = segmentModel(builder.graph(["last"]));
    expect(
      segments.map(({ index, name, parameters, inputs, outputs }) => [
        index,
        name,
        parameters.map((parameter) => parameter.name),
        inputs[0]?.name,
        outputs[0]?.name,
      ]),
    ).toEqual([
      [0, "first", ["w"], "x", "first"],
      [1, "active", [], "first", "active"],
      [2, "last", ["v"], "active", "last"],
    ]);
    expect(segments[0]?.outputs).toEqual([{ name: "first", ...matrix, hasGradient: true }]);
  });

  test("a branch around a block keeps the block whole", () => {
    const builder = builderOf("w");
    builder.emit("Relu", ["x"], {}, "before");
    builder.emit("MatMul", ["before", "w"], {}, "inner");
    builder.emit("Add", ["before", "inner"], {}, "joined");
    builder.emit("Tanh", ["joined"], {}, "after");
    expect(names(builder.graph(["after"]))).toEqual(["before", "inner+joined", "after"]);
  });

  test("a parameter that is used twice keeps its users together", () => {
    const builder = builderOf("w", "v");
    builder.emit("MatMul", ["x", "w"], {}, "first");
    builder.emit("MatMul", ["first", "v"], {}, "between");
    builder.emit("MatMul", ["between", "w"], {}, "again");
    builder.emit("Relu", ["again"], {}, "after");
    expect(names(builder.graph(["after"]))).toEqual(["first+between+again", "after"]);
  });

  test("what depends on parameters alone is not live and goes where it is used", () => {
    const builder = builderOf("w", "v");
    builder.emit("Transpose", ["v"], {}, "turned");
    builder.emit("MatMul", ["x", "w"], {}, "first");
    builder.emit("MatMul", ["first", "turned"], {}, "last");
    const segments = segmentModel(builder.graph(["last"]));
    expect(segments.map(({ nodes }) => nodes.map((node) => node.name))).toEqual([
      ["first"],
      ["turned", "last"],
    ]);
    expect(segments[1]?.parameters.map(({ name }) => name)).toEqual(["v"]);
  });
});

test("a model with several inputs or outputs is refused", () => {
  const builder = builderOf("w");
  builder.emit("MatMul", ["x", "w"], {}, "first");
  builder.emit("Relu", ["first"], {}, "second");
  expect(() => segmentModel(builder.graph(["first", "second"]))).toThrow(/got 1 and 2/);
});

test("a constant that several segments share forbids no cut; a shared parameter does", () => {
  const chain = (shared: "constant" | "parameter") => {
    const builder = new GraphBuilder("shared");
    const scale =
      shared === "constant"
        ? builder.constant(float32([], [2]))
        : builder.parameter("scale", { dtype: "float32", shape: [] });
    let at = builder.input("x", { dtype: "float32", shape: [2, 3] });
    for (let i = 0; i < 3; i++) at = builder.emit("Mul", [at, scale]);
    return segmentModel(builder.graph([at])).length;
  };
  expect(chain("constant")).toBe(3);
  expect(chain("parameter")).toBe(1);
});

test("an output that does not depend on the input is refused", () => {
  const builder = new GraphBuilder("apart");
  builder.input("x", { dtype: "float32", shape: [2, 3] });
  const weight = builder.parameter("weight", { dtype: "float32", shape: [3] });
  const graph = builder.graph([builder.emit("Neg", [weight])]);
  expect(() => segmentModel(graph)).toThrow(/does not depend on the input/);
});
