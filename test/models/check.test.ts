/** `check`: right gradients pass, a wrong rule is found. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ModelError } from "../../src/base/errors.ts";
import { type DenseTensor, zeros } from "../../src/base/tensor.ts";
import type { Model } from "../../src/compile/graph.ts";
import { readOnnx } from "../../src/compile/onnx/read.ts";
import type { GradientContext } from "../../src/compile/ops/rule.ts";
import { ops } from "../../src/compile/ops/table.ts";
import { builtInModel } from "../../src/models/models.ts";
import { Network } from "../../src/models/network.ts";
import { type CheckResult, check } from "../../src/nodejs/check.ts";
import { python, reason } from "./torch.ts";

const verdicts = ({ parameters }: CheckResult): string[] =>
  parameters.map(({ name, verdict }) => `${name} ${verdict}`).sort();

/** Two dense layers with an activation between them. */
function layers(op: "Tanh" | "Relu"): Model {
  const net = new Network("layers", { seed: 1 });
  const hidden = net.op(op, "active", [net.linear("first", net.input([5]), 4)]);
  return net.model(net.linear("second", hidden, 3));
}

const { gradient } = ops.Tanh;
afterEach(() => {
  Object.assign(ops.Tanh, { gradient });
});

describe("without PyTorch", () => {
  const alone = { python: null, batch: 3 } as const;

  test("right gradients pass, each measured", async () => {
    const result = await check({ model: layers("Tanh"), ...alone });
    expect(result.isRight).toBe(true);
    expect(result.autograd).toEqual({ skipped: "not asked for" });
    expect(verdicts(result)).toEqual([
      "first.bias ok",
      "first.weight ok",
      "second.bias ok",
      "second.weight ok",
    ]);
    for (const { differences, largest } of result.parameters) {
      expect(differences).toBeLessThan(1e-5);
      expect(largest).toBeGreaterThan(0);
    }
  });

  const broken: [string, (context: GradientContext<never>) => (string | null)[]][] = [
    ["the gradient that passes through as it is", (context) => [context.gradient(0)]],
    [
      "a gradient of nothing",
      (context) => {
        const [x = ""] = context.inputs;
        return [context.constant(zeros(context.type(x)))];
      },
    ],
  ];
  test.each(broken)("%s is off, and what does not need it is not", async (_, rule) => {
    Object.assign(ops.Tanh, { gradient: rule });
    const result = await check({ model: layers("Tanh"), ...alone });
    expect(result.isRight).toBe(false);
    expect(verdicts(result)).toEqual([
      "first.bias off",
      "first.weight off",
      "second.bias ok",
      "second.weight ok",
    ]);
  });

  test("a kink at the model's own weights is looked at from beside", async () => {
    const { graph, weights } = layers("Relu");
    const dead = new Map<string, DenseTensor>(weights);
    for (const [name, value] of weights) if (name.startsWith("first")) dead.set(name, zeros(value));
    const result = await check({ model: { graph, weights: dead }, ...alone });
    expect(result.isRight).toBe(true);
    expect(new Set(result.parameters.map(({ verdict }) => verdict))).toEqual(new Set(["ok"]));
  });

  test.each(["lenet5", "din", "har-cnn"])("%s is right", { timeout: 60_000 }, async (name) => {
    const result = await check({ model: builtInModel(name, { seed: 1 }), python: null });
    expect(result.parameters.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
  });

  test("what is out of time is said to be", async () => {
    const result = await check({ model: layers("Tanh"), ...alone, seconds: 1e-9 });
    expect(new Set(result.parameters.map(({ verdict }) => verdict))).toEqual(
      new Set(["not measured"]),
    );
    expect(result.isRight).toBe(false);
  });

  test("a file without weights is refused", async () => {
    const { graph } = layers("Tanh");
    await expect(check({ model: { graph, weights: new Map() }, ...alone })).rejects.toThrow(
      ModelError,
    );
  });

  test("a Python that is not there is said to be", async () => {
    const result = await check({ model: layers("Tanh"), batch: 2, python: "no-such-python" });
    expect(result.autograd).toEqual({ skipped: "there is no no-such-python" });
    expect(result.isRight).toBe(true);
  });
});

describe("with PyTorch", () => {
  beforeEach(({ skip }) => {
    if (reason !== undefined) skip(reason);
  });

  const onnx = (name: string): Model =>
    readOnnx(
      new Uint8Array(readFileSync(new URL(`../golden/fixtures/${name}.onnx`, import.meta.url))),
    );
  const cases: [string, () => Model][] = [
    ["lenet5", () => builtInModel("lenet5", { seed: 1 })],
    ["bilstm", () => builtInModel("bilstm", { seed: 1 })],
    ["har-cnn, with dropout", () => builtInModel("har-cnn", { seed: 1 })],
    ["a file of operator set 9", () => onnx("exported-9")],
    ["a file of operator set 21", () => onnx("exported-21")],
  ];
  test.each(cases)("%s has its gradients", { timeout: 60_000 }, async (_, model) => {
    const result = await check({ model: model(), python, seconds: 1e-9 });
    expect(result.autograd).toMatchObject({ version: expect.stringMatching(/^\d/) });
    expect(result.isRight).toBe(true);
    for (const { autograd } of result.parameters) expect(autograd).toBeLessThan(1e-3);
  });

  test("a wrong rule is off", { timeout: 60_000 }, async () => {
    Object.assign(ops.Tanh, {
      gradient: (context: GradientContext<never>) => [context.gradient(0)],
    });
    const result = await check({ model: layers("Tanh"), python, seconds: 1e-9 });
    expect(result.isRight).toBe(false);
    expect(verdicts(result).filter((verdict) => verdict.endsWith("off"))).toEqual([
      "first.bias off",
      "first.weight off",
    ]);
  });

  test("what PyTorch's side lacks is named", { timeout: 60_000 }, async () => {
    const result = await check({
      model: builtInModel("vae", { seed: 1 }),
      python,
      seconds: 1e-9,
    });
    expect(result.autograd).toEqual({ skipped: "no RandomNormalLike there" });
  });
});
