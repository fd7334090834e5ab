/**
 * Gradients against central finite differences: every operator in every form of
 * its attributes, then two whole models with their loss.
 */
import { describe, expect, test } from "vitest";
import { activationGradients } from "../../../test/contract/gradient-cases/activation.ts";
import { attentionGradients } from "../../../test/contract/gradient-cases/attention.ts";
import { convolutionGradients } from "../../../test/contract/gradient-cases/convolution.ts";
import { coreGradients } from "../../../test/contract/gradient-cases/core.ts";
import { einsumGradients } from "../../../test/contract/gradient-cases/einsum.ts";
import { elementwiseGradients } from "../../../test/contract/gradient-cases/elementwise.ts";
import { indexingGradients } from "../../../test/contract/gradient-cases/indexing.ts";
import { normalizationGradients } from "../../../test/contract/gradient-cases/normalization.ts";
import { rearrangeGradients } from "../../../test/contract/gradient-cases/rearrange.ts";
import { recurrentGradients } from "../../../test/contract/gradient-cases/recurrent.ts";
import { reductionGradients } from "../../../test/contract/gradient-cases/reduction.ts";
import { resizeGradients } from "../../../test/contract/gradient-cases/resize.ts";
import {
  casesOf,
  expectGradients,
  type Scalar,
  spread,
  weightedSum,
} from "../../../test/contract/gradients.ts";
import { type DenseTensor, int64 } from "../../base/tensor.ts";
import { differentiate } from "../autodiff.ts";
import { GraphBuilder } from "../builder.ts";
import { emitLoss, lossSpec } from "../loss.ts";
import { type OpName, ops } from "./table.ts";

/** One entry per family of operators. */
const cases = casesOf([
  coreGradients,
  activationGradients,
  attentionGradients,
  convolutionGradients,
  elementwiseGradients,
  einsumGradients,
  indexingGradients,
  normalizationGradients,
  rearrangeGradients,
  recurrentGradients,
  reductionGradients,
  resizeGradients,
]);

/** Steps: their gradient is zero, which is never emitted. */
const steps: readonly OpName[] = ["Sign", "Floor", "Ceil", "Round"];

describe("operators agree with finite differences", () => {
  test.each(cases)("$name", (entry) => {
    const scalar = weightedSum(entry);
    const expected = steps.includes(entry.op) ? 0 : scalar.feeds.size;
    expect(scalar.gradients.size).toBe(expected);
    expectGradients(scalar);
  });

  test("every operator that has a gradient is among them", () => {
    const names = Object.keys(ops) as OpName[];
    const differentiable = names.filter((op) => typeof ops[op].gradient !== "string");
    const covered = new Set(cases.map(({ op }) => op));
    expect(differentiable.filter((op) => !covered.has(op))).toEqual([]);
  });
});

/** A small network in float64: a loss over drawn parameters and images. */
function network(
  image: readonly number[],
  classes: number,
  layers: (builder: GraphBuilder, parameter: (shape: readonly number[]) => string) => string,
): Scalar {
  const builder = new GraphBuilder("network");
  const feeds = new Map<string, DenseTensor>([
    ["input", spread(image, 5)],
    ["labels", int64([image[0] as number], [2, 0, 1].slice(0, image[0]))],
  ]);
  builder.input("input", feeds.get("input") as DenseTensor);
  builder.input("labels", feeds.get("labels") as DenseTensor);
  const parameter = (shape: readonly number[]): string => {
    const name = `p${feeds.size}`;
    feeds.set(name, spread(shape, feeds.size));
    return builder.parameter(name, { dtype: "float64", shape });
  };
  const logits = layers(builder, parameter);
  expect(builder.type(logits).shape[1]).toBe(classes);
  const ends = { output: logits, labels: "labels" };
  const { loss, seeds } = emitLoss(builder, lossSpec("softmax-cross-entropy"), ends);
  const wanted = [...feeds.keys()].filter((name) => name !== "labels");
  const gradients = differentiate(builder, seeds, new Set(wanted));
  expect([...gradients.keys()].sort()).toEqual(wanted.sort());
  return { graph: builder.graph([loss, ...gradients.values()]), output: loss, gradients, feeds };
}

const square = { kernel_shape: [2, 2], strides: [2, 2] };

describe("whole networks agree with finite differences", () => {
  test("a perceptron with two layers", () => {
    expectGradients(
      network([3, 4], 3, (builder, parameter) => {
        const hidden = builder.emit("Gemm", ["input", parameter([5, 4]), parameter([5])], {
          transB: 1,
        });
        const active = builder.emit("Tanh", [hidden]);
        return builder.emit("Gemm", [active, parameter([3, 5]), parameter([3])], { transB: 1 });
      }),
    );
  });

  test("a convolutional network with pooling and a residual branch", () => {
    expectGradients(
      network([2, 1, 6, 6], 3, (builder, parameter) => {
        const conv = (x: string, filters: number, channels: number): string =>
          builder.emit("Conv", [x, parameter([filters, channels, 3, 3]), parameter([filters])], {
            pads: [1, 1, 1, 1],
          });
        const first = builder.emit("MaxPool", [conv("input", 2, 1)], square);
        const active = builder.emit("Relu", [first]);
        const sum = builder.emit("Add", [active, conv(active, 2, 2)]);
        const mean = builder.emit("GlobalAveragePool", [sum]);
        const flat = builder.emit("Flatten", [mean]);
        return builder.emit("Gemm", [flat, parameter([3, 2]), parameter([3])], { transB: 1 });
      }),
    );
  });
});
