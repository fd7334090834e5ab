/** Operators that read and write at indices, and padding by what stands elsewhere. */
import { int64 } from "../../../src/base/tensor.ts";
import { type Check, list } from "../gradients.ts";

export function indexingGradients(check: Check): void {
  const places = int64([2, 3], [0, -1, 2, 2, 0, 2]);
  check("GatherElements", "along the first axis, some twice", [[3, 4], places]);
  check(
    "GatherElements",
    "along the last axis",
    [[2, 4], int64([2, 5], [3, 0, 0, -4, 1, 2, 2, 2, -1, 0])],
    {
      axis: -1,
    },
  );
  const distinct = int64([2, 2], [0, -1, 2, 0]);
  check("ScatterElements", "that writes", [[3, 3], distinct, [2, 2]]);
  check("ScatterElements", "that writes along the last axis", [[2, 4], distinct, [2, 2]], {
    axis: 1,
  });
  check("ScatterElements", "that adds, some twice", [[3, 4], places, [2, 3]], { reduction: "add" });

  const tuples = int64([3, 2], [0, 1, -1, 0, 0, 1]);
  check("GatherND", "of elements", [[2, 3], tuples]);
  check("GatherND", "of slices", [[2, 3, 2], tuples]);
  check("GatherND", "of rows, some twice", [[3, 2], int64([2, 2, 1], [0, 2, 0, -1])]);
  check("GatherND", "in batches", [[2, 3, 4], int64([2, 2, 1], [1, 0, -1, 2])], { batch_dims: 1 });
  check("GatherND", "in batches of two axes", [[2, 2, 3], int64([2, 2, 1], [1, 0, 2, 1])], {
    batch_dims: 2,
  });
  const apart = int64([2, 2], [0, 1, -1, 2]);
  check("ScatterND", "that writes elements", [[2, 3], apart, [2]]);
  check("ScatterND", "that writes slices", [[2, 3, 2], apart, [2, 2]]);
  check("ScatterND", "that adds, some twice", [[2, 3, 2], tuples, [3, 2]], { reduction: "add" });

  const classes = int64([2, 2], [0, -1, 5, 2]);
  check("OneHot", "with trained values", [classes, int64([], [3]), [2]]);
  check("OneHot", "along the first axis", [classes, list(3), [2]], { axis: 0 });

  for (const mode of ["reflect", "edge", "wrap"]) {
    check("Pad", `by ${mode}`, [[2, 3, 4], list(0, 2, 1, 0, 0, 3)], { mode });
    check("Pad", `by ${mode}, of one axis`, [[3, 4], list(1, 2), null, list(-2)], { mode });
    check("Pad", `by ${mode}, at one end`, [[4], list(3, 0)], { mode });
  }
}
