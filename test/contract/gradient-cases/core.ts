/** The operators of feed-forward networks: convolution, pooling, dense layers, element-wise, shapes. */
import { int64, tensor } from "../../../src/base/tensor.ts";
import { castCode } from "../../../src/compile/ops/elementwise.ts";
import { type Check, list, positive, truths } from "../gradients.ts";

export function coreGradients(check: Check): void {
  for (const op of ["Neg", "Exp", "Relu", "Sigmoid", "Tanh", "Sign", "Identity"] as const) {
    check(op, "of a matrix", [[3, 4]]);
  }
  check("Sqrt", "of positive numbers", [positive([3, 4])]);
  check("Log", "of positive numbers", [positive([3, 4])]);
  for (const op of ["Add", "Sub", "Mul", "Div"] as const) {
    check(op, "of equal shapes", [[2, 3], positive([2, 3])]);
    check(op, "with a row", [[2, 3], positive([3])]);
    check(op, "with a column", [[2, 1, 4], positive([3, 1])]);
    check(op, "with a scalar first", [[], positive([2, 3])]);
  }
  check("Cast", "to its own type", [[2, 3]], { to: castCode("float64") });
  check("Where", "of one shape", [truths([2, 2], [1, 0, 0, 1]), [2, 2], [2, 2]]);
  check("Where", "with broadcasts", [truths([2, 1], [1, 0]), [3], [2, 3]]);

  check("Gemm", "plain", [[2, 3], [3, 4], [4]]);
  check("Gemm", "without the third input", [
    [2, 3],
    [3, 4],
  ]);
  check(
    "Gemm",
    "scaled",
    [
      [2, 3],
      [3, 4],
      [2, 1],
    ],
    { alpha: 0.5, beta: -2 },
  );
  check("Gemm", "left side transposed", [[3, 2], [3, 4], []], { transA: 1, alpha: 1.5 });
  check(
    "Gemm",
    "right side transposed",
    [
      [2, 3],
      [4, 3],
      [2, 4],
    ],
    { transB: 1 },
  );
  check(
    "Gemm",
    "both transposed",
    [
      [3, 2],
      [4, 3],
      [1, 4],
    ],
    { transA: 1, transB: 1 },
  );
  check("MatMul", "of matrices", [
    [2, 3],
    [3, 4],
  ]);
  check("MatMul", "of vectors", [[3], [3]]);
  check("MatMul", "of a vector and a matrix", [[3], [3, 2]]);
  check("MatMul", "of batches and a vector", [[2, 4, 3], [3]]);
  check("MatMul", "of batches and one matrix", [
    [2, 4, 3],
    [3, 2],
  ]);
  check("MatMul", "of one matrix and batches", [
    [4, 3],
    [2, 3, 2],
  ]);
  check("MatMul", "of broadcast batches", [
    [2, 1, 2, 3],
    [3, 3, 2],
  ]);

  check("Conv", "with bias", [[2, 2, 5, 4], [3, 2, 3, 2], [3]]);
  check("Conv", "1x1", [[2, 3, 3, 2], [4, 3, 1, 1], [4]]);
  check(
    "Conv",
    "1x1 with strides",
    [
      [2, 3, 4, 5],
      [2, 3, 1, 1],
    ],
    { strides: [2, 3] },
  );
  check(
    "Conv",
    "padded unevenly",
    [
      [2, 2, 4, 4],
      [2, 2, 3, 3],
    ],
    { pads: [1, 0, 2, 1] },
  );
  check(
    "Conv",
    "strided with a rest",
    [
      [1, 2, 6, 7],
      [2, 2, 3, 2],
    ],
    { strides: [2, 3] },
  );
  check(
    "Conv",
    "dilated",
    [
      [1, 2, 7, 6],
      [2, 2, 3, 2],
    ],
    { dilations: [2, 3] },
  );
  check("Conv", "all at once", [[2, 2, 8, 7], [3, 2, 2, 3], [3]], {
    strides: [2, 1],
    dilations: [3, 2],
    pads: [1, 2, 0, 1],
  });
  check("Conv", "many channels", [[2, 10, 4, 3], [2, 10, 2, 2], [2]], { pads: [0, 1, 1, 0] });
  check(
    "Conv",
    "many channels, strided",
    [
      [1, 9, 6, 5],
      [2, 9, 3, 2],
    ],
    {
      strides: [2, 2],
      dilations: [1, 2],
    },
  );
  check("Conv", "in groups", [[2, 4, 4, 3], [6, 2, 2, 2], [6]], { group: 2, pads: [1, 0, 0, 1] });
  check(
    "Conv",
    "depthwise, strided with a rest",
    [
      [2, 3, 6, 6],
      [6, 1, 3, 3],
    ],
    {
      group: 3,
      strides: [2, 2],
    },
  );
  check(
    "Conv",
    "padded to the same size",
    [
      [1, 2, 5, 4],
      [2, 2, 2, 3],
    ],
    { auto_pad: "SAME_UPPER" },
  );
  check(
    "Conv",
    "padded to the same size, low side first",
    [
      [1, 2, 5, 6],
      [2, 2, 2, 3],
    ],
    {
      auto_pad: "SAME_LOWER",
      strides: [2, 2],
    },
  );
  check("Conv", "in one dimension", [[2, 2, 7], [3, 2, 3], [3]], { strides: [2], pads: [1, 1] });

  const square = { kernel_shape: [2, 2], strides: [2, 2] };
  check("MaxPool", "windows that tile", [[2, 2, 4, 6]], square);
  check("MaxPool", "tall windows that tile", [[1, 2, 6, 2]], {
    kernel_shape: [3, 1],
    strides: [3, 1],
  });
  check("MaxPool", "disjoint windows with a rest", [[1, 2, 5, 7]], square);
  check("MaxPool", "windows with gaps", [[1, 1, 7, 7]], { kernel_shape: [2, 2], strides: [3, 3] });
  check("MaxPool", "overlapping windows", [[2, 1, 5, 5]], {
    kernel_shape: [3, 3],
    strides: [1, 2],
  });
  check("MaxPool", "padded windows", [[1, 2, 4, 5]], { ...square, pads: [1, 0, 1, 1] });
  check("MaxPool", "windows beyond the end", [[1, 2, 5, 5]], { ...square, ceil_mode: 1 });
  check("MaxPool", "a window larger than the input", [[1, 2, 1, 4]], { ...square, ceil_mode: 1 });
  check("MaxPool", "dilated windows", [[1, 1, 6, 6]], { kernel_shape: [2, 3], dilations: [3, 2] });
  check("MaxPool", "in one dimension, tiled", [[2, 2, 6]], { kernel_shape: [3], strides: [3] });
  check("MaxPool", "in one dimension, overlapping", [[2, 2, 6]], { kernel_shape: [3] });
  check("AveragePool", "windows that tile", [[2, 2, 4, 6]], square);
  check("AveragePool", "overlapping windows with a rest", [[1, 2, 5, 6]], {
    kernel_shape: [2, 3],
    strides: [2, 2],
  });
  check("AveragePool", "padding not counted", [[1, 2, 4, 4]], { ...square, pads: [1, 1, 0, 1] });
  check("AveragePool", "padding counted", [[1, 2, 4, 4]], {
    ...square,
    pads: [1, 1, 1, 1],
    count_include_pad: 1,
  });
  check("AveragePool", "windows beyond the end", [[1, 2, 5, 5]], { ...square, ceil_mode: 1 });
  check("AveragePool", "in one dimension", [[2, 2, 7]], { kernel_shape: [3], strides: [2] });
  check("GlobalAveragePool", "of images", [[2, 3, 2, 4]]);
  const upscaled = {
    mode: "nearest",
    coordinate_transformation_mode: "asymmetric",
    nearest_mode: "floor",
  };
  const scales = tensor("float32", [4], Float32Array.of(1, 1, 2, 3));
  check("Resize", "by whole factors", [[1, 2, 2, 3], null, scales], upscaled);

  check("Reshape", "with a copied and an open size", [[2, 3, 4], list(0, -1)]);
  check("Flatten", "by default", [[2, 3, 4]]);
  check("Flatten", "at a negative axis", [[2, 3, 4]], { axis: -1 });
  check("Squeeze", "of all axes of size 1", [[1, 3, 1]]);
  check("Squeeze", "of one axis", [[1, 3, 1], list(-1)]);
  check("Unsqueeze", "at two places", [[2, 3], list(0, -1)]);
  check("Transpose", "by default", [[2, 3, 4]]);
  check("Transpose", "by a permutation", [[2, 3, 4]], { perm: [1, 2, 0] });
  check("Expand", "with a new axis", [[3, 1], list(2, 1, 4)]);
  check(
    "Concat",
    "of three",
    [
      [2, 1],
      [2, 3],
      [2, 2],
    ],
    { axis: -1 },
  );
  check("Slice", "of two axes", [[4, 5], list(1, -3), list(3, 100), list(0, -1)]);
  check("Slice", "with steps", [[7, 5], list(1, 0), list(6, 5), list(0, 1), list(2, 3)]);
  check("Slice", "backwards", [[5, 3], list(-1), list(-100), list(0), list(-2)]);
  check("Pad", "with zeros", [[2, 3], list(1, 0, 0, 2)]);
  check("Pad", "of one axis", [[2, 3], list(1, 2), null, list(-1)]);
  check("Pad", "that crops", [[4, 5], list(-1, 2, 1, -3)]);
  check("Gather", "of rows, some twice", [[4, 3], int64([2, 2], [0, 3, -1, 1])]);
  check("Gather", "of one column", [[3, 4], int64([], [2])], { axis: 1 });

  check("ReduceSum", "of all", [[2, 3]]);
  check("ReduceSum", "of an axis, kept", [[2, 3, 2], list(1)]);
  check("ReduceSum", "of axes, dropped", [[2, 3, 2], list(0, -1)], { keepdims: 0 });
  check("ReduceSum", "of nothing", [[2, 3]], { noop_with_empty_axes: 1 });
  check("ReduceMean", "of all", [[2, 3]], { keepdims: 0 });
  check("ReduceMean", "of axes", [[2, 3, 2]], { axes: [-1, 0] });
  check("ReduceMax", "of an axis", [[3, 4]], { axes: [1] });
  check("ReduceMax", "of all", [[3, 4]], { keepdims: 0 });
  check("Softmax", "along the last axis", [[2, 4]]);
  check("Softmax", "along a middle axis", [[2, 3, 2]], { axis: 1 });
  check("LogSoftmax", "along the last axis", [[2, 4]]);
  check("LogSoftmax", "along the first axis", [[3, 2]], { axis: 0 });
}
