/**
 * What holds for every model, tried on random ones: however it is split it trains alike, a file
 * holds it whole, and no pass changes what it computes. `npm run properties` tries many more;
 * the variable EDGELOOM_PROPERTIES says how many. Failures print the recipe, made as small as
 * it goes.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { present } from "../src/base/assert.ts";
import { hash32, random } from "../src/base/random.ts";
import {
  type DenseTensor,
  elementCount,
  float32,
  int64,
  type TensorType,
  zeros,
} from "../src/base/tensor.ts";
import { frozen } from "../src/compile/freeze.ts";
import type { Graph, Model } from "../src/compile/graph.ts";
import { inferTypes } from "../src/compile/infer.ts";
import { interpret } from "../src/compile/interpret.ts";
import { lossRule } from "../src/compile/loss.ts";
import { readOnnx } from "../src/compile/onnx/read.ts";
import { writeOnnx } from "../src/compile/onnx/write.ts";
import { optimizerNames, optimizerSpec, optimizerState } from "../src/compile/optimizer.ts";
import { print } from "../src/compile/print.ts";
import type { TrainingSpec } from "../src/compile/program.ts";
import { specialize } from "../src/compile/specialize.ts";
import { executableForm, trainingForm } from "../src/compile/training-form.ts";
import { trainingModel } from "../src/compile/training-model.ts";
import { lossOf, modelOf, type Recipe, recipes } from "./contract/random-models.ts";
import { kept, type Slots, trainingStep } from "./contract/split-training.ts";

const asked = process.env.EDGELOOM_PROPERTIES;
const settings = (runs: number) => ({
  numRuns: asked === undefined ? runs : Number(asked),
  seed: 7,
});
const timeout = asked === undefined ? 60_000 : 24 * 3_600_000;
const batch = 2;

/** Numbers that a name decides. */
function drawn(type: TensorType, name: string, low: number, high: number): DenseTensor {
  const draw = random(hash32(name));
  const values = Array.from(
    { length: elementCount(type.shape) },
    () => low + (high - low) * draw.uniform(),
  );
  return float32(type.shape, values);
}

/** How a random model is split and trained. */
const trainings = fc.record({
  recipe: recipes,
  cutTensors: fc.integer({ min: 1, max: 3 }),
  /** Places of cuts as shares of all segments. */
  places: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
  /** Which parameters are frozen, as shares of all but the last layer's. */
  freezing: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  optimizer: fc.record({
    kind: fc.constantFrom(...optimizerNames),
    momentum: fc.constantFrom(0, 0.9),
    weightDecay: fc.constantFrom(0, 0.01),
    clipNorm: fc.constantFrom(null, 0.5),
    clipValue: fc.constantFrom(null, 0.1),
    accumulate: fc.integer({ min: 1, max: 3 }),
    // Large: a gradient that is zero but for rounding must not become a step of its sign.
    epsilon: fc.constant(1e-2),
  }),
});

const at = <T>(list: readonly T[], share: number): T | undefined =>
  list[Math.min(list.length - 1, Math.floor(share * list.length))];

/** Slots of a batch: features, labels as the loss wants them, and noise. */
function batchOf(graph: Graph, spec: TrainingSpec, name: string): Slots {
  const slots: Slots = new Map();
  for (const input of graph.inputs) {
    const type = input as TensorType;
    const isNoise = input.noise === true;
    slots.set(
      `${isNoise ? "noise" : "feature"} ${input.name}`,
      isNoise ? drawn(type, name + input.name, 0, 1) : drawn(type, name, -1, 1),
    );
  }
  const output = present(inferTypes(graph).get(graph.outputs[0] ?? ""), "an output");
  const rule = lossRule(spec.loss);
  const labels = rule.labels(output);
  const classes = rule.classes(output) ?? 1;
  const values = drawn(labels, `${name} labels`, 0, labels.dtype === "int64" ? classes : 1);
  slots.set(
    "labels",
    labels.dtype === "int64"
      ? int64(
          labels.shape,
          Array.from(values.data as Float32Array, (value) => Math.floor(value)),
        )
      : values,
  );
  return slots;
}

/** Largest difference that rounding in another order explains. */
function expectAlike(actual: Slots, expected: Slots): void {
  const [one, other] = [kept(actual), kept(expected)];
  expect(one.map(([name]) => name)).toEqual(other.map(([name]) => name));
  for (const [i, [name, { data }]] of one.entries()) {
    const values = Array.from(other[i]?.[1].data ?? [], Number);
    const most = Math.max(...values.map(Math.abs));
    for (const [j, value] of values.entries()) {
      const distance = Math.abs(Number(data[j]) - value);
      if (!(distance <= 1e-4 * most + 1e-6)) expect.fail(`${name}[${j}]: ${data[j]}, not ${value}`);
    }
  }
}

const weightsOf = ({ weights }: Model): [string, DenseTensor][] =>
  [...weights].map(([name, value]) => [`parameter ${name}`, value]);

