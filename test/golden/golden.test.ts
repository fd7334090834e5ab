/**
 * Our gradients against PyTorch's. `record.py` recorded them (it also defines the
 * cases); here the same graphs are differentiated and run by every engine of the
 * table below. Values agree when no element is off by more than
 * 1e-4 of the tensor's largest entry, plus 1e-6.
 */
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import {
  type DenseTensor,
  type DType,
  float32,
  tensor,
  zeros,
} from "../../src/base/tensor.ts";
import { differentiate } from "../../src/compile/autodiff.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import type { Graph } from "../../src/compile/graph.ts";
import { interpret } from "../../src/compile/interpret.ts";
import { emitLoss, lossRule, lossSpec } from "../../src/compile/loss.ts";
import { readOnnx } from "../../src/compile/onnx/read.ts";
import { writeOnnx } from "../../src/compile/onnx/write.ts";
import { type OpName, ops } from "../../src/compile/ops/table.ts";
import { emitUpdate, optimizerSpec, optimizerState } from "../../src/compile/optimizer.ts";
import { specialize } from "../../src/compile/specialize.ts";
import { type CaseNode, operatorGraph } from "../contract/operator-cases.ts";
import { expectClose } from "./close.ts";
import { type Drawn, draw, hash, labelsOf } from "./drawing.ts";
import { fixture, operatorCases } from "./read-fixtures.ts";

type Feeds = ReadonlyMap<string, DenseTensor>;
type Run = (feeds: Feeds) => Promise<Map<string, DenseTensor>>;

/** Every engine under test: prepares a graph once, then evaluates it. */
const engines: { readonly [name: string]: (graph: Graph) => Promise<Run> } = {
  interpreter: async (graph) => async (feeds) => interpret(graph, feeds),
  onnxruntime: async (graph) => {
    const session = await ort.InferenceSession.create(writeOnnx(graph), { logSeverityLevel: 3 });
    return async (feeds) => {
      const inputs = Object.fromEntries(
        session.inputNames.map((name) => {
          const { dtype, data, shape } = present(feeds.get(name), name);
          return [name, new ort.Tensor(dtype as "float32", data as Float32Array, [...shape])];
        }),
      );
      const outputs = await session.run(inputs);
      return new Map(
        Object.entries(outputs).map(([name, { type, dims, data }]) => [
          name,
          tensor(type as DType, dims, data as Float32Array),
        ]),
      );
    };
  },
};

interface LossCase {
  readonly name: string;
  readonly logits: Drawn;
  readonly labels: readonly number[];
  readonly loss: number;
  readonly correct: number;
  readonly gradient: readonly number[];
}

interface ExportedCase {
  readonly image: Drawn;
  readonly scores: readonly number[];
}

interface TrainingCase {
  readonly name: string;
  readonly input: readonly number[];
  readonly classes: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** At most so many values of each parameter are recorded, evenly spread. */
  readonly kept: number;
  readonly nodes: readonly CaseNode[];
  readonly parameters: { readonly [name: string]: Drawn };
  readonly losses: readonly number[];
  readonly after: {
    readonly [name: string]: {
      readonly values: readonly number[];
      readonly norm: number;
      readonly largest: number;
    };
  };
}


