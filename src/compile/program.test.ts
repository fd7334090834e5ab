/** Stage programs, run by the interpreter and compared with each other and with hand calculation. */
import { describe, expect, test } from "vitest";
import { kept, runProgram, type Slots, trainingStep } from "../../test/contract/split-training.ts";
import { present } from "../base/assert.ts";
import { random } from "../base/random.ts";
import { type DenseTensor, elementCount, float32, int64, zeros } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import { evaluateProgram } from "./evaluate-program.ts";
import type { Graph } from "./graph.ts";
import { lossSpec } from "./loss.ts";
import { type OptimizerSpec, optimizerSpec } from "./optimizer.ts";
import { type Port, type Program, stagePrograms, type TrainingSpec } from "./program.ts";
import { type Segment, segmentModel } from "./segment.ts";

const training = (optimizer: Partial<OptimizerSpec> = {}): TrainingSpec => ({
  loss: lossSpec("softmax-cross-entropy"),
  optimizer: optimizerSpec("sgd", { momentum: 0.9, weightDecay: 0.01, ...optimizer }),
});

/** Slots for the first step: drawn parameters, images and labels, no momentum yet. */
function startOf(graph: Graph, classes: number, seed: number, rate: number): Slots {
  const draw = random(seed);
  const drawn = (shape: readonly number[], scale: number): DenseTensor =>
    float32(
      shape,
      Array.from({ length: elementCount(shape) }, () => (2 * draw.uniform() - 1) * scale),
    );
  const input = present(graph.inputs[0], "input");
  const shape = input.shape as number[];
  const slots: Slots = new Map([
    [`feature ${input.name}`, drawn(shape, 1)],
    [
      "labels",
      int64(
        [shape[0] as number],
        Array.from({ length: shape[0] as number }, () => draw.below(classes)),
      ),
    ],
    ["learningRate", float32([], [rate])],
  ]);
  for (const parameter of graph.parameters) {
    slots.set(`parameter ${parameter.name}`, drawn(parameter.shape, 0.7));
    slots.set(`state momentum:${parameter.name}`, zeros(parameter));
  }
  return slots;
}

/** Layers that a random chain is made of; each takes and gives images [N, C, H, W]. */
const layers: {
  readonly [name: string]: (builder: GraphBuilder, x: string, name: string) => string;
} = {
  conv: (builder, x, name) => {
    const weight = { dtype: "float32" as const, shape: [3, channels(builder, x), 3, 3] };
    const parameters = [
      builder.parameter(`${name}.weight`, weight),
      builder.parameter(`${name}.bias`, { dtype: "float32", shape: [3] }),
    ];
    return builder.emit("Conv", [x, ...parameters], { pads: [1, 1, 1, 1] }, name);
  },
  pointwise: (builder, x, name) => {
    const weight = { dtype: "float32" as const, shape: [2, channels(builder, x), 1, 1] };
    return builder.emit("Conv", [x, builder.parameter(`${name}.weight`, weight)], {}, name);
  },
  relu: (builder, x, name) => builder.emit("Relu", [x], {}, name),
  tanh: (builder, x, name) => builder.emit("Tanh", [x], {}, name),
  maxPool: (builder, x, name) =>
    builder.emit("MaxPool", [x], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }, name),
};

const channels = (builder: GraphBuilder, x: string): number => builder.type(x).shape[1] as number;

function chain(kinds: readonly string[], batch = 2): Graph {
  const builder = new GraphBuilder("chain");
  let x = builder.input("input", { dtype: "float32", shape: [batch, 2, 4, 4] });
  kinds.forEach((kind, i) => {
    x = present(layers[kind], kind)(builder, x, `${kind}${i}`);
  });
  const flat = builder.emit("Flatten", [x], {}, "flatten");
  const features = builder.type(flat).shape[1] as number;
  const weight = builder.parameter("fc.weight", { dtype: "float32", shape: [3, features] });
  return builder.graph([builder.emit("Gemm", [flat, weight], { transB: 1 }, "fc")]);
}

