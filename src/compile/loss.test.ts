import { expect, test } from "vitest";
import { present } from "../base/assert.ts";
import { float32, int64 } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import { interpret } from "./interpret.ts";
import { type LossName, lossRule, lossSpec, requireEnding } from "./loss.ts";

const entropy = lossSpec("softmax-cross-entropy");
const rule = lossRule(entropy);

/** Runs the loss on logits [N, C] given as rows. */
function evaluate(rows: number[][], classes: number[]) {
  const builder = new GraphBuilder("loss");
  const logits = float32([rows.length, rows[0]?.length ?? 0], rows.flat());
  const labels = int64([classes.length], classes);
  builder.input("logits", logits);
  builder.input("labels", labels);
  const emitted = rule.loss(builder, "logits", "labels");
  const { loss } = emitted;
  const gradient = present(emitted.gradient, "a gradient in closed form");
  const correct = present(rule.correct(builder, "logits", "labels"), "a count");
  const feeds = new Map([
    ["logits", logits],
    ["labels", labels],
  ]);
  const results = interpret(builder.graph([loss, gradient, correct]), feeds);
  const values = (name: string): number[] => Array.from(results.get(name)?.data ?? [], Number);
  return {
    loss: values(loss)[0],
    gradient: values(gradient),
    correct: values(correct)[0],
    shape: results.get(loss)?.shape,
  };
}

test("the loss is the mean of -log(share), its gradient (share - truth) / N", () => {
  // Shares of row one: 1/2, 1/4, 1/4; of row two: 1/10, 1/10, 8/10.
  const { loss, gradient, correct, shape } = evaluate(
    [
      [Math.log(2), 0, 0],
      [0, 0, Math.log(8)],
    ],
    [1, 2],
  );
  expect(shape).toEqual([]);
  expect(loss).toBeCloseTo((Math.log(4) - Math.log(0.8)) / 2, 6);
  [0.25, -0.375, 0.125, 0.05, 0.05, -0.1].forEach((value, i) => {
    expect(gradient[i]).toBeCloseTo(value, 6);
  });
  expect(correct).toBe(1);
});

test("logits far apart neither overflow nor vanish", () => {
  const { loss, gradient } = evaluate([[1000, 0, -1000]], [1]);
  expect(loss).toBeCloseTo(1000, 3);
  expect(gradient).toEqual([1, -1, 0]);
});

test("a tie counts for the first class", () => {
  expect(evaluate([[3, 3, 1]], [0]).correct).toBe(1);
  expect(evaluate([[3, 3, 1]], [1]).correct).toBe(0);
});

test("an output without classes is refused", () => {
  expect(() => rule.labels({ dtype: "float32", shape: [2] })).toThrow(/got float32\[2\]/);
});

test("a model that ends in what the loss does itself is refused, one that ends in logits is not", () => {
  const builder = new GraphBuilder("ending");
  const x = builder.input("x", { dtype: "float32", shape: [2, 3] });
  const y = builder.emit("Relu", [x], {}, "logits");
  const p = builder.emit("Softmax", [y], { axis: 1 }, "probabilities");
  requireEnding(builder.graph([y]), entropy);
  expect(() => requireEnding(builder.graph([p]), entropy)).toThrow(
    /Softmax "probabilities": the model ends in Softmax/,
  );
});

test.each<[LossName, number[], number | null]>([
  ["softmax-cross-entropy", [2, 7], 7],
  ["binary-cross-entropy", [2, 1], 2],
  ["binary-cross-entropy", [2], 2],
  ["binary-cross-entropy", [2, 3], null],
  ["mean-output", [2], null],
  ["cosine", [2, 3], null],
])("%s of an output %j tells so many classes apart: %s", (kind, shape, classes) => {
  expect(lossRule(lossSpec(kind)).classes({ dtype: "float32", shape })).toBe(classes);
});

test.each<[LossName, number]>([
  ["mean-squared-error", (0.5 ** 2 + 1.5 ** 2) / 2],
  ["mean-absolute-error", 1],
  ["huber", (0.5 ** 2 / 2 + 1) / 2],
])("labels in steps of half a star are compared by %s as stars", (kind, expected) => {
  const inStars = lossRule(lossSpec(kind, { labelUnit: 0.5 }));
  const output = float32([2, 1], [3, 3]);
  expect(inStars.labels(output)).toEqual({ dtype: "int64", shape: [2] });
  expect(inStars.classes(output)).toBe(null);
  const builder = new GraphBuilder("loss");
  const labels = int64([2], [7, 3]); // 3.5 and 1.5 stars
  builder.input("output", output);
  builder.input("labels", labels);
  const { loss } = inStars.loss(builder, "output", "labels");
  const feeds = new Map([
    ["output", output],
    ["labels", labels],
  ]);
  const results = interpret(builder.graph([loss]), feeds);
  expect(Number(results.get(loss)?.data?.[0])).toBeCloseTo(expected, 6);
  expect(() => inStars.labels({ dtype: "float32", shape: [2, 3] })).toThrow(
    /with labelUnit takes one number for each sample/,
  );
});
