/** Files that name operators newer than our own set, as another runtime and our reader take them. */
import { fromBinary } from "@bufbuild/protobuf";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { float32, int64 } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret.ts";
import { specialize } from "../specialize.ts";
import { ModelProtoSchema } from "./onnx_pb.js";
import { readOnnx } from "./read.ts";
import { writeOnnx } from "./write.ts";

const x = float32(
  [2, 4, 3],
  Array.from({ length: 24 }, (_, i) => Math.sin(3 * i)),
);

/** A graph with operators of sets 18 to 21, and with such as have another form there. */
function modern() {
  const builder = new GraphBuilder("modern");
  const input = builder.input("x", x);
  const scale = builder.constant(float32([4], [1, 2, 3, 4]), "scale");
  const bias = builder.constant(float32([4], [0, 1, 0, 1]), "bias");
  const grouped = builder.emit("GroupNormalization", [input, scale, bias], { num_groups: 2 });
  const active = builder.emit("Mish", [builder.emit("Gelu", [grouped])]);
  const mean = builder.emit("ReduceMean", [active], { axes: [2], keepdims: 0 });
  const [first = "", second = ""] = builder.emitAll("Split", [mean], { axis: 1 }, 2);
  const largest = builder.emit("ReduceMax", [builder.emit("Sub", [first, second])], { axes: [1] });
  return builder.graph([largest]);
}

describe("a file with operators newer than set 17", () => {
  const graph = modern();
  const [output = ""] = graph.outputs;
  const expected = Array.from(
    interpret(graph, new Map([["x", x]])).get(output)?.data as Float32Array,
  );

  test("is one that onnxruntime takes and answers alike", async () => {
    const session = await ort.InferenceSession.create(writeOnnx(graph), { logSeverityLevel: 3 });
    const results = await session.run({
      x: new ort.Tensor("float32", x.data as Float32Array, x.shape),
    });
    Array.from(results[output]?.data as Float32Array).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] as number, 5);
    });
  });

  test("is asked for by a form of an operator, too", async () => {
    const builder = new GraphBuilder("wrapped");
    const pads = builder.constant(int64([2], [1, 2]));
    const axes = builder.constant(int64([1], [2]));
    const y = builder.emit("Pad", [builder.input("x", x), pads, "", axes], { mode: "wrap" });
    const wrapped = builder.graph([y]);
    const session = await ort.InferenceSession.create(writeOnnx(wrapped), { logSeverityLevel: 3 });
    const results = await session.run({
      x: new ort.Tensor("float32", x.data as Float32Array, x.shape),
    });
    const own = interpret(wrapped, new Map([["x", x]])).get(y);
    expect(results[y]?.data).toEqual(own?.data);
  });

  test("is read back as the same graph", () => {
    const again = readOnnx(writeOnnx(graph)).graph;
    expect(again.nodes.map(({ op }) => op)).toEqual(graph.nodes.map(({ op }) => op));
    const result = interpret(specialize(again, {}), new Map([["x", x]]));
    Array.from(result.get(output)?.data as Float32Array).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] as number, 6);
    });
  });
});

/** Attention in two heads, with the numbers of keys that count where `lengths` are given. */
function attention(lengths: readonly number[] | null) {
  const builder = new GraphBuilder("attention");
  const input = builder.input("x", x);
  const scale = builder.constant(float32([3], [1, 2, 3]), "scale");
  const q = builder.emit("RMSNormalization", [input, scale], { epsilon: 1e-3 });
  const shape = builder.constant(int64([4], [2, 2, 2, 3]));
  const heads = builder.emit("Reshape", [q, shape]);
  const counts = lengths === null ? [] : ["", "", "", builder.constant(int64([2], lengths))];
  const inputs = [heads, heads, heads, ...counts];
  return builder.graph([builder.emit("Attention", inputs, { is_causal: 1 })]);
}

function swish() {
  const builder = new GraphBuilder("swish");
  return builder.graph([builder.emit("Swish", [builder.input("x", x)], { alpha: 1.5 })]);
}

/** Operator set and version of the format of a file. */
function versionOf(file: Uint8Array): [set: number, format: number] {
  const { opsetImport, irVersion } = fromBinary(ModelProtoSchema, file);
  return [Number(opsetImport[0]?.version), Number(irVersion)];
}

describe("operators of sets 23 and 24", () => {
  const cases = [
    { graph: attention(null), version: [23, 11] },
    { graph: attention([2, 1]), version: [24, 12] },
    { graph: swish(), version: [24, 12] },
  ];

  test.each(cases)("$graph.name stands in a file of version $version", ({ graph, version }) => {
    const file = writeOnnx(graph);
    expect(versionOf(file)).toEqual(version);
    const again = readOnnx(file).graph;
    expect(again.nodes).toEqual(graph.nodes);
    // Written out, they are products and sums that any runtime has.
    expect(versionOf(writeOnnx(specialize(again, {})))).toEqual([17, 8]);
  });

  test.each(cases)("$graph.name of version $version runs on onnxruntime", async ({ graph }) => {
    const session = await ort.InferenceSession.create(writeOnnx(graph), { logSeverityLevel: 3 });
    const results = await session.run({
      x: new ort.Tensor("float32", x.data as Float32Array, x.shape),
    });
    const [output = ""] = graph.outputs;
    const expected = interpret(graph, new Map([["x", x]])).get(output)?.data as Float32Array;
    const actual = results[output]?.data as Float32Array;
    expect(actual).toHaveLength(expected.length);
    actual.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] as number, 5);
    });
  });
});
