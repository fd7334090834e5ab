/** Branches that are chosen while a graph becomes static, and those that cannot be. */
import { describe, expect, test } from "vitest";
import { float32, tensor } from "../../base/tensor.ts";
import type { Graph, GraphNode, Subgraph } from "../graph.ts";
import { interpret } from "../interpret.ts";
import { print } from "../print.ts";
import { specialize } from "../specialize.ts";
import type { OpName } from "./table.ts";

const node = (
  op: OpName,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: GraphNode["attributes"] = {},
): GraphNode => ({ op, name: outputs.join("+"), inputs, outputs, attributes });

const x = float32([2], [-1, 2]);
const bool = (value: boolean) => tensor("bool", [], Uint8Array.of(value ? 1 : 0));

/** A graph of x with the given nodes and outputs. */
const graphOf = (
  nodes: readonly GraphNode[],
  outputs: readonly string[],
  condition = true,
): Graph => ({
  name: "branches",
  inputs: [{ name: "x", dtype: "float32", shape: ["batch"] }],
  parameters: [],
  constants: new Map([["condition", bool(condition)]]),
  nodes,
  outputs,
});

/** relu(around) or -around, with one name for both results. */
const relu: Subgraph = {
  inputs: ["around"],
  nodes: [node("Relu", ["around"], ["result"])],
  outputs: ["result"],
};
const negative: Subgraph = {
  inputs: ["around"],
  nodes: [node("Neg", ["around"], ["result"])],
  outputs: ["result"],
};
const branches = { then_branch: relu, else_branch: negative };

const valuesOf = (graph: Graph): number[] => {
  const outputs = interpret(graph, new Map([["x", x]]));
  return Array.from(outputs.get(graph.outputs[0] ?? "")?.data ?? [], Number);
};

describe("an If whose condition is a constant", () => {
  test.each([
    { condition: true, expected: [0, 2] },
    { condition: false, expected: [1, -2] },
  ])("of $condition is the branch", ({ condition, expected }) => {
    const graph = graphOf([node("If", ["condition", "x"], ["y"], branches)], ["y"], condition);
    const whole = specialize(graph, { batch: 2 });
    expect(whole.nodes.map(({ op }) => op)).toEqual([condition ? "Relu" : "Neg"]);
    expect(valuesOf(whole)).toEqual(expected);
  });

  test("is chosen by a size, once sizes are known", () => {
    const graph = graphOf(
      [
        node("Shape", ["x"], ["shape"]),
        node("Squeeze", ["shape"], ["size"]),
        node("Cast", ["size"], ["many"], { to: 9 }),
        node("If", ["many", "x"], ["y"], branches),
      ],
      ["y"],
    );
    expect(specialize(graph, { batch: 2 }).nodes.map(({ op }) => op)).toEqual(["Relu"]);
  });

  test("may stand in a branch, and names of branches may be those outside", () => {
    const inside = node("If", ["condition", "around"], ["x"], branches);
    const outer: Subgraph = {
      inputs: ["condition", "around"],
      nodes: [inside, node("Exp", ["x"], ["y"])],
      outputs: ["y"],
    };
    const attributes = { then_branch: outer, else_branch: outer };
    const graph = graphOf([node("If", ["condition", "condition", "x"], ["y"], attributes)], ["y"]);
    const whole = specialize(graph, { batch: 2 });
    expect(whole.nodes.map(({ op }) => op)).toEqual(["Relu", "Exp"]);
    expect(valuesOf(whole)[1]).toBeCloseTo(Math.exp(2));
  });

  test("may pass on what is around it, and one value twice", () => {
    const pass: Subgraph = {
      inputs: ["around"],
      nodes: [node("Neg", ["around"], ["a"]), node("Identity", ["a"], ["b"])],
      outputs: ["around", "a", "b"],
    };
    const attributes = { then_branch: pass, else_branch: pass };
    const nodes = [
      node("If", ["condition", "x"], ["p", "q", "r"], attributes),
      node("Mul", ["p", "q"], ["pq"]),
      node("Add", ["pq", "r"], ["y"]),
    ];
    expect(valuesOf(specialize(graphOf(nodes, ["y"]), { batch: 2 }))).toEqual([0, -6]);
    const leaving = specialize(graphOf(nodes.slice(0, 1), ["r", "q", "p"]), { batch: 2 });
    expect(leaving.outputs).toEqual(["r", "q", "p"]);
    expect(valuesOf(leaving)).toEqual([1, -2]);
  });
});

describe("an If is refused", () => {
  test("where the condition comes with the data", () => {
    const nodes = [
      node("ReduceMax", ["x"], ["largest"]),
      node("Greater", ["largest", "x"], ["c"]),
      node("If", ["c", "x"], ["y"], branches),
    ];
    expect(() => specialize(graphOf(nodes, ["y"]), { batch: 2 })).toThrow(
      /If "y": the condition depends on the values of the model's inputs; allowed: one that is constant/,
    );
  });

  test.each([
    [
      "a condition of another type",
      "x1",
      branches,
      /If "y": the condition is float32\[1\]; allowed: one bool/,
    ],
    [
      "a branch that is none",
      "condition",
      { then_branch: relu, else_branch: 1 },
      /attribute else_branch: got 1; allowed: a graph/,
    ],
    [
      "a branch that is missing",
      "condition",
      { then_branch: relu },
      /attribute else_branch is missing/,
    ],
    [
      "a branch that gives too little",
      "condition",
      { ...branches, then_branch: { ...relu, outputs: [] } },
      /If "y": the graph that stands for it gives no output 0/,
    ],
  ])("with %s", (_, condition, attributes, message) => {
    const graph = graphOf([node("If", [condition, "x"], ["y"], attributes)], ["y"]);
    const constants = new Map([...graph.constants, ["x1", float32([1], [1])] as const]);
    expect(() => specialize({ ...graph, constants }, { batch: 2 })).toThrow(message);
  });
});

test("an If is printed with its branches", () => {
  const graph = graphOf([node("If", ["condition", "x"], ["y"], branches)], ["y"]);
  expect(print(graph)).toContain(
    "y = If(condition, x) {then_branch=(around) => { result = Relu(around); return result } " +
      "else_branch=(around) => { result = Neg(around); return result }}",
  );
});