describe("a split model", () => {
  test("may be cut at every segment", () => {
    const graph = chain(["conv", "maxPool", "relu", "pointwise", "tanh"]);
    const segments = segmentModel(graph);
    expect(segments.length).toBe(7);
    const start = startOf(graph, 3, 4, 0.05);
    const whole = kept(trainingStep({ graph, segments }, [], training(), start, [start]));
    const cuts = segments.map(({ index }) => index).slice(1);
    expect(kept(trainingStep({ graph, segments }, cuts, training(), start, [start]))).toEqual(
      whole,
    );
  });

  test("may be cut where two tensors cross, whichever of them is used first", () => {
    const builder = new GraphBuilder("branches");
    const matrix = { dtype: "float32", shape: [4, 4] } as const;
    builder.input("x", matrix);
    for (const name of ["w", "v"]) builder.parameter(name, matrix);
    const wide = builder.emit("MatMul", ["x", "w"]);
    const bent = builder.emit("Tanh", [wide]);
    const graph = builder.graph([
      builder.emit("Add", [builder.emit("MatMul", [wide, "v"]), builder.emit("Exp", [bent])]),
    ]);
    const segments = segmentModel(graph, { tensorsMax: 2 });
    const start = startOf(graph, 4, 4, 0.05);
    const whole = kept(trainingStep({ graph, segments }, [], training(), start, [start]));
    for (const { index } of segments.slice(1)) {
      const split = trainingStep({ graph, segments }, [index], training(), start, [start]);
      expect(kept(split)).toEqual(whole);
    }
  });

  test("may compute its activations once more in backward, and saves none then", () => {
    const graph = chain(["conv", "maxPool", "relu", "pointwise", "tanh"]);
    const segments = segmentModel(graph);
    const start = startOf(graph, 3, 4, 0.05);
    const whole = kept(trainingStep({ graph, segments }, [], training(), start, [start]));
    const spec = { ...training(), recompute: true };
    expect(kept(trainingStep({ graph, segments }, [2, 5], spec, start, [start]))).toEqual(whole);
    const savedBy = (given: TrainingSpec): number =>
      stagePrograms(graph, segments, 0, 5, given).forward?.outputs.filter(
        ({ role }) => role === "saved",
      ).length ?? 0;
    expect(savedBy(training())).toBeGreaterThan(0);
    expect(savedBy(spec)).toBe(0);
  });
});

/** One linear layer of one weight and one bias per class, on one sample of one feature. */
function tiny(): { graph: Graph; segments: Segment[] } {
  const builder = new GraphBuilder("tiny");
  builder.input("x", { dtype: "float32", shape: [1, 1] });
  builder.parameter("w", { dtype: "float32", shape: [2, 1] });
  builder.parameter("b", { dtype: "float32", shape: [2] });
  builder.emit("Gemm", ["x", "w", "b"], { transB: 1 }, "fc");
  const graph = builder.graph(["fc"]);
  return { graph, segments: segmentModel(graph) };
}

const tinyStart: [string, DenseTensor][] = [
  ["feature x", float32([1, 1], [2])],
  ["labels", int64([1], [0])],
  ["learningRate", float32([], [0.5])],
  ["parameter w", float32([2, 1], [0, 0])],
  ["parameter b", float32([2], [0, 0])],
];

