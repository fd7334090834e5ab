import { expect, test } from "vitest";
import { Hasher } from "../base/hash.ts";
import { bytesOf, elementCount, type TensorType, zeros } from "../base/tensor.ts";
import { isTrained } from "../compile/graph.ts";
import { interpret } from "../compile/interpret.ts";
import { lossRule, lossSpec } from "../compile/loss.ts";
import { specialize } from "../compile/specialize.ts";
import { trainingForm } from "../compile/training-form.ts";
import { trainingModel } from "../compile/training-model.ts";
import {
  builtInLoss,
  builtInModelNames,
  builtInOptions,
  fitAdvice,
  fittingOptions,
} from "./catalog.ts";
import { builtInModel } from "./models.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/** Trained parameters: as PyTorch's and torchvision's networks of these names have. */
const parameterCounts: { readonly [name: string]: number } = {
  bilstm: 386_818,
  dcgan: 1_732_224,
  "dcgan-discriminator": 663_296,
  "dcgan-generator": 1_068_928,
  din: 42_956,
  gpt: 867_072,
  "har-cnn": 65_862,
  lenet5: 61_706,
  mlp: 235_146,
  mobilenetv2: 2_236_682,
  "mobilenetv3-large": 4_214_842,
  ncf: 136_817,
  resnet18: 11_173_962,
  resnet20: 272_474,
  resnet50: 23_520_842,
  textcnn: 794_502,
  vae: 652_824,
  vgg11: 9_225_610,
  vgg19: 20_029_514,
  "vgg-small": 288_298,
  vit: 2_693_194,
};

test("every built-in model is listed here", () => {
  expect(builtInModelNames.toSorted()).toEqual(Object.keys(parameterCounts).sort());
});

test.each(builtInModelNames)("%s has its parameters, each with a weight", (name) => {
  const { graph, weights } = builtInModel(name, { seed: 1 });
  expect(graph.parameters.map((parameter) => parameter.name)).toEqual([...weights.keys()]);
  for (const { name: parameter, shape } of graph.parameters) {
    expect(weights.get(parameter)?.shape).toEqual(shape);
  }
  const trained = graph.parameters.filter(isTrained);
  const count = trained.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  expect(count).toBe(parameterCounts[name]);
});

test.each(builtInModelNames)("%s has an open batch, and its loss fits what it gives", (name) => {
  const { graph } = builtInModel(name, { seed: 1 });
  expect(graph.inputs[0]?.shape[0]).toBe("batch");
  const { graph: bound, segments } = trainingModel(graph, { batch: 2, cutTensors: 1 });
  const output = segments.at(-1)?.outputs[0];
  expect(output?.shape[0]).toBe(2);
  expect(segments.length).toBeGreaterThan(1);
  const rule = lossRule(lossSpec(builtInLoss(name)));
  expect(rule.labels(output as TensorType).shape[0]).toBe(2);
  expect(bound.inputs[0]?.shape[0]).toBe(2);
});

test.each(["lenet5", "mlp", "vgg-small", "har-cnn"])(
  "%s answers alike for samples that are alike",
  (name) => {
    const { graph, weights } = builtInModel(name, { seed: 1, classes: 7 });
    const bound = specialize(graph, { batch: 2 });
    const [input] = bound.inputs;
    const feeds = new Map(weights);
    feeds.set(input?.name ?? "", zeros({ dtype: "float32", shape: input?.shape as number[] }));
    const [scores] = interpret(bound, feeds).values();
    expect(scores?.shape).toEqual([2, 7]);
    expect(scores?.data.slice(0, 7)).toEqual(scores?.data.slice(7));
  },
);

