import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  type Attributelike,
  fileOf,
  floats,
  image,
  ints,
  refusal,
} from "../../../test/onnx-files.ts";
import { type DenseTensor, float32 } from "../../base/tensor.ts";
import type { Attribute, GraphNode } from "../graph.ts";
import { interpret } from "../interpret.ts";
import { specialize } from "../specialize.ts";
import { normalise, type RawNode } from "./normalise.ts";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  FunctionProtoSchema,
  StringStringEntryProtoSchema,
} from "./onnx_pb.js";
import { readOnnx } from "./read.ts";

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

  test("nodes in any order are sorted, identities disappear, dropout stays", () => {
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
      ["Dropout_1", ["a"]],
      ["last", ["b"]],
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
    const file = (axes: number[], noop: bigint, opType = "ReduceMean") =>
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
              opType,
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
    // Without axes a norm still takes the size of every element, and so on.
    for (const [op, each] of [
      ["ReduceMin", "Identity"],
      ["ReduceProd", "Identity"],
      ["ReduceLogSumExp", "Identity"],
      ["ReduceL1", "Abs"],
      ["ReduceL2", "Abs"],
      ["ReduceLogSum", "Log"],
    ] as const) {
      const expected = { op, inputs: ["x"], attributes: { axes: [1] } };
      expect(only(file([1], 0n, op))).toMatchObject(expected);
      expect(only(file([], 1n, op))).toMatchObject({ op: each, inputs: ["x"], attributes: {} });
    }
    const squares = { op: "Mul", inputs: ["x", "x"], attributes: {} };
    expect(only(file([], 1n, "ReduceSumSquare"))).toMatchObject(squares);
  });

  test("the number of largest elements: an attribute before set 10", () => {
    const k = { name: "k", type: AttributeType.INT, i: 2n };
    const axis = { name: "axis", type: AttributeType.INT, i: 0n };
    const read = only(single("TopK", [k, axis], 9));
    expect(read.constants).toEqual([undefined, [2]]);
    expect(read.attributes).toEqual({ axis: 0 });
  });

  test("bounds of clipping: attributes before set 11", () => {
    const attributes = new Map<string, Attribute>([["max", 6]]);
    const clip: RawNode = { op: "Clip", name: "c", inputs: ["x"], outputs: ["y"], attributes };
    const added: DenseTensor[] = [];
    normalise(clip, {
      opset: 9,
      stored: () => null,
      rank: () => null,
      insert: (op) => op,
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

  test("what later sets say besides goes where it says nothing here", () => {
    const to = { name: "to", type: AttributeType.INT, i: 1n };
    const saturate = { name: "saturate", type: AttributeType.INT, i: 0n };
    const round = { name: "round_mode", type: AttributeType.STRING, s: new Uint8Array([117, 112]) };
    expect(only(single("Cast", [to, saturate], 19)).attributes).toEqual({ to: 1 });
    expect(only(single("Cast", [to, saturate, round], 24)).attributes).toEqual({ to: 1 });
  });

  test("attention within a window: the attributes for it came with set 25", () => {
    const window = (size: bigint): Uint8Array =>
      fileOf(
        {
          input: [image("x", [1, 2, 3, 4])],
          output: [{ name: "y" }],
          node: [
            {
              opType: "Attention",
              input: ["x", "x", "x"],
              output: ["y"],
              attribute: [{ name: "left_window_size", type: AttributeType.INT, i: size }],
            },
          ],
        },
        25,
      );
    expect(only(window(-1n)).attributes).toEqual({});
    expect(refusal(window(2n)).message).toMatch(/Attention .*left_window_size is not supported/);
  });

  test("enlarging: an operator of its own in set 9, empty tensors for what is absent from set 11 on", () => {
    const scales = floats("scales", [2], [2, 3]);
    const file = (opType: string, opset: number, input: string[], attribute: Attributelike[]) =>
      fileOf(
        {
          input: [image("x", [2, 3])],
          output: [{ name: "y" }],
          initializer: [scales, floats("roi", [0], [])],
          node: [{ opType, input, output: ["y"], attribute }],
        },
        opset,
      );
    const text = (name: string, value: string): Attributelike => ({
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
    const attributes = {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    };
    const expected = { op: "Resize", inputs: ["x", "", "scales"], attributes };
    const old = [text("mode", "nearest")];
    expect(only(file("Upsample", 9, ["x", "scales"], old))).toMatchObject(expected);
    expect(only(file("Resize", 10, ["x", "scales"], old))).toMatchObject(expected);
    const given = Object.entries(attributes).map(([name, value]) => text(name, value));
    const cubic = { name: "cubic_coeff_a", type: AttributeType.FLOAT, f: -0.75 };
    const beyond = { name: "extrapolation_value", type: AttributeType.FLOAT, f: 0 };
    const outside = { name: "exclude_outside", type: AttributeType.INT, i: 0n };
    const unused = [...given, cubic, beyond, outside];
    for (const opset of [11, 13, 19]) {
      const later = only(file("Resize", opset, ["x", "roi", "scales"], unused));
      expect(later).toMatchObject(expected);
      expect(later.attributes).toEqual(attributes);
    }
    const linear = only(file("Upsample", 9, ["x", "scales"], [text("mode", "linear")]));
    expect(linear.attributes).toMatchObject({ mode: "linear" });
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
  });

  test("softmax before set 13 takes all axes from its own on together", () => {
    const axis = (i: bigint) => [{ name: "axis", type: AttributeType.INT, i }];
    const along = readOnnx(single("Softmax", axis(0n), 11)).graph;
    expect(along.nodes.map(({ op }) => op)).toEqual(["Shape", "Flatten", "Softmax", "Reshape"]);
    const x = float32([2, 3], [1, 2, 3, 4, 5, 6]);
    const y = interpret(specialize(along, {}), new Map([["x", x]])).get("y");
    expect(Array.from(y?.data as Float32Array).reduce((sum, value) => sum + value, 0)).toBeCloseTo(
      1,
      6,
    );
    // What leaves the file may tell that the axis is the last one; else nothing but the softmax
    // stays where it turns out to be.
    const soft = { opType: "Softmax", input: ["e"], output: ["y"], attribute: axis(1n) };
    const erf = { opType: "Erf", input: ["x"], output: ["e"] };
    const told = { input: [image("x", [2, 3])], output: [image("y", [2, 3])], node: [erf, soft] };
    expect(readOnnx(fileOf(told, 11)).graph.nodes.at(-1)?.op).toEqual("Softmax");
    const unknown = fileOf(
      {
        input: [image("x", [2, 3])],
        output: [{ name: "y" }],
        node: [erf, soft],
      },
      11,
    );
    const nodes = specialize(readOnnx(unknown).graph, {}).nodes;
    expect(nodes.map(({ op }) => op)).toEqual(["Erf", "Softmax"]);
    expect(nodes.at(-1)?.outputs).toEqual(["y"]);
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
      /set 8; allowed: 9 to 26/,
    ],
    [
      "an operator set that is too new",
      fileOf({ ...frame, node: [relu] }, 27),
      /set 27; allowed: 9 to 26/,
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
});
