/** Normalisation in every form. */
import { type Check, positive } from "../gradients.ts";

export function normalizationGradients(check: Check): void {
  check("LayerNormalization", "of the last axis", [[3, 4], [4], [4]]);
  check("LayerNormalization", "without bias", [[2, 3, 4], [4]]);
  check(
    "LayerNormalization",
    "of two axes",
    [
      [2, 3, 4],
      [3, 4],
      [3, 4],
    ],
    { axis: 1 },
  );
  check("LayerNormalization", "with a scale that broadcasts", [[2, 3, 4], [4], [3, 1]], {
    axis: 1,
  });
  for (const [form, x] of [
    ["of images", [2, 3, 2, 2]],
    ["of vectors", [4, 3]],
    ["of sequences", [2, 3, 5]],
  ] as const) {
    check("BatchNormalization", form, [x, [3], [3], [3], positive([3])]);
    if (x.length > 2) check("InstanceNormalization", form, [x, [3], [3]]);
  }
  check("GroupNormalization", "in two groups", [[2, 4, 3], [4], [4]], { num_groups: 2 });
  check("GroupNormalization", "in one group", [[2, 3, 2, 2], [3], [3]], { num_groups: 1 });
  check("RMSNormalization", "of the last axis", [[3, 4], [4]]);
  check(
    "RMSNormalization",
    "of two axes",
    [
      [2, 3, 4],
      [3, 4],
    ],
    { axis: -2, epsilon: 1e-3 },
  );
  check("LpNormalization", "by the L2 norm", [[3, 4]]);
  check("LpNormalization", "by the L1 norm along the first axis", [[3, 4]], { axis: 0, p: 1 });
  check("MeanVarianceNormalization", "over images", [[2, 3, 2, 2]]);
  check("MeanVarianceNormalization", "over one axis", [[3, 4]], { axes: [1] });
  check("LRN", "over three channels", [[2, 5, 3]], { size: 3, alpha: 0.5, beta: 0.75, bias: 1 });
  check("LRN", "over an even number of channels", [positive([1, 4, 2, 2])], {
    size: 2,
    alpha: 0.3,
  });
}
