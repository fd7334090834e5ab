import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ModelError } from "../../base/errors.ts";
import { random } from "../../base/random.ts";
import { bytesOf, type DenseTensor, float32, int64, tensor, zeros } from "../../base/tensor.ts";
import type { Attributes, Graph, GraphNode, Weights } from "../graph.ts";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  ModelProtoSchema,
  type ValueInfoProto,
} from "./onnx_pb.js";
import { readOnnx } from "./read.ts";
import { decodeAttribute, encodeAttribute, encodeValue } from "./values.ts";
import { writeOnnx } from "./write.ts";

const node = (
  op: GraphNode["op"],
  inputs: string[],
  outputs: string[],
  attributes: GraphNode["attributes"] = {},
): GraphNode => ({ op, name: `${op}_${outputs[0]}`, inputs, outputs, attributes });

/** A small convolutional classifier: every kind of value that a graph may hold. */
function sample(): { graph: Graph; weights: Weights } {
  const weights = new Map([
    [
      "conv.weight",
      float32(
        [2, 1, 3, 3],
        Array.from({ length: 18 }, (_, i) => i / 7 - 1),
      ),
    ],
    ["conv.bias", float32([2], [0.5, -0.25])],
    ["fc.weight", float32([3, 2], [1, 2, 3, 4, 5, 6])],
    ["fc.bias", float32([3], [0, 1e-9, -3.5])],
  ]);
  const graph: Graph = {
    name: "sample",
    inputs: [{ name: "image", dtype: "float32", shape: ["batch", 1, 8, 8] }],
    parameters: [...weights].map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    constants: new Map([
      ["shape", int64([2], [0, -1])],
      ["half", float32([1, 2], [0.5, 0.5])],
    ]),
    nodes: [
      node("Conv", ["image", "conv.weight", "conv.bias"], ["c"], {
        kernel_shape: [3, 3],
        pads: [1, 1, 1, 1],
      }),
      node("Relu", ["c"], ["r"]),
      node("GlobalAveragePool", ["r"], ["g"]),
      node("Reshape", ["g", "shape"], ["f"]),
      node("Mul", ["f", "half"], ["m"]),
      node("Gemm", ["m", "fc.weight", "fc.bias"], ["scores"], { alpha: 0.1, beta: 1, transB: 1 }),
    ],
    outputs: ["scores"],
  };
  return { graph, weights };
}

const image = (name: string, shape: (number | string)[]): ValueInfoProto =>
  encodeValue(name, "float32", shape);

/** A small network as another exporter wrote it, in this operator set. */
const exported = (opset: number): Uint8Array =>
  readFileSync(new URL(`../../../test/golden/fixtures/exported-${opset}.onnx`, import.meta.url));

describe("what is written is read back", () => {
  test("a model with its weights", () => {
    const model = sample();
    expect(readOnnx(writeOnnx(model.graph, { weights: model.weights }))).toEqual(model);
  });

  test("weights own their memory, also when the bytes are a view at an odd address", () => {
    const { graph, weights } = sample();
    const bytes = writeOnnx(graph, { weights });
    const shifted = Buffer.alloc(bytes.length + 1);
    shifted.set(bytes, 1);
    const read = readOnnx(shifted.subarray(1)).weights;
    shifted.fill(0);
    expect(read).toEqual(weights);
    for (const { data } of read.values()) expect(data.buffer.byteLength).toBe(data.byteLength);
  });

  test("a structure without weights keeps its parameters as parameters", () => {
    const { graph } = sample();
    const read = readOnnx(writeOnnx(graph));
    expect(read.graph).toEqual(graph);
    expect(read.weights.size).toBe(0);
  });

  test("a structure is a program whose parameters are inputs", () => {
    const { graph } = sample();
    const proto = fromBinary(ModelProtoSchema, writeOnnx(graph));
    expect(proto.graph?.input.map((input) => input.name)).toEqual([
      "image",
      ...graph.parameters.map((parameter) => parameter.name),
    ]);
    expect(proto.graph?.initializer.map((stored) => stored.name)).toEqual(["shape", "half"]);
  });

  test("outputs are typed, with the names of the dimensions that they follow", () => {
    const { graph } = sample();
    const pooled = { ...graph, outputs: ["scores", "c"] };
    const outputs = fromBinary(ModelProtoSchema, writeOnnx(pooled)).graph?.output;
    expect(outputs).toMatchObject([image("scores", ["batch", 3]), image("c", ["batch", 2, 8, 8])]);
    const flexible: Graph = {
      name: "flexible",
      inputs: [{ name: "x", dtype: "float32", shape: ["batch", 1, "height", 8] }],
      parameters: [],
      constants: new Map(),
      nodes: [node("MaxPool", ["x"], ["y"], { kernel_shape: [2, 2], strides: [2, 2] })],
      outputs: ["y"],
    };
    expect(fromBinary(ModelProtoSchema, writeOnnx(flexible)).graph?.output).toMatchObject([
      image("y", ["batch", 1, "y_dim2", 4]),
    ]);
  });

  test("the same graph gives the same bytes", () => {
    const a = sample();
    const b = sample();
    expect(writeOnnx(a.graph, { weights: a.weights })).toEqual(
      writeOnnx(b.graph, { weights: b.weights }),
    );
  });

  test("tensors of every element type, with any values", () => {
    const values = fc.oneof(
      fc.float32Array().map((data) => tensor("float32", [data.length], data)),
      fc.float64Array().map((data) => tensor("float64", [data.length], data)),
      fc.bigInt64Array().map((data) => tensor("int64", [data.length], data)),
      fc.int32Array().map((data) => tensor("int32", [1, data.length], data)),
      fc.int8Array().map((data) => tensor("int8", [data.length, 1], data)),
      fc.uint8Array().map((data) => tensor("uint8", [data.length], data)),
      fc
        .array(fc.boolean())
        .map((bits) => tensor("bool", [bits.length], Uint8Array.from(bits, Number))),
      fc
        .uint16Array()
        .map((data) => tensor("float16", [data.length], new Float16Array(data.slice().buffer))),
    );
    fc.assert(
      fc.property(values, (value) => {
        const graph: Graph = {
          name: "constant",
          inputs: [],
          parameters: [],
          constants: new Map([["c", value]]),
          nodes: [],
          outputs: ["c"],
        };
        const read = readOnnx(writeOnnx(graph)).graph.constants.get("c") as DenseTensor;
        expect(read.shape).toEqual(value.shape);
        expect(read.dtype).toBe(value.dtype);
        expect(bytesOf(read)).toEqual(bytesOf(value));
      }),
    );
  });

  test("attributes of every kind; a number is float or integer by its name", () => {
    const attributes: Attributes = {
      alpha: 1,
      epsilon: 1e-5,
      axis: -1,
      mode: "linear",
      pads: [1, 2, 3],
      activations: ["Tanh", "Relu"],
      value: float32([2], [1, 2]),
    };
    const protos = Object.entries(attributes).map(([name, value]) =>
      toBinary(AttributeProtoSchema, encodeAttribute(name, value, "n")),
    );
    const read = protos.map((bytes) => fromBinary(AttributeProtoSchema, bytes));
    const at = { node: "n", operator: "Op" };
    expect(
      Object.fromEntries(read.map((proto) => [proto.name, decodeAttribute(proto, at)])),
    ).toEqual(attributes);
    expect(read.slice(0, 3).map((proto) => proto.type)).toEqual([
      AttributeType.FLOAT,
      AttributeType.FLOAT,
      AttributeType.INT,
    ]);
    expect(() => encodeAttribute("axis", 0.5, "n")).toThrow(/axis: got 0.5; allowed: integers/);
  });
});

