/** Reductions and rankings: what PyTorch's records leave open, and refusals. */
import { describe, expect, test } from "vitest";
import { list } from "../../../test/contract/gradients.ts";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { float32, tensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { specialize } from "../specialize.ts";
import type { OpName } from "./table.ts";

const refusals: [OpName, readonly Input[], Attributes, RegExp][] = [
  ["ReduceMin", [[2, 3]], { axes: [2] }, /axis 2: allowed: -2 to 1/],
  ["ReduceProd", [[2, 3]], { axes: [0, -2] }, /name one axis twice/],
  ["ReduceMax", [[2, 3], list(1)], {}, /2 inputs; allowed: 1 to 1/],
  ["ReduceMean", [[2, 3]], { noop_with_empty_axes: 1 }, /noop_with_empty_axes is not supported/],
  ["ReduceSum", [[2, 3]], { axes: [1] }, /attribute axes is not supported/],
  ["ReduceL1", [[2, 3]], { keepdims: 2 }, /keepdims: got 2/],
  ["ArgMin", [[2, 3]], { axis: 2 }, /axis 2: allowed: -2 to 1/],
  ["TopK", [[2, 3], list(4)], {}, /4 elements along axis 1; allowed: 0 to 3/],
  ["TopK", [[2, 3], [1]], {}, /\(input 1\) must be a constant/],
];

describe("what does not fit is refused with what is allowed", () => {
  test.each(refusals)("%s: %4$s", (op, inputs, attributes, message) => {
    expect(() => emit(op, inputs, attributes)).toThrow(ModelError);
    expect(() => emit(op, inputs, attributes)).toThrow(message);
  });
});

describe("reference kernels", () => {
  test("the logarithm of a sum of exponentials neither overflows nor starts from nothing", () => {
    const x = tensor("float64", [2, 2], Float64Array.of(1000, 1000, -Infinity, 3));
    const { values } = evaluate("ReduceLogSumExp", [x], { axes: [1], keepdims: 0 });
    expect(values).toEqual([1000 + Math.LN2, 3]);
    const none = tensor("float64", [2], Float64Array.of(-Infinity, -Infinity));
    expect(evaluate("ReduceLogSumExp", [none], { keepdims: 0 }).values).toEqual([-Infinity]);
  });

  test("a scalar is reduced to itself", () => {
    for (const op of ["ReduceMin", "ReduceProd", "ReduceSumSquare"] as const) {
      expect(evaluate(op, [float32([], [1])])).toMatchObject({ shape: [], values: [1] });
    }
  });

  test("the largest elements come in order, equal ones as they stood", () => {
    const x = float32([5], [2, 7, 7, 1, 9]);
    expect(evaluate("TopK", [x, list(3)]).values).toEqual([9, 7, 7]);
    const builder = new GraphBuilder("top");
    const [, indices = ""] = builder.emitAll(
      "TopK",
      [builder.constant(x), builder.constant(list(3))],
      {},
      2,
    );
    const { constants } = specialize(builder.graph([indices]), {});
    expect(Array.from(constants.get(indices)?.data ?? [], Number)).toEqual([4, 1, 2]);
  });
});

test("elements that may come in any order are asked for in order, and with their places", () => {
  const builder = new GraphBuilder("top");
  builder.input("x", { dtype: "float32", shape: [5] });
  const y = builder.emit("TopK", ["x", builder.constant(list(3))], { sorted: 0, largest: 0 });
  const { nodes } = specialize(builder.graph([y]), {});
  expect(nodes).toMatchObject([{ op: "TopK", attributes: { axis: -1, largest: 0 } }]);
  expect(nodes[0]?.outputs.length).toBe(2);
});
