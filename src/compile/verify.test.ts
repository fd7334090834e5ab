import { describe, expect, test } from "vitest";
import { ModelError } from "../base/errors.ts";
import { float32, int64 } from "../base/tensor.ts";
import type { Graph, GraphNode } from "./graph.ts";
import { verify } from "./verify.ts";

/** y = Relu(x + c), a graph with nothing wrong; each test breaks one thing. */
const good: Graph = {
  name: "good",
  inputs: [{ name: "x", dtype: "float32", shape: [2, 3] }],
  parameters: [{ name: "p", dtype: "float32", shape: [3] }],
  constants: new Map([["c", float32([1], [1])]]),
  nodes: [
    { op: "Add", name: "first", inputs: ["x", "p"], outputs: ["a"], attributes: {} },
    { op: "Mul", name: "second", inputs: ["a", "c"], outputs: ["b"], attributes: {} },
    { op: "Relu", name: "third", inputs: ["b"], outputs: ["y"], attributes: {} },
  ],
  outputs: ["y"],
};

/** The good graph with its second node changed. */
const withSecond = (change: Partial<GraphNode>): Graph => ({
  ...good,
  nodes: good.nodes.map((node, i) => (i === 1 ? { ...node, ...change } : node)),
});

function refusal(graph: Graph): ModelError {
  try {
    verify(graph);
  } catch (error) {
    expect(error).toBeInstanceOf(ModelError);
    return error as ModelError;
  }
  throw new Error("the graph was not refused");
}

test("a good graph is accepted and its types come back", () => {
  expect(Object.fromEntries([...verify(good)].map(([name, { shape }]) => [name, shape]))).toEqual({
    x: [2, 3],
    p: [3],
    c: [1],
    a: [2, 3],
    b: [2, 3],
    y: [2, 3],
  });
});

describe("every kind of bad graph is refused by the name of the first offender", () => {
  const second = /^Mul "second": /;

  test("a value that is given twice", () => {
    expect(refusal(withSecond({ outputs: ["a"] }))).toMatchObject({ node: "a" });
    expect(
      refusal({ ...good, parameters: [{ name: "x", dtype: "float32", shape: [3] }] }),
    ).toMatchObject({ node: "x" });
    const constants = new Map([...good.constants, ["p", float32([], [0])] as const]);
    expect(refusal({ ...good, constants })).toMatchObject({ node: "p" });
  });

  test("two nodes of one name", () => {
    const error = refusal(withSecond({ name: "first" }));
    expect(error).toMatchObject({ node: "first", operator: "Mul" });
  });

  test("a value without a name", () => {
    expect(
      refusal({ ...good, inputs: [{ name: "", dtype: "float32", shape: [1] }] }).message,
    ).toMatch(/without a name/);
  });

  test("a value that nothing gives", () => {
    expect(refusal(withSecond({ inputs: ["a", "nowhere"] })).message).toMatch(
      new RegExp(`${second.source}"nowhere"`),
    );
  });

  test("a value that is used before it is given", () => {
    const nodes = [good.nodes[1], good.nodes[0], good.nodes[2]] as GraphNode[];
    expect(refusal({ ...good, nodes }).message).toMatch(new RegExp(`${second.source}"a"`));
  });

  test("an output that nothing gives", () => {
    expect(refusal({ ...good, outputs: ["y", "z"] })).toMatchObject({ node: "z" });
  });

  test("a wrong number of inputs or outputs", () => {
    expect(refusal(withSecond({ inputs: ["a"] })).message).toMatch(/second": 1 inputs; allowed: 2/);
    expect(refusal(withSecond({ outputs: ["b", "d"] })).message).toMatch(/second": 2 outputs/);
  });

  test("a required input that is absent", () => {
    expect(refusal(withSecond({ inputs: ["", "c"] })).message).toMatch(
      /second": input 0 is missing/,
    );
  });

  test("shapes that do not fit", () => {
    const constants = new Map([["c", float32([2], [1, 1])]]);
    expect(refusal({ ...good, constants }).message).toMatch(/second": shapes \[2,3\] and \[2\]/);
  });

  test("element types that do not fit", () => {
    const constants = new Map([["c", int64([1], [1])]]);
    expect(refusal({ ...good, constants }).message).toMatch(/second": .*int64\[1\]/);
  });

  test("an attribute that the operator does not have", () => {
    expect(refusal(withSecond({ attributes: { axis: 1 } })).message).toMatch(
      /second": attribute axis is not supported; supported: none/,
    );
  });

  test("a dimension without a size", () => {
    const inputs = [{ name: "x", dtype: "float32" as const, shape: ["batch", 3] }];
    expect(refusal({ ...good, inputs }).message).toMatch(/x: dimension "batch" has no size/);
  });
});
