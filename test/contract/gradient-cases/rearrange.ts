/** Operators that rearrange or repeat elements. */
import { int64 } from "../../../src/base/tensor.ts";
import { type Check, list } from "../gradients.ts";

export function rearrangeGradients(check: Check): void {
  check("Tile", "along two axes", [[2, 3], list(2, 3)]);
  check("Tile", "along the first of three", [[2, 1, 3], list(3, 1, 1)]);
  check("DepthToSpace", "by default", [[1, 8, 2, 3]], { blocksize: 2 });
  check("DepthToSpace", "as pixel shuffle", [[2, 4, 2, 2]], { blocksize: 2, mode: "CRD" });
  check("SpaceToDepth", "of blocks of two", [[2, 2, 4, 6]], { blocksize: 2 });
  check("Trilu", "the upper triangle", [[2, 3, 4]]);
  check("Trilu", "the lower triangle below the diagonal", [[3, 3], int64([], [-1])], { upper: 0 });
  check("CumSum", "along the first axis", [[4, 3], int64([], [0])]);
  check("CumSum", "backwards, without itself", [[2, 4, 3], int64([], [1])], {
    exclusive: 1,
    reverse: 1,
  });
  check("CumSum", "along the last axis", [[2, 4], int64([], [-1])], { exclusive: 1 });
  const lengths = list(1, 3, 0);
  check("ReverseSequence", "by default", [[4, 3, 2], lengths]);
  check("ReverseSequence", "by rows", [[3, 4], lengths], { batch_axis: 0, time_axis: 1 });
  check("GlobalMaxPool", "of images", [[2, 3, 2, 4]]);
  check("GlobalMaxPool", "of sequences", [[2, 3, 5]]);
}
