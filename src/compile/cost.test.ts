import { expect, test } from "vitest";
import { GraphBuilder } from "./builder.ts";
import { segmentCosts } from "./cost.ts";
import type { Graph } from "./graph.ts";
import { lossSpec } from "./loss.ts";
import { optimizerSpec } from "./optimizer.ts";
import { segmentModel } from "./segment.ts";

/** Two convolutions and a linear layer, on four images. */
function model(): Graph {
  const builder = new GraphBuilder("model");
  const parameter = (name: string, ...shape: number[]): string =>
    builder.parameter(name, { dtype: "float32", shape });
  const x = builder.input("x", { dtype: "float32", shape: [4, 1, 28, 28] });
  const first = [x, parameter("w1", 6, 1, 5, 5), parameter("b1", 6)];
  const conv1 = builder.emit("Conv", first, { pads: [2, 2, 2, 2] }, "conv1");
  const square = { kernel_shape: [2, 2], strides: [2, 2] };
  const pool1 = builder.emit("MaxPool", [conv1], square, "pool1");
  const second = [pool1, parameter("w2", 16, 6, 5, 5), parameter("b2", 16)];
  const conv2 = builder.emit("Conv", second, {}, "conv2");
  const flatten = builder.emit("Flatten", [conv2], {}, "flatten");
  const linear = [flatten, parameter("w3", 10, 1600), parameter("b3", 10)];
  return builder.graph([builder.emit("Gemm", linear, { transB: 1 }, "fc")]);
}

const costs = (momentum: number) => {
  const graph = model();
  return segmentCosts(graph, segmentModel(graph), {
    loss: lossSpec("softmax-cross-entropy"),
    optimizer: optimizerSpec("sgd", { momentum }),
  });
};

test("forward work is counted as multiplications and additions", () => {
  const forward = Object.fromEntries(costs(0).map((cost) => [cost.name, cost.forwardFlops]));
  expect(forward).toMatchObject({
    // 4 images x 6 filters x 28 x 28 positions x (5 x 5 multiply-adds + bias)
    conv1: 4 * 6 * 28 * 28 * (2 * 25 + 1),
    conv2: 4 * 16 * 10 * 10 * (2 * 6 * 25 + 1),
    flatten: 0,
    fc: 4 * 10 * (2 * 1600 + 1),
  });
});

test("backward work of a layer is its two products, of the first layer only one", () => {
  const [conv1, , conv2] = costs(0);
  const sumOfGradients = (filters: number, positions: number): number => 4 * filters * positions;
  expect(conv1?.backwardFlops).toBe(4 * 6 * 784 * 2 * 25 + sumOfGradients(6, 784));
  expect(conv2?.backwardFlops).toBe(2 * 4 * 16 * 100 * 2 * 150 + sumOfGradients(16, 100));
});

test("bytes of parameters, state, output and saved activations", () => {
  const [conv1, pool1] = costs(0.9);
  const bytes = 4;
  expect(conv1).toMatchObject({
    parameterBytes: bytes * (6 * 25 + 6),
    stateBytes: bytes * (6 * 25 + 6),
    outputs: [{ name: "conv1", dtype: "float32", shape: [4, 6, 28, 28], hasGradient: true }],
    savedBytes: bytes * 4 * 784,
  });
  expect(pool1).toMatchObject({
    parameterBytes: 0,
    stateBytes: 0,
    savedBytes: bytes * 4 * 6 * (784 + 196),
  });
  expect(costs(0)[0]?.stateBytes).toBe(0);
});
