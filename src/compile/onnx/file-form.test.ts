/** Files that name operators newer than our own set, as another runtime and our reader take them. */
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { float32, int64 } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import { interpret } from "../interpret.ts";
import { specialize } from "../specialize.ts";
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

  test("is refused where the operator is newer than what we write", () => {
    const builder = new GraphBuilder("newest");
    const swish = builder.emit("Swish", [builder.input("x", x)]);
    expect(() => writeOnnx(builder.graph([swish]))).toThrow(
      /Swish .*set 24; files are written up to 21/,
    );
  });
});
