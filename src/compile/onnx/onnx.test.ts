import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ModelError } from "../../base/errors.ts";
import { random } from "../../base/random.ts";
import { bytesOf, type DenseTensor, float32, int64, tensor, zeros } from "../../base/tensor.ts";
import type { Attribute, Attributes, Graph, GraphNode, Weights } from "../graph.ts";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  FunctionProtoSchema,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
} from "./onnx_pb.js";
import { readOnnx } from "./read.ts";
import { decodeAttribute, encodeAttribute } from "./values.ts";
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

type Graphlike = MessageInitShape<typeof GraphProtoSchema>;
type Extra = Pick<Partial<ModelProto>, "functions" | "metadataProps">;
type Attributelike = MessageInitShape<typeof AttributeProtoSchema>;

/** A minimal file around the given graph, for forms that our writer never emits. */
const fileOf = (graph: Graphlike, opset = 17, extra: Extra = {}): Uint8Array =>
  toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [create(OperatorSetIdProtoSchema, { version: BigInt(opset) })],
      graph: create(GraphProtoSchema, graph),
      ...extra,
    }),
  );

const image = (name: string, dims: (number | string)[]) => ({
  name,
  type: {
    value: {
      case: "tensorType" as const,
      value: {
        elemType: DataType.FLOAT,
        shape: {
          dim: dims.map((dimension) => ({
            value:
              typeof dimension === "number"
                ? { case: "dimValue" as const, value: BigInt(dimension) }
                : { case: "dimParam" as const, value: dimension },
          })),
        },
      },
    },
  },
});

const floats = (name: string, dims: number[], values: number[]) => ({
  name,
  dataType: DataType.FLOAT,
  dims: dims.map(BigInt),
  floatData: values,
});

const ints = (name: string, values: number[]) => ({
  name,
  type: AttributeType.INTS,
  ints: values.map(BigInt),
});

/** A file with one node on a 2x3 input. */
const single = (opType: string, attribute: Attributelike[], opset: number): Uint8Array =>
  fileOf(
    {
      input: [image("x", [2, 3])],
      output: [{ name: "y" }],
      node: [{ opType, input: ["x"], output: ["y"], attribute }],
    },
    opset,
  );

const refusal = (bytes: Uint8Array): ModelError => {
  try {
    readOnnx(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ModelError);
    return error as ModelError;
  }
  throw new Error("the file was not refused");
};

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

