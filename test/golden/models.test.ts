/**
 * Ten training steps of every built-in model, of every optimizer, and every form of loss, as
 * PyTorch computed them (record_models.py). Both sides make initial weights and batches by
 * the same integer arithmetic.
 */
import { afterAll, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { hash32 } from "../../src/base/random.ts";
import {
  type DenseTensor,
  dense,
  elementCount,
  float32,
  type Tensor,
  type TensorType,
  tensor,
  zeros,
} from "../../src/base/tensor.ts";
import { differentiate } from "../../src/compile/autodiff.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import { type Graph, isTrained, type Model, type Weights } from "../../src/compile/graph.ts";
import { interpret } from "../../src/compile/interpret.ts";
import { emitLoss, type LossName, type LossSpec, lossNames, lossSpec } from "../../src/compile/loss.ts";
import {
  type OptimizerName,
  type OptimizerSpec,
  optimizerNames,
  optimizerSpec,
} from "../../src/compile/optimizer.ts";
import { type Port, type Program, stagePrograms, type TrainingSpec } from "../../src/compile/program.ts";
import { executableForm } from "../../src/compile/training-form.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { dcgan } from "../../src/models/generative.ts";
import { builtInLoss, builtInModelNames } from "../../src/models/catalog.ts";
import { builtInModel } from "../../src/models/models.ts";
import { Network } from "../../src/models/network.ts";
import { NativeEngine } from "../../src/nodejs/engine.ts";
import { expectClose } from "./close.ts";
import { type Drawn, draw, hash, labelsOf } from "./drawing.ts";
import { fixture } from "./read-fixtures.ts";

const engine = new NativeEngine({ threads: 2 });
afterAll(() => engine.close());

/** 4096 levels from -1 up to 1. */
const uniform = (shape: readonly number[], seed: number): DenseTensor =>
  draw({ shape, seed, levels: 4096, scale: 2 ** -11, shift: 0 });

/** The weight of a parameter; the same as `initial` in record_models.py. */
function initial(name: string, shape: readonly number[], norm: number): DenseTensor {
  const filled = (value: number): DenseTensor =>
    tensor("float32", shape, new Float32Array(elementCount(shape)).fill(value));
  if (name.endsWith("running_mean")) return filled(0);
  if (name.endsWith("running_var")) return filled(1);
  const { data } = uniform(shape, hash32(name));
  const map = (change: (value: number) => number): DenseTensor =>
    tensor("float32", shape, (data as Float32Array).map(change));
  if (shape.length === 1) return map((v) => v / 16 + (name.endsWith("weight") ? norm : 0));
  const bound = Math.sqrt((shape.length > 2 ? 6 : 1) / elementCount(shape.slice(1)));
  return map((v) => v * bound);
}

const initialWeights = (graph: Graph, norm: number): Weights =>
  new Map(graph.parameters.map(({ name, shape }) => [name, initial(name, shape, norm)]));

const scalar = (value: number): DenseTensor => float32([], [value]);

/** Trains a model as one stage, with every tensor passed by value. */
class Trainer {
  readonly #programs: readonly Program[];
  readonly #held = new Map<string, Tensor>();
  readonly #learningRate: number;
  readonly #accumulate: number;
  readonly #noise: (port: Port, step: number) => DenseTensor;
  #steps = 0;

  constructor(
    model: Pick<Model, "graph">,
    batch: number,
    spec: TrainingSpec & { learningRate: number },
    noise: (port: Port, step: number) => DenseTensor = () => {
      throw new Error("no noise expected");
    },
  ) {
    const { graph, segments } = trainingModel(model.graph, { batch, cutTensors: 1 });
    const { step, update } = stagePrograms(graph, segments, 0, segments.length, spec);
    this.#programs = [present(step, "a step"), ...(update === null ? [] : [update])];
    for (const { inputs } of this.#programs) {
      for (const port of inputs) {
        if (port.role === "state") this.#held.set(key(port), zeros(port));
      }
    }
    this.#learningRate = spec.learningRate;
    this.#accumulate = spec.optimizer.accumulate;
    this.#noise = noise;
  }

  /** Puts weights in place of those that it has under these names. */
  set(weights: ReadonlyMap<string, Tensor>): void {
    for (const [name, value] of weights) this.#held.set(`parameter ${name}`, value);
  }

  weights(): Map<string, Tensor> {
    return new Map(
      [...this.#held].flatMap(([name, value]) =>
        name.startsWith("parameter ") ? [[name.slice("parameter ".length), value] as const] : [],
      ),
    );
  }

  /** Takes one batch; returns its loss. */
  async step(features: DenseTensor, labels: DenseTensor): Promise<number> {
    const [step, update] = this.#programs as [Program, Program | undefined];
    const outputs = await this.#run(step, features, labels);
    this.#steps++;
    if (update !== undefined && this.#steps % this.#accumulate === 0) await this.#run(update);
    const loss = present(step.outputs.find(({ role }) => role === "loss"), "a loss");
    return Number(dense(present(outputs.get(loss.name), "the loss")).data[0]);
  }

  async #run(program: Program, features?: DenseTensor, labels?: DenseTensor) {
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs) {
      feeds.set(port.name, copyOf(this.#input(program, port, features, labels)));
    }
    await engine.load([program]);
    const fetch = program.outputs.map(({ name }) => name);
    const { outputs } = await engine.run({ program: program.id, feeds, keep: new Map(), fetch });
    for (const port of program.outputs) {
      this.#held.set(key(port), present(outputs.get(port.name), port.name));
    }
    return outputs;
  }

  #input(program: Program, port: Port, features?: DenseTensor, labels?: DenseTensor): Tensor {
    if (port.role === "feature") return present(features, "features");
    if (port.role === "labels") return present(labels, "labels");
    if (port.role === "learningRate") return scalar(this.#learningRate);
    if (port.role === "noise") return this.#noise(port, this.#steps);
    const isSum = port.role === "parameterGradient" && program.kind !== "update";
    if (isSum && this.#steps % this.#accumulate === 0) return zeros(port);
    return present(this.#held.get(key(port)), port.of);
  }
}

const key = ({ role, of }: Port): string => `${role} ${of}`;

/** The engine takes over what it is fed. */
const copyOf = (value: Tensor): DenseTensor => {
  const { dtype, shape, data } = dense(value);
  return tensor(dtype, shape, data.slice());
};

/** Trajectories of rounding errors differ; so many times PyTorch's own may ours be. */
const spread = 8;

/**
 * Fails where a loss is not PyTorch's in float64 within 1e-3. In the deepest networks rounding
 * grows from step to step; there it may be some times as far as PyTorch in float32 has been by then.
 */
function expectLosses(
  actual: readonly number[],
  expected: readonly number[],
  float32: readonly number[] = [],
): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((loss, i) => {
    const wanted = expected[i] as number;
    const away = Math.abs(loss - wanted) / Math.abs(wanted);
    const allowed = Math.max(1e-3, spread * (float32[i] ?? 0));
    expect(away, `step ${i}: ${loss}, not ${wanted}`).toBeLessThan(allowed);
  });
}

interface ModelCase {
  readonly name: string;
  readonly batch: number;
  readonly shape: readonly number[];
  readonly words: number | null;
  readonly classes: number;
  /** Mean of the initial scales of normalisations. */
  readonly norm: number;
  readonly learningRate: number;
  readonly parameters: number;
  readonly losses: readonly number[];
  /** How far PyTorch in float32 has been from these up to each step, relative. */
  readonly float32: readonly number[];
}

/** The same as `batch` in record_models.py. */
function batchOf(
  { batch, shape, words, classes }: Pick<ModelCase, "batch" | "shape" | "words" | "classes">,
  step: number,
  labels: TensorType,
): { features: DenseTensor; labels: DenseTensor } {
  const full = [batch, ...shape];
  const numbers = { shape: full, seed: 1000 + step };
  const features =
    words === null
      ? uniform(full, numbers.seed)
      : float32(full, Array.from({ length: elementCount(full) }, (_, i) => hash(i, numbers.seed) % words));
  const answers = Array.from({ length: elementCount(labels.shape) }, (_, i) => hash(i, 2000 + step) % classes);
  return { features, labels: { ...labelsOf(answers), shape: labels.shape } };
}

const plain = (loss: LossName): TrainingSpec => ({
  loss: lossSpec(loss),
  optimizer: optimizerSpec("sgd"),
});

describe("ten steps of every built-in model give PyTorch's losses", () => {
  const cases = fixture<ModelCase>("models");

  test("every model is recorded", () => {
    const recorded = [...cases.map(({ name }) => name), "dcgan", "dcgan-generator", "dcgan-discriminator"];
    expect(recorded.sort()).toEqual(builtInModelNames.toSorted());
  });

  test.each(cases)("$name", { timeout: 120_000 }, async (entry) => {
    const { name, batch, learningRate } = entry;
    const { graph } = builtInModel(name, { seed: 1, dropout: 0 });
    const trained = graph.parameters.filter(isTrained);
    const count = trained.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(count).toBe(entry.parameters);
    const trainer = new Trainer({ graph }, batch, { ...plain(builtInLoss(name)), learningRate }, noise);
    trainer.set(initialWeights(graph, entry.norm));
    const labels: TensorType = { dtype: "int64", shape: name === "gpt" ? [batch, ...entry.shape] : [batch] };
    const losses: number[] = [];
    for (let step = 0; step < entry.losses.length; step++) {
      const drawn = batchOf(entry, step, labels);
      const features = name === "vae" ? magnitudes(drawn.features) : drawn.features;
      losses.push(await trainer.step(features, drawn.labels));
    }
    expectLosses(losses, entry.losses, entry.float32);
  });
});

/** Two numbers make a normally distributed one: see `normal` in networks.py. */
function noise({ of, shape }: Port, step: number): DenseTensor {
  const part = of.endsWith("_1") ? 0 : 1;
  return draw({ shape, seed: 9000 + 2 * step + part, levels: 4096, scale: 2 ** -12, shift: 0.5 });
}

/** Images of a variational autoencoder, and real ones of a game, are between 0 and 1. */
const magnitudes = ({ shape, data }: DenseTensor): DenseTensor =>
  tensor("float32", shape, (data as Float32Array).map(Math.abs));

describe("ten steps of dcgan give PyTorch's losses", () => {
  const recorded = new Map(
    fixture<{
      readonly name: string;
      readonly batch: number;
      readonly norm: number;
      readonly learningRate: number;
      readonly losses: readonly number[];
      readonly float32: readonly number[];
    }>("dcgan").map((entry) => [entry.name, entry]),
  );

  test("alternating, the discriminator first", { timeout: 60_000 }, async () => {
    const { batch, norm, learningRate, losses, float32: near } = present(recorded.get("alternating"), "a run");
    const { generator, discriminator, adversary } = dcgan({ seed: 1 });
    const spec = { ...plain("binary-cross-entropy"), learningRate };
    const judge = new Trainer(discriminator, 2 * batch, spec);
    const maker = new Trainer(adversary, batch, spec);
    judge.set(initialWeights(discriminator.graph, norm));
    maker.set(initialWeights(adversary.graph, norm));
    const generatorGraph = trainingModel(generator.graph, { batch, cutTensors: 1 }).graph;
    const found: number[] = [];
    for (let step = 0; step < losses.length / 2; step++) {
      const codes = uniform([batch, 100], 3000 + step);
      const made = await imagesOf(generatorGraph, codes, maker.weights());
      const real = Array.from(uniform([batch, 3, 32, 32], 1000 + step).data, Number);
      const both = float32([2 * batch, 3, 32, 32], [...real, ...made]);
      const truth = labelsOf(Array.from({ length: 2 * batch }, (_, i) => (i < batch ? 1 : 0)));
      const first = await judge.step(both, truth);
      maker.set(judge.weights());
      const second = await maker.step(codes, labelsOf(Array<number>(batch).fill(1)));
      const shared = [...maker.weights()].filter(([name]) => name.startsWith("discriminator"));
      judge.set(new Map(shared));
      found.push(first, second);
    }
    expectLosses(found, losses, near);
  });

  test("both at once, as one model", { timeout: 60_000 }, async () => {
    const { batch, norm, learningRate, losses, float32: near } = present(recorded.get("at once"), "a run");
    const { graph } = builtInModel("dcgan", { seed: 1 });
    const trainer = new Trainer({ graph }, batch, { ...plain("mean-output"), learningRate }, noise);
    trainer.set(initialWeights(graph, norm));
    const found: number[] = [];
    for (let step = 0; step < losses.length; step++) {
      const real = magnitudes(uniform([batch, 3, 32, 32], 1000 + step));
      found.push(await trainer.step(real, labelsOf(Array<number>(batch).fill(0))));
    }
    expectLosses(found, losses, near);
  });
});

/** What a generator makes of codes with the statistics of the batch. */
async function imagesOf(
  { updates: _, ...graph }: Graph,
  codes: DenseTensor,
  weights: ReadonlyMap<string, Tensor>,
): Promise<Float32Array> {
  const [image = ""] = graph.outputs;
  const program: Program = {
    id: graph.name,
    kind: "forward",
    from: 0,
    to: 1,
    graph: executableForm(graph),
    inputs: [graph.inputs[0], ...graph.parameters].map((value) => {
      const { name, dtype, shape } = present(value, "an input");
      return { name, of: name, role: "feature", dtype, shape: shape as readonly number[] };
    }),
    outputs: [{ name: image, of: image, role: "feature", dtype: "float32", shape: [4, 3, 32, 32] }],
  };
  await engine.load([program]);
  const feeds = new Map<string, Tensor>([[graph.inputs[0]?.name ?? "", copyOf(codes)]]);
  for (const { name } of graph.parameters) {
    feeds.set(name, copyOf(present(weights.get(name), name)));
  }
  const run = { program: program.id, feeds, keep: new Map(), fetch: [image] };
  const { outputs } = await engine.run(run);
  return dense(present(outputs.get(image), "images")).data as Float32Array;
}

describe("ten steps of every optimizer give PyTorch's losses and weights", () => {
  interface OptimizerCase {
    readonly kind: OptimizerName;
    readonly settings: Partial<OptimizerSpec>;
    readonly learningRate: number;
    readonly losses: readonly number[];
    readonly after: readonly number[];
  }
  const cases = fixture<OptimizerCase>("optimizers");

  test("every optimizer is recorded", () => {
    expect([...new Set(cases.map(({ kind }) => kind))].sort()).toEqual(optimizerNames.toSorted());
  });

  test.each(cases)("$kind $settings", async ({ kind, settings, learningRate, losses, after }) => {
    const net = new Network("two layers", { seed: 1 });
    const hidden = net.op("Tanh", "tanh", [net.linear("fc1", net.input([20]), 16)]);
    const { graph } = net.model(net.linear("fc2", hidden, 4));
    const spec = {
      loss: lossSpec("softmax-cross-entropy"),
      optimizer: optimizerSpec(kind, settings),
      learningRate,
    };
    const trainer = new Trainer({ graph }, 8, spec);
    trainer.set(initialWeights(graph, 1));
    const found: number[] = [];
    const shape = { batch: 8, shape: [20], words: null, classes: 4 };
    for (let step = 0; step < losses.length; step++) {
      const { features, labels } = batchOf(shape, step, { dtype: "int64", shape: [8] });
      found.push(await trainer.step(features, labels));
    }
    expectLosses(found, losses);
    const weight = dense(present(trainer.weights().get("fc2.weight"), "a weight"));
    expectClose(weight, after, "fc2.weight");
  });
});

describe("every form of loss gives PyTorch's value and gradient", () => {
  interface LossCase {
    readonly kind: LossName;
    readonly settings: Partial<LossSpec>;
    readonly output: Drawn;
    readonly labels: Drawn | readonly number[];
    readonly loss: number;
    readonly gradient: readonly number[];
  }
  const cases = fixture<LossCase>("loss-forms");

  test("every loss is recorded", () => {
    expect([...new Set(cases.map(({ kind }) => kind))].sort()).toEqual(lossNames.toSorted());
  });

  test.each(cases)("$kind $settings", (entry) => {
    const builder = new GraphBuilder("loss");
    const feeds = new Map([
      ["x", draw(entry.output)],
      ["labels", "seed" in entry.labels ? draw(entry.labels) : labelsOf(entry.labels)],
    ]);
    for (const [name, value] of feeds) builder.input(name, value);
    const ends = { output: "x", labels: "labels" };
    const { loss, seeds } = emitLoss(builder, lossSpec(entry.kind, entry.settings), ends);
    const gradient = present(differentiate(builder, seeds, new Set(["x"])).get("x"), "a gradient");
    const results = interpret(builder.graph([loss, gradient]), feeds);
    expectClose(present(results.get(loss), "the loss"), [entry.loss], "the loss");
    expectClose(present(results.get(gradient), "gradient"), entry.gradient, "the gradient");
  });
});