describe("the fused step", () => {
  test("of plain gradient descent is as calculated by hand", () => {
    const { graph, segments } = tiny();
    const slots: Slots = new Map(tinyStart);
    const spec = training({ momentum: 0, weightDecay: 0 });
    runProgram(present(stagePrograms(graph, segments, 0, 1, spec).step, "step"), slots);
    // Both classes have share 1/2, so the logits' gradient is (-1/2, 1/2).
    expect(slots.get("loss")?.data[0]).toBeCloseTo(Math.log(2), 6);
    expect(slots.get("parameter w")?.data).toEqual(Float32Array.of(0.5, -0.5));
    expect(slots.get("parameter b")?.data).toEqual(Float32Array.of(0.25, -0.25));
  });

  test("with momentum and weight decay moves as PyTorch defines it", () => {
    const { graph, segments } = tiny();
    const slots: Slots = new Map(tinyStart);
    slots.set("parameter w", float32([2, 1], [1, 1]));
    slots.set("state momentum:w", float32([2, 1], [0.5, 0]));
    slots.set("state momentum:b", float32([2], [0, -1]));
    const spec = training({ momentum: 0.5, weightDecay: 0.25 });
    runProgram(present(stagePrograms(graph, segments, 0, 1, spec).step, "step"), slots);
    // Gradient of w: (-1, 1) + 0.25 * (1, 1); v = 0.5 * (0.5, 0) + that; w - 0.5 v.
    expect(slots.get("state momentum:w")?.data).toEqual(Float32Array.of(-0.5, 1.25));
    expect(slots.get("parameter w")?.data).toEqual(Float32Array.of(1.25, 0.375));
    // Gradient of b: (-1/2, 1/2); v = 0.5 * (0, -1) + that.
    expect(slots.get("state momentum:b")?.data).toEqual(Float32Array.of(-0.5, 0));
    expect(slots.get("parameter b")?.data).toEqual(Float32Array.of(0.25, 0));
  });

  test("without momentum keeps no state", () => {
    const { graph, segments } = tiny();
    const { step } = stagePrograms(graph, segments, 0, 1, training({ momentum: 0 }));
    expect(step?.inputs.filter(({ role }) => role === "state")).toEqual([]);
  });
});

describe("ports", () => {
  const graph = chain(["conv", "maxPool", "relu", "pointwise", "tanh"], 8);
  const segments = segmentModel(graph);
  const ports = (list: readonly Port[] | undefined): string[] =>
    (list ?? []).map(({ role, of }) => `${role} ${of}`);

  test("of the first stage: no gradient leaves it", () => {
    const { forward, backward, update, step } = stagePrograms(graph, segments, 0, 3, training());
    expect(step).toBeNull();
    expect(ports(forward?.inputs)).toEqual([
      "feature input",
      "parameter conv0.weight",
      "parameter conv0.bias",
    ]);
    expect(ports(forward?.outputs)).toEqual([
      "feature relu2",
      "saved conv0",
      "saved maxPool1",
      "saved relu2",
    ]);
    expect(ports(backward?.inputs)).toEqual([
      "gradient relu2",
      "feature input",
      "saved conv0",
      "saved maxPool1",
      "saved relu2",
    ]);
    expect(ports(backward?.outputs).sort()).toEqual([
      "parameterGradient conv0.bias",
      "parameterGradient conv0.weight",
    ]);
    expect(ports(update?.inputs).sort()).toEqual([
      "learningRate learning_rate",
      "parameter conv0.bias",
      "parameter conv0.weight",
      "parameterGradient conv0.bias",
      "parameterGradient conv0.weight",
      "state momentum:conv0.bias",
      "state momentum:conv0.weight",
    ]);
    expect(ports(update?.outputs).sort()).toEqual([
      "parameter conv0.bias",
      "parameter conv0.weight",
      "state momentum:conv0.bias",
      "state momentum:conv0.weight",
    ]);
  });

  test("of a stage in the middle: a gradient arrives and one leaves", () => {
    const { backward } = stagePrograms(graph, segments, 3, 5, training());
    expect(ports(backward?.inputs)).toContain("gradient tanh4");
    expect(ports(backward?.inputs)).toContain("parameter pointwise3.weight");
    expect(ports(backward?.outputs)).toContain("gradient relu2");
    const port = backward?.outputs.find(({ role }) => role === "gradient");
    expect(port?.shape).toEqual([8, 3, 2, 2]);
  });

  test("of the last stage: one fused step", () => {
    const { forward, backward, update, step } = stagePrograms(graph, segments, 6, 7, training());
    expect([forward, backward, update]).toEqual([null, null, null]);
    expect(ports(step?.inputs)).toEqual([
      "feature flatten",
      "labels labels",
      "parameter fc.weight",
      "learningRate learning_rate",
      "state momentum:fc.weight",
    ]);
    expect(ports(step?.outputs).slice(1)).toEqual([
      "gradient flatten",
      "parameter fc.weight",
      "state momentum:fc.weight",
    ]);
  });

  test("of a stage without parameters: nothing to update, and nothing backward before it", () => {
    const first = new GraphBuilder("flat");
    first.input("x", { dtype: "float32", shape: [2, 2, 2] });
    first.emit("Flatten", ["x"], {}, "flatten");
    first.parameter("w", { dtype: "float32", shape: [4, 3] });
    first.emit("MatMul", ["flatten", "w"], {}, "fc");
    const model = first.graph(["fc"]);
    const pieces = segmentModel(model);
    expect(stagePrograms(model, pieces, 0, 1, training())).toMatchObject({
      backward: null,
      update: null,
    });
  });

  test("graph inputs and outputs are the ports", () => {
    const stages = [stagePrograms(graph, segments, 0, 5, training())];
    stages.push(stagePrograms(graph, segments, 5, 7, training()));
    for (const program of stages.flatMap((stage) => Object.values(stage) as (Program | null)[])) {
      if (program === null) continue;
      const given = [...program.graph.inputs, ...program.graph.parameters].map(({ name }) => name);
      expect(given.sort()).toEqual(program.inputs.map(({ name }) => name).sort());
      expect(new Set(program.graph.outputs)).toEqual(
        new Set(program.outputs.map(({ name }) => name)),
      );
      expect(new Set(program.graph.outputs).size).toBe(program.graph.outputs.length);
    }
  });
});