describe("files of other exporters", () => {
  test("inputs that repeat stored tensors are no inputs", () => {
    const { graph } = readOnnx(
      fileOf({
        input: [image("x", ["N", 2]), image("w", [2, 3])],
        output: [{ name: "y" }],
        initializer: [floats("w", [2, 3], [1, 2, 3, 4, 5, 6])],
        node: [{ opType: "MatMul", input: ["x", "w"], output: ["y"] }],
      }),
    );
    expect(graph.inputs).toEqual([{ name: "x", dtype: "float32", shape: ["N", 2] }]);
    expect(graph.parameters).toEqual([{ name: "w", dtype: "float32", shape: [2, 3] }]);
    expect(graph.nodes[0]?.name).toBe("MatMul_0");
  });

  test("dimensions without name or size get names that nobody has", () => {
    const { graph } = readOnnx(
      fileOf({
        input: [image("x", ["", 0, -1, "x_dim1", 4])],
        output: [{ name: "y" }],
        node: [{ opType: "Relu", input: ["x"], output: ["y"] }],
      }),
    );
    expect(graph.inputs[0]?.shape).toEqual(["x_dim0", "x_dim1_1", "x_dim2", "x_dim1", 4]);
  });

  test("constant nodes become parameters where they are weights, and constants elsewhere", () => {
    const constant = (name: string, dims: number[], values: number[]) => ({
      opType: "Constant",
      output: [name],
      attribute: [{ name: "value", type: AttributeType.TENSOR, t: floats("", dims, values) }],
    });
    const { graph, weights } = readOnnx(
      fileOf({
        input: [image("x", [2, 3])],
        output: [{ name: "y" }],
        node: [
          constant("raw", [2, 3], [1, 2, 3, 4, 5, 6]),
          constant("bias", [2], [1, 2]),
          constant("scale", [1], [255]),
          constant("nobody", [2], [1, 2]),
          { opType: "Transpose", input: ["raw"], output: ["w"], attribute: [ints("perm", [1, 0])] },
          { opType: "MatMul", input: ["x", "w"], output: ["m"] },
          { opType: "Add", input: ["m", "bias"], output: ["a"] },
          { opType: "Mul", input: ["a", "scale"], output: ["y"] },
        ],
      }),
    );
    expect([...weights.keys()]).toEqual(["raw", "bias"]);
    expect([...graph.constants.keys()]).toEqual(["scale"]);
  });

  test("nodes in any order are sorted, and identities disappear", () => {
    const { graph } = readOnnx(
      fileOf({
        input: [image("x", [2, 3])],
        output: [{ name: "y" }],
        node: [
          { opType: "Relu", name: "last", input: ["b"], output: ["y"] },
          { opType: "Dropout", input: ["a2"], output: ["b", "mask"] },
          { opType: "Identity", input: ["a"], output: ["a2"] },
          { opType: "Relu", name: "first", input: ["x"], output: ["a"] },
        ],
      }),
    );
    expect(graph.nodes.map(({ name, inputs }) => [name, inputs])).toEqual([
      ["first", ["x"]],
      ["last", ["a"]],
    ]);
  });

  test("stored tensors in typed lists", () => {
    const half = { name: "h", dataType: DataType.FLOAT16, dims: [2n], int32Data: [0x3c00, 0xc000] };
    const flags = { name: "b", dataType: DataType.BOOL, dims: [3n], int32Data: [0, 1, 7] };
    const { graph } = readOnnx(
      fileOf({ output: [{ name: "h" }, { name: "b" }], initializer: [half, flags] }),
    );
    expect(Array.from(graph.constants.get("h")?.data as Float16Array)).toEqual([1, -2]);
    expect(Array.from(graph.constants.get("b")?.data as Uint8Array)).toEqual([0, 1, 1]);
  });
});

