import { expect, test } from "vitest";
import { Hasher } from "../base/hash.ts";
import { bytesOf, elementCount, zeros } from "../base/tensor.ts";
import { interpret } from "../compile/interpret.ts";
import { specialize } from "../compile/specialize.ts";
import { builtInModel, builtInModelNames } from "./models.ts";

const parameterCounts: { [name: string]: number } = {
  lenet5: 61_706,
  mlp: 235_146,
  "vgg-small": 288_298,
};

test("every built-in model is listed here", () => {
  expect(builtInModelNames).toEqual(Object.keys(parameterCounts));
});

test.each(builtInModelNames)("%s has its parameters, each with a weight", (name) => {
  const { graph, weights } = builtInModel(name, { seed: 1 });
  expect(graph.parameters.map((parameter) => parameter.name)).toEqual([...weights.keys()]);
  for (const { name: parameter, shape } of graph.parameters) {
    expect(weights.get(parameter)?.shape).toEqual(shape);
  }
  const count = graph.parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  expect(count).toBe(parameterCounts[name]);
});

test.each(builtInModelNames)("%s answers with one score for each class", (name) => {
  const { graph, weights } = builtInModel(name, { seed: 1, classes: 7 });
  expect(graph.inputs[0]?.shape[0]).toBe("batch");
  const bound = specialize(graph, { batch: 2 });
  const [input] = bound.inputs;
  const feeds = new Map(weights);
  feeds.set(input?.name ?? "", zeros({ dtype: "float32", shape: input?.shape as number[] }));
  const [scores] = interpret(bound, feeds).values();
  expect(scores?.shape).toEqual([2, 7]);
  expect(scores?.data.slice(0, 7)).toEqual(scores?.data.slice(7));
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
    /got "lenet"; allowed: lenet5, mlp, vgg-small/,
  );
});