test("a narrower mobilenetv2 has all layers narrower, and a quarter of the width less than an eighth of the weights", () => {
  const weightsAt = (width: number): number => {
    const { graph } = builtInModel("mobilenetv2", { seed: 1, width });
    const counts = graph.parameters.filter(isTrained).map(({ shape }) => elementCount(shape));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  expect(weightsAt(16)).toBe(2_236_682);
  expect(weightsAt(4)).toBeLessThan(weightsAt(16) / 8);
});

test("a wider lenet5 has all layers wider, and drops values before its last layers while it trains alone", () => {
  const shapesAt = (options: Partial<ModelOptions>) => {
    const { graph } = builtInModel("lenet5", { seed: 1, ...options });
    return new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
  };
  const wide = shapesAt({ width: 12, dropout: 0.5 });
  expect(wide.get("conv1.weight")).toEqual([12, 1, 5, 5]);
  expect(wide.get("conv2.weight")).toEqual([32, 12, 5, 5]);
  expect(wide.get("fc1.weight")).toEqual([240, 800]);
  expect(wide.get("fc3.weight")).toEqual([10, 168]);
  expect(shapesAt({})).toEqual(shapesAt({ width: 6, dropout: 0 }));
  const { graph } = builtInModel("lenet5", { seed: 1, dropout: 0.5 });
  const noises = trainingForm(specialize(graph, { batch: 2 })).inputs.filter(({ noise }) => noise);
  expect(noises.map(({ shape }) => shape)).toEqual([
    [2, 120],
    [2, 84],
  ]);
});

test("words of textcnn begin small beside what training makes of them", () => {
  const table = builtInModel("textcnn", { seed: 1 }).weights.get("embedding.weight");
  const sizes = Array.from(table?.data as Float32Array, Math.abs);
  expect(Math.max(...sizes.slice(0, 50_000))).toBeLessThanOrEqual(0.1);
  expect(sizes.some((size) => size > 0.09)).toBe(true);
});

test("options choose size and words; images of 224 get the large stem", () => {
  const large = builtInModel("resnet18", { seed: 1, size: 224, classes: 1000 });
  const count = large.graph.parameters.filter(isTrained);
  expect(count.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(11_689_512);
  const { graph } = builtInModel("textcnn", { seed: 1, vocabulary: 50, length: 12 });
  expect(graph.inputs[0]?.shape).toEqual(["batch", 12]);
  expect(graph.parameters[0]?.shape).toEqual([50, 128]);
});

test.each(builtInModelNames)(
  "%s takes the options that the catalog names, and no others",
  (name) => {
    const asked = new Set<string>();
    const options = new Proxy<ModelOptions>(
      { seed: 1 },
      {
        get(target, option) {
          asked.add(String(option));
          return Reflect.get(target, option);
        },
      },
    );
    builtInModel(name, options);
    expect([...asked].sort()).toEqual(["seed", ...builtInOptions(name)].sort());
  },
  // The largest have tens of millions of weights to draw.
  60_000,
);

test.each([
  ["lenet5", [3, 40, 40]],
  ["resnet20", [1, 28, 28]],
  ["vit", [1, 28, 28]],
  ["har-cnn", [6, 50]],
  ["textcnn", [12]],
  ["bilstm", [12]],
  ["gpt", [12]],
  ["din", [5]],
  ["vae", [3, 16, 16]],
  ["dcgan", [1, 28, 28]],
  ["dcgan-discriminator", [1, 32, 32]],
])("the catalog's options make %s fit samples of %j", (name, inputShape) => {
  const fitting = fittingOptions(name, { inputShape, classes: 4 });
  const { graph } = builtInModel(name, { seed: 1, ...fitting });
  expect(graph.inputs[0]?.shape.slice(1)).toEqual(inputShape);
  const isClassifier = builtInOptions(name).includes("classes");
  expect(fitting?.classes).toBe(isClassifier ? 4 : undefined);
});

test("where no options make a model fit, none are advised", () => {
  const advice = (name: string, inputShape: number[]): string =>
    fitAdvice(name, { inputShape, classes: 4 });
  expect(advice("vgg11", [1, 32, 32])).toBe(
    " (the job may say modelOptions: { channels: 1, size: 32, classes: 4 })",
  );
  expect(advice("vgg11", [1, 32, 31])).toBe("");
  expect(advice("vgg11", [32])).toBe("");
  expect(advice("ncf", [3])).toBe("");
  expect(advice("din", [1])).toBe("");
  expect(advice("dcgan", [3, 64, 64])).toBe("");
  expect(advice("model.onnx", [1, 32, 32])).toBe("");
});

test("LeNet-5 names its layers and parameters as PyTorch would", () => {
  const { graph } = builtInModel("lenet5", { seed: 1 });
  expect(graph.parameters.map(({ name, shape }) => `${name} ${shape.join("x")}`)).toEqual([
    "conv1.weight 6x1x5x5",
    "conv1.bias 6",
    "conv2.weight 16x6x5x5",
    "conv2.bias 16",
    "fc1.weight 120x400",
    "fc1.bias 120",
    "fc2.weight 84x120",
    "fc2.bias 84",
    "fc3.weight 10x84",
    "fc3.bias 10",
  ]);
});

test("initial weights fill +-1/sqrt(fan in) evenly", () => {
  const { weights } = builtInModel("lenet5", { seed: 1 });
  const values = Array.from(weights.get("fc1.weight")?.data ?? [], Number);
  const bound = 1 / Math.sqrt(400);
  expect(Math.max(...values)).toBeGreaterThan(0.999 * bound);
  expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
  expect(Math.abs(mean)).toBeLessThan(0.02 * bound);
  expect(variance / ((bound * bound) / 3)).toBeCloseTo(1, 1);
});

test("ncf's embeddings start small, and its biases at 0", () => {
  const { weights } = builtInModel("ncf", { seed: 1 });
  const most = (name: string): number =>
    Math.max(...Array.from(weights.get(name)?.data ?? [], Number).map(Math.abs));
  expect(most("gmf.user.weight")).toBeCloseTo(0.3, 2);
  expect([most("bias.user.weight"), most("bias.item.weight")]).toEqual([0, 0]);
});

test("layers of one name share their parameters", () => {
  const net = new Network("twins", { seed: 1 });
  const [x, y] = [net.input([4]), net.number(2)];
  const twice = net.op("Mul", "twice", [x, y]);
  const sum = net.add("sum", net.linear("fc", x, 3), net.linear("fc", twice, 3));
  const { graph, weights } = net.model(sum);
  expect([...weights.keys()]).toEqual(["fc.weight", "fc.bias"]);
  expect(graph.parameters).toHaveLength(2);
  expect(() => net.linear("fc", sum, 3)).toThrow('"fc.weight" has shape [3,4], not [3,3]');
});

test("a seed gives the same weights on every machine, another seed others", () => {
  const digest = (seed: number): string => {
    const hasher = new Hasher();
    for (const value of builtInModel("lenet5", { seed }).weights.values()) {
      hasher.bytes(bytesOf(value));
    }
    return hasher.digest();
  };
  expect(digest(1)).toBe(digest(1));
  expect(digest(1)).not.toBe(digest(2));
  expect(digest(1)).toBe("149a00a4c701155e");
});

test("an unknown name is refused with the known ones", () => {
  expect(() => builtInModel("lenet", { seed: 1 })).toThrow(
    /got "lenet"; allowed: lenet5, mlp, vgg-small, vgg11/,
  );
});