describe("older and newer forms come in as those of operator set 17", () => {
  const only = (bytes: Uint8Array) => {
    const { graph } = readOnnx(bytes);
    const first = graph.nodes[0] as GraphNode;
    const constants = first.inputs.map((name) => graph.constants.get(name));
    return {
      ...first,
      constants: constants.map((c) => c && Array.from(c.data as Float32Array, Number)),
    };
  };

  test("axes of a sum: attribute before set 13", () => {
    const read = only(single("ReduceSum", [ints("axes", [1])], 11));
    expect(read.constants).toEqual([undefined, [1]]);
    expect(read.attributes).toEqual({});
  });

  test("bounds of a slice: attributes before set 10, where a huge end means to the end", () => {
    const huge = { name: "ends", type: AttributeType.INTS, ints: [0x7fff_ffff_ffff_ffffn] };
    const read = only(single("Slice", [ints("starts", [1]), huge, ints("axes", [0])], 9));
    expect(read.constants).toEqual([undefined, [1], [Number.MAX_SAFE_INTEGER], [0]]);
  });

  test("axes of a mean: an input from set 18 on", () => {
    const file = (axes: number[], noop: bigint) =>
      fileOf(
        {
          input: [image("x", [2, 3])],
          output: [{ name: "y" }],
          initializer: [
            {
              name: "axes",
              dataType: DataType.INT64,
              dims: [BigInt(axes.length)],
              int64Data: axes.map(BigInt),
            },
          ],
          node: [
            {
              opType: "ReduceMean",
              input: ["x", "axes"],
              output: ["y"],
              attribute: [{ name: "noop_with_empty_axes", type: AttributeType.INT, i: noop }],
            },
          ],
        },
        18,
      );
    expect(only(file([1], 0n))).toMatchObject({ inputs: ["x"], attributes: { axes: [1] } });
    expect(only(file([], 0n))).toMatchObject({ op: "ReduceMean", attributes: {} });
    expect(only(file([], 1n))).toMatchObject({ op: "Identity", inputs: ["x"] });
  });

  test("bounds of clipping: attributes before set 11", () => {
    const attributes = new Map<string, Attribute>([["max", 6]]);
    const clip: RawNode = { op: "Clip", name: "c", inputs: ["x"], outputs: ["y"], attributes };
    const added: DenseTensor[] = [];
    normalise(clip, {
      opset: 9,
      stored: () => null,
      rank: () => null,
      addConstant: (hint, value) => {
        added.push(value);
        return hint;
      },
    });
    expect(clip).toMatchObject({ inputs: ["x", "", "c.max"], attributes: new Map() });
    expect(added).toEqual([float32([], [6])]);
  });

  test("averages without gaps: the attribute for gaps came with set 19", () => {
    const kernel = ints("kernel_shape", [2, 2]);
    expect(only(single("AveragePool", [kernel, ints("dilations", [1, 1])], 19)).attributes).toEqual(
      { kernel_shape: [2, 2] },
    );
    expect(refusal(single("AveragePool", [kernel, ints("dilations", [2, 1])], 19)).message).toMatch(
      /AveragePool "AveragePool_0": .*dilations/,
    );
  });

  test("amounts and value of padding: attributes before set 11", () => {
    const value = { name: "value", type: AttributeType.FLOAT, f: 2.5 };
    expect(only(single("Pad", [ints("pads", [0, 1, 0, 1]), value], 10)).constants).toEqual([
      undefined,
      [0, 1, 0, 1],
      [2.5],
    ]);
  });

  test("softmax before set 13 defaults to axis 1 and is kept when that is the last", () => {
    expect(only(single("Softmax", [], 11)).attributes).toEqual({ axis: -1 });
    expect(
      refusal(single("Softmax", [{ name: "axis", type: AttributeType.INT, i: 0n }], 11)).message,
    ).toMatch(/Softmax "Softmax_0": axis 0 of a tensor of 2 dimensions/);
  });
});

