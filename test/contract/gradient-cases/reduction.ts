/** Reductions over axes, and the largest elements. */
import { tensor } from "../../../src/base/tensor.ts";
import { type Check, list, positive } from "../gradients.ts";

export function reductionGradients(check: Check): void {
  const ops = [
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
  ] as const;
  for (const op of ops) {
    check(op, "of all", [positive([2, 3])]);
    check(op, "of all, dropped", [positive([2, 3])], { keepdims: 0 });
    check(op, "of an axis, kept", [positive([2, 3, 2])], { axes: [1] });
    check(op, "of axes, dropped", [positive([2, 3, 2])], { axes: [-1, 0], keepdims: 0 });
  }
  for (const op of ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd"] as const) {
    check(op, "of numbers of both signs", [[3, 4]], { axes: [1] });
  }
  // Rows with no zero, with one, with two.
  const zeros = tensor("float64", [3, 3], Float64Array.of(2, -3, 0.5, 4, 0, -2, 0, 3, 0));
  check("ReduceProd", "with zeros", [zeros], { axes: [1], keepdims: 0 });
  check("TopK", "along the last axis", [[3, 5], list(2)]);
  check("TopK", "of the smallest along a middle axis", [[2, 4, 3], list(3)], {
    axis: 1,
    largest: 0,
  });
}
