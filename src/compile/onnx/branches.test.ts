/** Graphs inside a file: the branches of an If, read and written. */
import { create } from "@bufbuild/protobuf";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import {
  type Attributelike,
  fileOf,
  floats,
  type Graphlike,
  image,
  ints,
  refusal,
} from "../../../test/onnx-files.ts";
import { float32 } from "../../base/tensor.ts";
import { interpret } from "../interpret.ts";
import { specialize } from "../specialize.ts";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
} from "./onnx_pb.js";
import { readOnnx } from "./read.ts";
import { writeOnnx } from "./write.ts";

describe("branches of an If", () => {
  const branch = (name: string, g: Graphlike): Attributelike => ({
    name,
    type: AttributeType.GRAPH,
    g: create(GraphProtoSchema, g),
  });
  /** A product with weights of its own, under the names that the other branch uses too. */
  const product = (weights: number[], around = "x") => ({
    node: [
      { opType: "MatMul", input: [around, "w"], output: ["product"] },
      { opType: "Identity", input: ["product"], output: ["same"] },
      { opType: "Relu", input: ["same"], output: ["result"] },
    ],
    initializer: [floats("w", [3, 1], weights)],
    output: [{ name: "result" }],
  });
  const choice = (then: Graphlike, otherwise: Graphlike) => ({
    opType: "If",
    name: "choice",
    input: ["c"],
    output: ["y"],
    attribute: [branch("then_branch", then), branch("else_branch", otherwise)],
  });
  const condition = {
    name: "c",
    dataType: DataType.BOOL,
    dims: [],
    rawData: Uint8Array.of(0),
  };
  const file = (node: NonNullable<Graphlike["node"]>): Uint8Array =>
    fileOf({
      input: [image("x", [2, 3])],
      output: [{ name: "y" }],
      initializer: [condition],
      node,
    });

  test("keep weights of their own, and take what is around them as inputs", () => {
    const { graph, weights } = readOnnx(file([choice(product([1, 2, 3]), product([4, 5, 6]))]));
    const [node] = graph.nodes;
    expect(node?.inputs).toEqual(["c", "x", "w", "w_1"]);
    expect(node?.attributes).toMatchObject({
      then_branch: { inputs: ["x", "w", "w_1"], outputs: ["result"] },
      else_branch: { inputs: ["x", "w", "w_1"], outputs: ["result"] },
    });
    expect(graph.parameters.map(({ name }) => name)).toEqual(["w", "w_1"]);
    const whole = specialize(graph, {});
    expect(whole.nodes.map(({ op }) => op)).toEqual(["MatMul", "Relu"]);
    const x = float32([2, 3], [1, 1, 1, -1, 0, 0]);
    const result = interpret(whole, new Map([["x", x], ...weights])).get("y");
    expect(result?.data).toEqual(Float32Array.of(15, 0));
  });

  test("are sorted after what they use, and see through what is dropped", () => {
    const nodes = [
      choice(product([1, 2, 3], "a"), product([4, 5, 6], "b")),
      { opType: "Identity", input: ["x"], output: ["a"] },
      { opType: "Neg", input: ["a"], output: ["b"] },
    ];
    const { graph } = readOnnx(file(nodes));
    expect(graph.nodes.map(({ op, inputs }) => [op, ...inputs])).toEqual([
      ["Neg", "x"],
      ["If", "c", "x", "w", "b", "w_1"],
    ]);
  });

  test("are written as they were read, for other runtimes too", async () => {
    const inner = choice(product([1, 2, 3]), product([4, 5, 6]));
    const outer = { node: [{ ...inner, output: ["inner"] }], output: [{ name: "inner" }] };
    const { graph, weights } = readOnnx(file([choice(product([7, 8, 9]), outer)]));
    const bytes = writeOnnx(graph, { weights });
    const again = readOnnx(bytes);
    expect(again.weights).toEqual(weights);
    expect(writeOnnx(again.graph, { weights: again.weights })).toEqual(bytes);
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
    const x = new ort.Tensor("float32", Float32Array.of(1, 1, 1, -1, 0, 0), [2, 3]);
    expect((await session.run({ x })).y?.data).toEqual(Float32Array.of(15, 0));
  });

  const plain = product([1, 2, 3]);
  const nested = (depth: number): Graphlike =>
    depth === 0 ? plain : { node: [choice(nested(depth - 1), plain)], output: [{ name: "y" }] };
  test.each<[string, Graphlike, RegExp]>([
    ["what nothing gives", product([1, 2, 3], "z"), /If "choice": reads "z", which no node/],
    ["inputs of their own", { ...plain, input: [image("i", [1])] }, /If "choice": .*with inputs/],
    [
      "two tensors of one name",
      { ...plain, initializer: [floats("w", [1], [1]), floats("w", [1], [1])] },
      /w: two stored tensors/,
    ],
    [
      "an operator that we lack",
      { ...plain, node: [{ opType: "Loop", output: ["result"] }] },
      /Loop "Loop_0": .*not supported/,
    ],
    [
      "an attribute that no operator has",
      {
        ...plain,
        node: [{ opType: "Relu", input: ["x"], output: ["result"], attribute: [ints("n", [1])] }],
      },
      /Relu "Relu_0": attribute n/,
    ],
    [
      "itself",
      { ...plain, node: [{ opType: "Relu", input: ["y"], output: ["result"] }] },
      /depends on its own output/,
    ],
    ["too many others", nested(40), /maximum recursion depth/],
  ])("are refused with %s", (_, then, message) => {
    expect(refusal(file([choice(then, plain)])).message).toMatch(message);
  });

  test("may be missing in a file", () => {
    expect(
      refusal(file([{ opType: "If", name: "choice", input: ["c"], output: ["y"] }])).message,
    ).toMatch(/If "choice": attribute then_branch is missing/);
  });
});