describe("what cannot be read is refused by name", () => {
  const relu = { opType: "Relu", input: ["x"], output: ["y"] };
  const frame = { input: [image("x", [2, 3])], output: [{ name: "y" }] };

  test.each<[string, Uint8Array, RegExp]>([
    ["no bytes", new Uint8Array(), /names 0 versions of ONNX's operator set/],
    [
      "bytes of another kind",
      new TextEncoder().encode("PK\u0003\u0004 not a model"),
      /not an ONNX file/,
    ],
    [
      "an operator set that is too old",
      fileOf({ ...frame, node: [relu] }, 8),
      /set 8; allowed: 9 to 21/,
    ],
    [
      "an operator set that is too new",
      fileOf({ ...frame, node: [relu] }, 22),
      /set 22; allowed: 9 to 21/,
    ],
    [
      "an unsupported operator",
      fileOf({ ...frame, node: [{ ...relu, opType: "Loop", name: "while" }] }),
      /Loop "while": the operator is not supported; supported: .*Conv/,
    ],
    [
      "another domain",
      fileOf({ ...frame, node: [{ ...relu, domain: "com.example" }] }),
      /domain "com.example"; allowed: ONNX's own/,
    ],
    [
      "functions",
      fileOf({ ...frame, node: [relu] }, 17, {
        functions: [create(FunctionProtoSchema, { name: "mine" })],
      }),
      /its own \(mine\)/,
    ],
    [
      "a dangling name",
      fileOf({ ...frame, node: [{ ...relu, input: ["z"] }] }),
      /reads "z", which no node/,
    ],
    [
      "a name produced twice",
      fileOf({ ...frame, node: [relu, relu] }),
      /produces "y", which exists already/,
    ],
    [
      "a node that produces an input",
      fileOf({ ...frame, node: [{ ...relu, output: ["x"] }] }),
      /produces "x", which exists/,
    ],
    [
      "an output that nothing gives",
      fileOf({ ...frame, output: [{ name: "q" }], node: [relu] }),
      /q: nothing gives/,
    ],
    ["no outputs", fileOf({ ...frame, output: [], node: [relu] }), /no outputs/],
    [
      "a cycle",
      fileOf({
        ...frame,
        node: [
          { opType: "Add", name: "p", input: ["x", "b"], output: ["a"] },
          { opType: "Relu", name: "q", input: ["a"], output: ["b"] },
          { opType: "Relu", name: "r", input: ["b"], output: ["y"] },
        ],
      }),
      /"(p|q)": the node depends on its own output/,
    ],
    [
      "values in another file",
      fileOf({
        ...frame,
        node: [relu],
        initializer: [
          {
            ...floats("w", [2], []),
            dataLocation: DataLocation.EXTERNAL,
            externalData: [{ key: "location", value: "model.bin" }],
          },
        ],
      }),
      /w: its values lie in another file \("model.bin"\)/,
    ],
    [
      "an element type that we lack",
      fileOf({
        ...frame,
        node: [relu],
        initializer: [{ name: "w", dataType: DataType.BFLOAT16, dims: [1n] }],
      }),
      /w: element type BFLOAT16 is not supported; supported: float32/,
    ],
    [
      "an unknown element type",
      fileOf({ ...frame, node: [relu], initializer: [{ name: "w", dataType: 99, dims: [1n] }] }),
      /element type code 99/,
    ],
    [
      "too few values",
      fileOf({ ...frame, node: [relu], initializer: [floats("w", [1000, 1000, 1000], [1])] }),
      /needs 1000000000 values, the file holds 1/,
    ],
    [
      "a subgraph",
      fileOf({
        ...frame,
        node: [{ ...relu, attribute: [{ name: "body", type: AttributeType.GRAPH }] }],
      }),
      /attribute body of kind GRAPH/,
    ],
    [
      "a mask of dropout that is used",
      fileOf({
        ...frame,
        node: [
          { opType: "Dropout", input: ["x"], output: ["d", "m"] },
          { ...relu, input: ["m"] },
        ],
      }),
      /reads "m"/,
    ],
    [
      "a listed parameter that is not there",
      fileOf({ ...frame, node: [relu] }, 17, {
        metadataProps: [
          create(StringStringEntryProtoSchema, { key: "edgeloom.parameters", value: '["w"]' }),
        ],
      }),
      /w: the metadata lists a parameter/,
    ],
  ])("%s", (_, bytes, message) => {
    expect(refusal(bytes).message).toMatch(message);
  });

  test("a weight that is missing or of another type when writing", () => {
    const { graph, weights } = sample();
    const without = new Map([...weights].slice(1));
    expect(() => writeOnnx(graph, { weights: without })).toThrow(/conv.weight: .*no weight/);
    const wrong = new Map([...weights, ["fc.bias", zeros({ dtype: "float32", shape: [4] })]]);
    expect(() => writeOnnx(graph, { weights: wrong })).toThrow(
      /fc.bias: the weight is float32\[4\]/,
    );
  });
});

describe("damaged files", () => {
  test("four thousand mutated files are read or refused, never worse", () => {
    const { graph, weights } = sample();
    const originals = [
      writeOnnx(graph, { weights }),
      writeOnnx(graph),
      single("Slice", [ints("starts", [1]), ints("ends", [2])], 9),
    ];
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
    refusal(new Uint8Array(200_000).fill(0x0b));
    const length = 20_000;
    const chain = Array.from({ length }, (_, i) => ({
      opType: "Relu",
      name: "same",
      input: [i === length - 1 ? "x" : `v${i + 1}`],
      output: [`v${i}`],
    }));
    const file = fileOf({ input: [image("x", [2])], output: [{ name: "v0" }], node: chain });
    expect(readOnnx(file).graph.nodes).toHaveLength(length);
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