test("a weight that is missing or of another type when writing", () => {
  const { graph, weights } = sample();
  const without = new Map([...weights].slice(1));
  expect(() => writeOnnx(graph, { weights: without })).toThrow(/conv.weight: .*no weight/);
  const wrong = new Map([...weights, ["fc.bias", zeros({ dtype: "float32", shape: [4] })]]);
  expect(() => writeOnnx(graph, { weights: wrong })).toThrow(/fc.bias: the weight is float32\[4\]/);
});

describe("damaged files", () => {
  test("four thousand mutated files are read or refused, never worse", () => {
    const { graph, weights } = sample();
    const originals = [writeOnnx(graph, { weights }), writeOnnx(graph), exported(9), exported(18)];
    const draw = random(20);
    let refused = 0;
    for (let round = 0; round < 4000; round++) {
      const original = originals[draw.below(originals.length)] as Uint8Array;
      const bytes = mutate(original, draw.fork(String(round)));
      try {
        readOnnx(bytes);
      } catch (error) {
        if (!(error instanceof ModelError)) throw new Error(`round ${round}`, { cause: error });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  test("a file that is cut short is refused, but for the border where only metadata is lost", () => {
    const { graph, weights } = sample();
    const whole = writeOnnx(graph, { weights });
    const accepted: number[] = [];
    for (let length = 0; length < whole.length; length++) {
      try {
        readOnnx(whole.subarray(0, length));
        accepted.push(length);
      } catch (error) {
        expect(error).toBeInstanceOf(ModelError);
      }
    }
    expect(accepted).toHaveLength(1);
    expect(accepted[0]).toBeGreaterThan(whole.length - 120);
  });

  test("deep nesting and long chains neither overflow nor stall", () => {
    expect(() => readOnnx(new Uint8Array(200_000).fill(0x0b))).toThrow(ModelError);
    const length = 20_000;
    const nodes = Array.from({ length }, (_, i) =>
      node("Relu", [i === length - 1 ? "image" : `v${i + 1}`], [`v${i}`]),
    );
    const chain = {
      ...sample().graph,
      parameters: [],
      constants: new Map(),
      nodes,
      outputs: ["v0"],
    };
    const sorted = readOnnx(writeOnnx(chain)).graph.nodes;
    expect(sorted).toEqual(nodes.toReversed());
  });
});

/** Flips, overwrites, inserts, deletes or repeats a few runs of bytes. */
function mutate(original: Uint8Array, draw: ReturnType<typeof random>): Uint8Array {
  let bytes = Array.from(original);
  for (let change = 0; change <= draw.below(4); change++) {
    const at = draw.below(bytes.length + 1);
    const run = 1 + draw.below(8);
    const kind = draw.below(5);
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << draw.below(8));
    if (kind === 1) bytes[at] = draw.below(256);
    if (kind === 2) bytes.splice(at, 0, ...Array.from({ length: run }, () => draw.below(256)));
    if (kind === 3) bytes.splice(at, run);
    if (kind === 4) bytes.splice(at, 0, ...bytes.slice(at, at + 4 * run));
    if (draw.below(50) === 0) bytes = bytes.slice(0, at);
  }
  return Uint8Array.from(bytes);
}
