/** What training makes of batch normalisation and chance, and what engines and exports make of it. */
import { describe, expect, test } from "vitest";
import { present } from "../base/assert.ts";
import { type DenseTensor, float32, tensor } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import type { Graph } from "./graph.ts";
import { interpret } from "./interpret.ts";
import { lossSpec } from "./loss.ts";
import { readOnnx } from "./onnx/read.ts";
import { writeOnnx } from "./onnx/write.ts";
import { optimizerSpec } from "./optimizer.ts";
import { movedPorts, neededPorts, stagePrograms } from "./program.ts";
import { segmentModel } from "./segment.ts";
import { trainingForm } from "./training-form.ts";

/** x [4, 2] through normalisation of its two columns. */
function normalised(frozen = false): Graph {
  const builder = new GraphBuilder("normalised");
  builder.input("x", { dtype: "float32", shape: [4, 2] });
  const vector = { dtype: "float32", shape: [2] } as const;
  builder.parameter("scale", vector);
  builder.parameter("bias", vector);
  for (const name of ["mean", "variance"]) {
    builder.parameter(name, { ...vector, buffer: true, ...(frozen && { frozen: true }) });
  }
  const inputs = ["x", "scale", "bias", "mean", "variance"];
  return builder.graph([
    builder.emit("BatchNormalization", inputs, { epsilon: 0, momentum: 0.75 }, "y"),
  ]);
}

const feeds = new Map<string, DenseTensor>([
  ["x", float32([4, 2], [1, 0, 2, 0, 3, 4, 6, 4])],
  ["scale", float32([2], [1, 2])],
  ["bias", float32([2], [0, 1])],
  ["mean", float32([2], [1, 0])],
  ["variance", float32([2], [1, 4])],
]);

const valuesOf = (graph: Graph, given: ReadonlyMap<string, DenseTensor>, name: string): number[] =>
  Array.from(present(interpret(graph, given).get(name), name).data, Number);

describe("batch normalisation", () => {
  test("uses the batch's statistics while it is trained, the running ones otherwise", () => {
    // Columns have means 3 and 2, and variances 14/4 and 4.
    const column = [1, -1, 1, -1, 1, 3, 1, 3].filter((_, i) => i % 2 === 1);
    const trained = valuesOf(trainingForm(normalised()), feeds, "y");
    expect(trained.filter((_, i) => i % 2 === 1)).toEqual(column);
    expect(trained[0]).toBeCloseTo(-2 / Math.sqrt(3.5), 6);
    expect(valuesOf(normalised(), feeds, "y")).toEqual([0, 1, 1, 1, 2, 5, 5, 5]);
  });

  test("moves the running statistics, the variance as PyTorch does", () => {
    const graph = trainingForm(normalised());
    const updates = present(graph.updates, "updates");
    const moved = { ...graph, outputs: [...updates.values()] };
    const [mean = "", variance = ""] = ["mean", "variance"].map((name) => updates.get(name));
    expect(valuesOf(moved, feeds, mean)).toEqual([0.75 + 0.75, 0.5]);
    const [first, second] = valuesOf(moved, feeds, variance);
    expect(first).toBeCloseTo(0.75 + 0.25 * (14 / 3), 6);
    expect(second).toBeCloseTo(3 + 0.25 * (16 / 3), 6);
  });

  test("with frozen statistics it stays as it is", () => {
    const graph = trainingForm(normalised(true));
    expect(graph.updates?.size).toBe(0);
    expect(valuesOf(graph, feeds, "y")).toEqual([0, 1, 1, 1, 2, 5, 5, 5]);
  });

  test("one value per channel is refused", () => {
    const graph = normalised();
    const inputs = [{ name: "x", dtype: "float32" as const, shape: [1, 2] }];
    expect(() => trainingForm({ ...graph, inputs })).toThrow(/one value per channel/);
  });

  test("buffers travel with the stage, and no optimizer moves them", () => {
    const graph = trainingForm(normalised());
    const spec = { loss: lossSpec("mean-squared-error"), optimizer: optimizerSpec("adam") };
    const programs = stagePrograms(graph, segmentModel(graph), 0, 1, spec);
    const parameters = ["scale", "bias", "mean", "variance"];
    const names = neededPorts(programs).filter(({ role }) => role === "parameter");
    expect(names.map(({ of }) => of)).toEqual(parameters);
    const moved = movedPorts(programs).map(({ of }) => of);
    expect(moved).toEqual(expect.arrayContaining(parameters));
    expect(moved.filter((name) => name.includes("mean"))).toEqual(["mean"]);
  });

  test("a file keeps which parameters are buffers and which are frozen", () => {
    const { graph } = readOnnx(writeOnnx(normalised(true)));
    expect(graph.parameters).toEqual(normalised(true).parameters);
  });
});

describe("dropout", () => {
  function dropped(ratio: number): Graph {
    const builder = new GraphBuilder("dropped");
    builder.input("x", { dtype: "float32", shape: [1000] });
    const name = builder.constant(float32([], [ratio]));
    return builder.graph([builder.emit("Dropout", ["x", name], {}, "y")]);
  }
  const noise = tensor(
    "float32",
    [1000],
    Float32Array.from({ length: 1000 }, (_, i) => i / 1000),
  );
  const ones = float32([1000], Array<number>(1000).fill(1));

  test("drops its share of noise and scales up what is kept; inference passes through", () => {
    const graph = trainingForm(dropped(0.2));
    const input = present(
      graph.inputs.find((value) => value.noise),
      "noise",
    );
    const given = new Map([
      ["x", ones],
      [input.name, noise],
    ]);
    const values = valuesOf(graph, given, "y");
    expect(values.filter((value) => value === 0)).toHaveLength(200);
    expect(values.filter((value) => value === 1.25)).toHaveLength(800);
    expect(valuesOf(dropped(0.2), new Map([["x", ones]]), "y")).toEqual(Array(1000).fill(1));
  });

  test("a ratio that is no share is refused", () => {
    expect(() => trainingForm(dropped(1))).toThrow(/the ratio is 1; allowed/);
  });
});

test("random normal numbers are made of noise", () => {
  const builder = new GraphBuilder("normal");
  builder.input("x", { dtype: "float32", shape: [2] });
  const z = builder.emit("RandomNormalLike", ["x"], { mean: 3, scale: 2 });
  const graph = trainingForm(builder.graph([builder.emit("Add", ["x", z], {}, "y")]));
  const [size = "", turn = ""] = graph.inputs.filter((value) => value.noise).map((v) => v.name);
  const given = new Map([
    ["x", float32([2], [0, 0])],
    [size, float32([2], [1 - Math.exp(-2), 0])],
    [turn, float32([2], [0.5, 0.1])],
  ]);
  const [first, second] = valuesOf(graph, given, "y");
  expect(first).toBeCloseTo(3 + 2 * 2 * Math.cos(Math.PI), 4);
  expect(second).toBeCloseTo(3, 6);
});