describe.each(Object.keys(engines))("on %s", (name) => {
  const prepare = present(engines[name], name);

  test.each(operatorCases)("$name", async (entry) => {
    const { builder, outputs, feeds, gradients } = operatorGraph(entry);
    const run = await prepare(builder.graph(outputs));
    const results = await run(feeds);

    const y = present(results.get("y"), "y");
    expect(y.shape).toEqual(entry.output.shape);
    expectClose(y, entry.output.values, "y");
    for (const input of entry.wanted) {
      const gradient = gradients.get(input);
      // A rule may say that a gradient vanishes everywhere by giving none.
      const value = gradient === undefined ? zeros(builder.type(input)) : results.get(gradient);
      expectClose(
        present(value, `the gradient of ${input}`),
        present(entry.gradients[input], input),
        `the gradient of ${input}`,
      );
    }
  });

  test.each(fixture<LossCase>("losses"))("softmax cross-entropy of $name", async (entry) => {
    const builder = new GraphBuilder("loss");
    const feeds = new Map([
      ["logits", draw(entry.logits)],
      ["labels", labelsOf(entry.labels)],
    ]);
    for (const [input, value] of feeds) builder.input(input, value);
    const rule = lossRule(lossSpec("softmax-cross-entropy"));
    const emitted = rule.loss(builder, "logits", "labels");
    const { loss } = emitted;
    const gradient = present(emitted.gradient, "a gradient in closed form");
    const correct = present(rule.correct(builder, "logits", "labels"), "a count");
    const results = await (await prepare(builder.graph([loss, gradient, correct])))(feeds);
    expectClose(present(results.get(loss), "loss"), [entry.loss], "the loss");
    expectClose(present(results.get(correct), "correct"), [entry.correct], "right answers");
    expectClose(present(results.get(gradient), "gradient"), entry.gradient, "the gradient");
  });

  test.each([9, 11, 13, 18, 21])("a model exported with operator set %i", async (opset) => {
    const file = new URL(`fixtures/exported-${opset}.onnx`, import.meta.url);
    const { graph, weights } = readOnnx(readFileSync(file));
    expect([...weights.keys()].sort()).toEqual([
      "conv.bias",
      "conv.weight",
      "dense.bias",
      "dense.weight",
    ]);
    const [{ image, scores }] = fixture<ExportedCase>("exported") as [ExportedCase];
    const run = await prepare(specialize(graph, { batch: 2 }));
    const results = await run(new Map([...weights, ["image", draw(image)]]));
    expectClose(present(results.get("scores"), "scores"), scores, "the scores");
  });

  test.each(fixture<TrainingCase>("training"))("five steps of training $name", async (entry) => {
    const training = trainingGraph(entry);
    const run = await prepare(training.graph);
    let state: Feeds = training.initial;
    for (const [step, loss] of entry.losses.entries()) {
      const labels = Array.from(
        { length: entry.batch },
        (_, i) => hash(i, 2000 + step) % entry.classes,
      );
      const image = { levels: 4096, scale: 2 ** -11, shift: 0, seed: 1000 + step };
      const results = await run(
        new Map([
          ...state,
          ["x", draw({ shape: [entry.batch, ...entry.input], ...image })],
          ["labels", labelsOf(labels)],
          ["learningRate", float32([], [entry.learningRate])],
        ]),
      );
      expectClose(present(results.get(training.loss), "loss"), [loss], `the loss of step ${step}`);
      state = new Map(
        [...training.next].map(([before, after]) => [before, present(results.get(after), after)]),
      );
    }
    for (const [parameter, expected] of Object.entries(entry.after)) {
      const value = present(state.get(parameter), parameter);
      const before = draw(present(entry.parameters[parameter], parameter));
      const stride = Math.max(1, Math.ceil(value.data.length / entry.kept));
      const kept = (source: DenseTensor): number[] =>
        Array.from(source.data, Number).filter((_, i) => i % stride === 0);
      // How far training moved each weight, so that a small step is not lost in a large weight.
      const start = kept(before);
      const moved = kept(value).map((weight, i) => weight - (start[i] as number));
      const movedThere = expected.values.map((weight, i) => weight - (start[i] as number));
      expectClose(float32([moved.length], moved), movedThere, `the change of ${parameter}`);
      const all = Array.from(value.data, Number);
      const norm = Math.sqrt(all.reduce((sum, weight) => sum + weight * weight, 0));
      expectClose(float32([1], [norm]), [expected.norm], `the norm of ${parameter}`);
    }
  }, 120_000);
});

/** Forward, loss, backward and update as one graph; `next` maps each tensor to its new value. */
function trainingGraph(entry: TrainingCase): {
  graph: Graph;
  loss: string;
  initial: Feeds;
  next: ReadonlyMap<string, string>;
} {
  const { momentum, weightDecay } = entry;
  const optimizer = optimizerSpec("sgd", { momentum, weightDecay });
  const builder = new GraphBuilder(entry.name);
  builder.input("x", { dtype: "float32", shape: [entry.batch, ...entry.input] });
  builder.input("labels", { dtype: "int64", shape: [entry.batch] });
  builder.input("learningRate", { dtype: "float32", shape: [] });
  const initial = new Map<string, DenseTensor>();
  for (const [name, spec] of Object.entries(entry.parameters)) {
    const value = draw(spec);
    builder.parameter(name, value);
    initial.set(name, value);
  }
  for (const { op, inputs, outputs, attributes } of entry.nodes) {
    builder.emit(op, inputs, attributes, outputs[0]);
  }
  const ends = { output: "y", labels: "labels" };
  const { loss, seeds } = emitLoss(builder, lossSpec("softmax-cross-entropy"), ends);
  const names = Object.keys(entry.parameters);
  const gradients = differentiate(builder, seeds, new Set(names));
  const next = new Map<string, string>();
  for (const name of names) {
    const { dtype, shape } = present(initial.get(name), name);
    const state = optimizerState(optimizer, { name, dtype, shape });
    for (const kept of state) {
      builder.input(kept.name, kept);
      initial.set(kept.name, zeros(kept));
    }
    const updated = emitUpdate(builder, optimizer, {
      parameter: name,
      gradient: present(gradients.get(name), `the gradient of ${name}`),
      learningRate: "learningRate",
      state: state.map((kept) => kept.name),
    });
    next.set(name, updated.parameter);
    for (const [i, kept] of state.entries()) {
      next.set(kept.name, present(updated.state[i], kept.name));
    }
  }
  return { graph: builder.graph([loss, ...next.values()]), loss, initial, next };
}

test("every operator that has a gradient has a recorded case", () => {
  const recorded = new Set(operatorCases.flatMap((entry) => entry.nodes.map((node) => node.op)));
  const differentiable = Object.entries(ops)
    .filter(([, rule]) => typeof rule.gradient !== "string")
    .map(([op]) => op as OpName);
  expect(differentiable.filter((op) => !recorded.has(op))).toEqual([]);
});
