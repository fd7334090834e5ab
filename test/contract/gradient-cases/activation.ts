/** Activation functions, on both sides of their kinks. */
import { type Check, spread } from "../gradients.ts";

export function activationGradients(check: Check): void {
  const x = [3, 5];
  /** From -4 to 4, where the functions that end in straight lines have reached them. */
  const wide = spread(x, 1);
  wide.data.forEach((value, i) => {
    wide.data[i] = 4 * Number(value);
  });
  for (const op of ["Softplus", "Softsign", "HardSwish", "Mish", "Gelu", "Swish"] as const) {
    check(op, "of a matrix", [wide]);
  }
  check("Gelu", "by tanh", [wide], { approximate: "tanh" });
  check("Swish", "with a factor", [wide], { alpha: 1.5 });
  for (const op of ["LeakyRelu", "Elu", "Celu", "Selu"] as const) {
    check(op, "by default", [wide]);
    check(op, "with alpha", [wide], { alpha: 0.3 });
    check(op, "with a negative alpha", [wide], { alpha: -0.3 });
  }
  check("Selu", "with gamma", [wide], { alpha: 1.2, gamma: 2 });
  check("PRelu", "with a slope for each channel", [wide, [5]]);
  check("PRelu", "with one slope", [[2, 3, 2], []]);
  check("PRelu", "with a slope for each element", [
    [2, 3],
    [2, 3],
  ]);
  check("PRelu", "with a slope for each row", [
    [2, 3, 2],
    [3, 1],
  ]);
  check("HardSigmoid", "by default", [wide]);
  check("HardSigmoid", "with a slope and an offset", [wide], { alpha: 0.6, beta: 0.1 });
  check("ThresholdedRelu", "by default", [wide]);
  check("ThresholdedRelu", "with a negative threshold", [wide], { alpha: -0.5 });
  check("Shrink", "by default, hard", [wide]);
  check("Shrink", "soft", [wide], { lambd: 0.7, bias: 0.7 });
}