describe("the id of a program", () => {
  const ids = (batch: number, spec = training()): string[] => {
    const graph = chain(["conv", "relu", "pointwise", "tanh"], batch);
    const segments = segmentModel(graph);
    return [stagePrograms(graph, segments, 0, 3, spec), stagePrograms(graph, segments, 3, 6, spec)]
      .flatMap((stage) => Object.values(stage) as (Program | null)[])
      .flatMap((program) => program?.id ?? []);
  };

  test("is the same for the same content and differs between programs", () => {
    expect(ids(4)).toEqual(ids(4));
    expect(new Set(ids(4)).size).toBe(4);
  });

  test("changes with shapes and with settings that become constants", () => {
    // Of forward, backward, update and step, only the update does not see the batch.
    expect(ids(8).map((id, i) => id === ids(4)[i])).toEqual([false, false, true, false]);
    const settled = ids(4, training({ weightDecay: 0.02 }));
    // Forward and backward do not hold the optimizer; update and step do.
    expect(settled.map((id, i) => id === ids(4)[i])).toEqual([true, true, false, false]);
  });
});

test("evaluation gives the mean loss and the number of right answers", () => {
  const { graph } = tiny();
  const program = evaluateProgram(graph, training());
  const slots: Slots = new Map(tinyStart);
  slots.set("parameter w", float32([2, 1], [1, 0]));
  runProgram(program, slots);
  expect(slots.get("loss")?.data[0]).toBeCloseTo(Math.log(1 + Math.exp(-2)), 6);
  const correct = [...slots].find(([name]) => name.startsWith("correct "));
  expect(correct?.[1].data[0]).toBe(1);
});

test("a model may use any names: ours give way", () => {
  const builder = new GraphBuilder("names");
  const x = builder.input("labels", { dtype: "float32", shape: [2, 3] });
  const weight = builder.parameter("learning_rate", { dtype: "float32", shape: [3, 3] });
  const product = builder.emit("MatMul", [x, weight], {}, "mul_1");
  const graph = builder.graph([builder.emit("Relu", [product], {}, "logsoftmax_1")]);
  const { step } = stagePrograms(graph, segmentModel(graph), 0, 2, {
    loss: lossSpec("softmax-cross-entropy"),
    optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
  });
  expect(step?.inputs.map(({ role }) => role)).toContain("labels");
});