test("a split model trains as the whole one, wherever it is cut", { timeout }, () => {
  fc.assert(
    fc.property(trainings, ({ recipe, cutTensors, places, freezing, optimizer }) => {
      const model = modelOf(recipe);
      const others = model.graph.parameters
        .map(({ name }) => name)
        .filter((name) => !name.startsWith("fc."));
      const names = new Set(freezing.flatMap((share) => at(others, share) ?? []));
      const structure = frozen(model.graph, [...names]);
      const training = trainingModel(structure, { batch, cutTensors });
      const spec = { loss: lossOf(recipe), optimizer: optimizerSpec(optimizer.kind, optimizer) };
      const inner = training.segments.map(({ index }) => index).slice(1);
      const cuts = [...new Set(places.flatMap((share) => at(inner, share) ?? []))];
      cuts.sort((a, b) => a - b);
      const start: Slots = new Map([
        ...weightsOf(model),
        ["learningRate", float32([], [0.05])],
        ...training.graph.parameters.flatMap((parameter) =>
          optimizerState(spec.optimizer, parameter).map((state): [string, DenseTensor] => [
            `state ${state.name}`,
            zeros(state),
          ]),
        ),
      ]);
      let [whole, split] = [start, start];
      for (let step = 0; step < 2; step++) {
        const batches = Array.from({ length: optimizer.accumulate }, (_, i) =>
          batchOf(training.graph, spec, `${recipe.seed} ${step} ${i}`),
        );
        whole = trainingStep(training, [], spec, whole, batches);
        split = trainingStep(training, cuts, spec, split, batches);
        expectAlike(split, whole);
      }
      // And it did train.
      expect(kept(whole)).not.toEqual(kept(start));
    }),
    settings(60),
  );
});

describe("a file", () => {
  test("holds a graph whole, with its weights or without", { timeout }, () => {
    fc.assert(
      fc.property(recipes, fc.boolean(), (recipe, isFrozen) => {
        const { graph: made, weights } = modelOf(recipe);
        const graph = isFrozen ? frozen(made, ["fc.*"]) : made;
        const structure = readOnnx(writeOnnx(graph));
        expect(print(structure.graph)).toBe(print(graph));
        expect(structure.graph).toEqual(graph);
        const model = readOnnx(writeOnnx(graph, { weights }));
        expect(model.graph).toEqual(graph);
        expect(model.weights).toEqual(weights);
        // Once it is bound to a batch, too.
        const bound = specialize(graph, { batch });
        expect(print(readOnnx(writeOnnx(bound)).graph)).toBe(print(bound));
      }),
      settings(60),
    );
  });
});

describe("no pass changes what a model computes", () => {
  /** What a model answers for images that the seed decides. */
  function answers(graph: Graph, { weights }: Model, { seed }: Recipe): number[] {
    const image = drawn({ dtype: "float32", shape: [batch, 2, 4, 4] }, `${seed}`, -1, 1);
    const [output] = interpret(graph, new Map([["input", image], ...weights])).values();
    return Array.from(output?.data ?? [], Number);
  }

  function expectSame(actual: readonly number[], expected: readonly number[]): void {
    expect(actual).toHaveLength(expected.length);
    const most = Math.max(...expected.map(Math.abs));
    for (const [i, value] of actual.entries()) {
      const distance = Math.abs(value - (expected[i] ?? Number.NaN));
      if (!(distance <= 1e-5 * most + 1e-6)) expect.fail(`[${i}]: ${value}, not ${expected[i]}`);
    }
  }

  test("binding it to a batch", { timeout }, () => {
    fc.assert(
      fc.property(recipes, (recipe) => {
        const model = modelOf(recipe);
        const bound = specialize(model.graph, { batch });
        // The interpreter takes the sizes of a reshape only where they are written down.
        const { graph } = modelOf({ ...recipe, isExported: false });
        expectSame(answers(bound, model, recipe), answers(graph, model, recipe));
        expect(bound.nodes.map(({ op }) => op)).not.toContain("Shape");
        // There is nothing left to do a second time.
        expect(print(specialize(bound, { batch }))).toBe(print(bound));
      }),
      settings(60),
    );
  });

  test("its training form, where statistics are frozen and nothing is dropped", { timeout }, () => {
    fc.assert(
      fc.property(recipes, (recipe) => {
        const model = modelOf(recipe, 0);
        const buffers = model.graph.parameters.filter(({ buffer }) => buffer);
        const still = frozen(
          model.graph,
          buffers.map(({ name }) => name),
        );
        const bound = specialize(still, { batch });
        const training = trainingForm(bound);
        expect(training.inputs).toHaveLength(1);
        expect(training.updates?.size ?? 0).toBe(0);
        const expected = answers(bound, model, recipe);
        expectSame(answers(training, model, recipe), expected);
        expectSame(answers(executableForm(training), model, recipe), expected);
      }),
      settings(60),
    );
  });
});
