/** Arithmetic, circular and hyperbolic functions, bounds and casts. */
import { type DenseTensor, float32, int64, tensor } from "../../../src/base/tensor.ts";
import { type Check, list, positive, spread } from "../gradients.ts";

export function elementwiseGradients(check: Check): void {
  const everywhere = ["Abs", "Erf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan"] as const;
  for (const op of everywhere) check(op, "of a matrix", [[3, 4]]);
  for (const op of ["Sinh", "Cosh", "Asinh", "Atanh"] as const) check(op, "of a matrix", [[3, 4]]);
  check("Erf", "of larger numbers", [spread([2, 3], 1, 2)]);
  check("Acosh", "of numbers above 1", [spread([3, 4], 1, 2.1)]);
  check("Reciprocal", "of positive numbers", [positive([3, 4])]);
  // Halves, where Round jumps, are not among the spread values.
  for (const op of ["Floor", "Ceil", "Round"] as const) check(op, "of a matrix", [[3, 4]]);
  powers(check);
  extremes(check);
  for (const op of ["Sum", "Mean"] as const) {
    check(op, "of one", [[2, 3]]);
    check(op, "of three that broadcast", [[2, 3], [3], [2, 1]]);
  }
  const remainder = { fmod: 1 };
  check("Mod", "with the sign of the dividend", [spread([2, 3], 1, 4), positive([3])], remainder);
  check("Mod", "of negative numbers", [spread([2, 3], 1, -4), positive([2, 1])], remainder);
}

/** One number, trained like any input. */
const number = (value: number): DenseTensor => tensor("float64", [], Float64Array.of(value));

function powers(check: Check): void {
  check("Pow", "of two tensors", [positive([2, 3]), [2, 3]]);
  check("Pow", "with broadcasts", [positive([2, 1]), [3]]);
  check("Pow", "with one exponent", [positive([2, 3]), number(1.7)]);
  check("Pow", "of one base", [number(2), [2, 3]]);
  // Inputs of type float64 are trained here; fixed exponents are of other types.
  for (const p of [-2, -1, 0.5, 1, 1.5, 2, 3, 2.25]) {
    check("Pow", `to the fixed power ${p}`, [positive([2, 3]), float32([], [p])]);
  }
  check("Pow", "to a fixed power of integers", [[2, 3], int64([1, 1], [3])]);
  check("Pow", "to several fixed powers", [positive([2, 3]), float32([3], [2, 0.5, -1])]);
  check("Pow", "to fixed powers, one of them 0", [positive([2, 3]), list(2, 0, 1)]);
}

function extremes(check: Check): void {
  for (const op of ["Max", "Min"] as const) {
    check(op, "of one", [[2, 3]]);
    check(op, "of two", [
      [2, 3],
      [2, 3],
    ]);
    check(op, "with broadcasts", [
      [2, 1, 3],
      [4, 1],
    ]);
    check(op, "of four that broadcast", [[2, 3], [3], [2, 1], []]);
  }
  check("Clip", "without bounds", [[2, 3]]);
  check("Clip", "with trained bounds", [[3, 4], number(-0.4), number(0.31)]);
  check("Clip", "with a trained lower bound", [[3, 4], number(-0.4)]);
  check("Clip", "with a trained upper bound", [[3, 4], null, number(0.31)]);
}
