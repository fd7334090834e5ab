import { describe, expect, test } from "vitest";
import { recurrentGradients } from "../../../test/contract/gradient-cases/recurrent.ts";
import { type Check, casesOf, weightedSum } from "../../../test/contract/gradients.ts";
import { type DenseTensor, float32, tensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import { specialize } from "../specialize.ts";

const cases = casesOf([recurrentGradients]).filter(({ op }) => op !== "Split");

describe("recurrent networks written out step by step", () => {
  test.each(cases)("leave no such operator: $name", (entry) => {
    const { op, inputs, attributes = {}, outputs = 1 } = entry;
    const builder = new GraphBuilder("case");
    const names = inputs.map((value, i) =>
      value === null ? "" : builder.input(`input${i}`, value),
    );
    const graph = builder.graph(builder.emitAll(op, names, attributes, outputs));
    expect(specialize(graph, {}).nodes.some((node) => node.op === op)).toBe(false);
  });

  test("multiply the inputs of all steps at once, and the state once per step", () => {
    const lstm = cases.find(({ name }) => name === "LSTM: with all its outputs");
    if (lstm === undefined) throw new Error("the case is missing");
    const { graph } = weightedSum(lstm);
    const forward = graph.nodes.filter(
      ({ op, attributes }) => op === "Gemm" && attributes.transA !== 1,
    );
    // One for the inputs, three steps; the gradients of the states and of the inputs come after.
    expect(forward.slice(0, 4).map(({ name }) => name.split("/")[0])).toEqual(
      Array(4).fill("lstm_1"),
    );
  });

  const shapes: Parameters<Check>[2] = [
    [2, 1, 3],
    [1, 4, 3],
    [1, 4, 1],
  ];
  test.each<[what: string, inputs: Parameters<Check>[2], attributes: object, message: RegExp]>([
    [
      "weights of another width",
      [[2, 1, 5], ...shapes.slice(1)],
      {},
      /W is .*allowed: shape \[1,4,5\]/,
    ],
    [
      "unequal lengths",
      [...shapes, null, tensor("int32", [1], Int32Array.of(2))],
      {},
      /sequence_lens/,
    ],
    [
      "an unknown function",
      shapes,
      { activations: ["Sigmoid", "Tanh", "Elu"] },
      /got \[Sigmoid,Tanh,Elu\]; allowed: 3 of/,
    ],
    ["another hidden size", shapes, { hidden_size: 7 }, /got 7; allowed: 1/],
  ])("refuse %s", (_what, inputs, attributes, message) => {
    const builder = new GraphBuilder("case");
    const names = inputs.map((input, i) => {
      if (input === null) return "";
      const value = Array.isArray(input)
        ? float32(input, new Array(input.reduce((a, b) => a * b, 1)).fill(0))
        : input;
      return builder.input(`input${i}`, value as DenseTensor);
    });
    expect(() => builder.emit("LSTM", names, { ...attributes })).toThrow(message);
  });
});
