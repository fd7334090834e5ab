/** What operators refuse, and by hand what those compute that PyTorch's records do not cover. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, float32, int64, tensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { interpret } from "../interpret.ts";
import { type OpName, ops } from "./table.ts";

const list = (...values: number[]): DenseTensor => int64([values.length], values);

const refusals: [OpName, readonly Input[], Attributes, RegExp][] = [
  ["Add", [[2, 3], [2]], {}, /shapes \[2,3\] and \[2\] do not broadcast/],
  ["Add", [[1], list(1)], {}, /float32\[1\] and int64\[1\] differ in element type/],
  ["Relu", [list(1)], {}, /input is int64\[1\]; allowed: float32, float64, float16/],
  ["Cast", [[1]], { to: 8 }, /attribute to: got 8; allowed: .*1 \(float32\)/],
  ["Where", [[1], [1], [1]], {}, /the condition is float32\[1\]; allowed: bool/],
  [
    "Gemm",
    [
      [2, 3],
      [4, 5],
    ],
    {},
    /inner sizes 3 and 4/,
  ],
  ["Gemm", [[2, 3], [3, 5], [2]], {}, /shapes \[2\] and \[2,5\] do not broadcast/],
  [
    "Gemm",
    [
      [2, 3],
      [3, 5],
      [2, 2, 5],
    ],
    {},
    /float32\[2,2,5\] does not broadcast to \[2,5\]/,
  ],
  [
    "Gemm",
    [
      [2, 3],
      [3, 5],
    ],
    { alpha: "one" },
    /attribute alpha: got "one"; allowed: a number/,
  ],
  [
    "Gemm",
    [
      [2, 3],
      [3, 5],
    ],
    { transA: 2 },
    /attribute transA: got 2; allowed: an integer from 0 to 1/,
  ],
  [
    "MatMul",
    [
      [2, 3],
      [2, 3],
    ],
    {},
    /inner sizes 3 and 2/,
  ],
  ["MatMul", [[], [2]], {}, /a scalar has no rows/],
  [
    "Conv",
    [
      [1, 3, 8, 8],
      [4, 2, 3, 3],
    ],
    {},
    /in 1 group\(s\): allowed: 2 channels/,
  ],
  [
    "Conv",
    [
      [1, 4, 8, 8],
      [3, 2, 3, 3],
    ],
    { group: 2 },
    /filters that 2 divides/,
  ],
  ["Conv", [[1, 1, 8, 8], [4, 1, 3, 3], [3]], {}, /the bias is float32\[3\]; allowed: shape \[4\]/],
  [
    "Conv",
    [
      [1, 1, 2, 8],
      [4, 1, 3, 3],
    ],
    {},
    /a window of 3 does not fit into size 2/,
  ],
  [
    "Conv",
    [
      [1, 1, 4, 4, 4],
      [1, 1, 1, 1, 1],
    ],
    {},
    /allowed: 3 to 4 dimensions/,
  ],
  [
    "Conv",
    [
      [1, 1, 8, 8],
      [4, 1, 3, 3],
    ],
    { kernel_shape: [5, 5] },
    /kernel_shape: got \[5,5\]/,
  ],
  [
    "Conv",
    [
      [1, 1, 8, 8],
      [4, 1, 3, 3],
    ],
    { strides: [0, 1] },
    /strides: got \[0,1\]; allowed: 2/,
  ],
  [
    "Conv",
    [
      [1, 1, 8, 8],
      [4, 1, 3, 3],
    ],
    { pads: [1, 1] },
    /pads: got \[1,1\]; allowed: 4/,
  ],
  [
    "Conv",
    [
      [1, 1, 8, 8],
      [4, 1, 3, 3],
    ],
    { auto_pad: "SAME" },
    /auto_pad: got "SAME"; allowed: NOTSET/,
  ],
  [
    "Conv",
    [
      [1, 1, 8, 8],
      [4, 1, 3, 3],
    ],
    { auto_pad: "VALID", pads: [1, 1, 1, 1] },
    /pads and auto_pad=VALID exclude each other/,
  ],
  ["MaxPool", [[1, 1, 4, 4]], {}, /attribute kernel_shape is missing/],
  ["MaxPool", [[1, 1, 4, 4]], { kernel_shape: [2, 2], pads: [2, 0, 0, 0] }, /less than the window/],
  [
    "MaxPool",
    [[1, 1, 4, 3]],
    { kernel_shape: [1, 1], strides: [1, 3], pads: [0, 0, 0, 0], ceil_mode: 1 },
    /ceil_mode: a window would start/,
  ],
  [
    "AveragePool",
    [[1, 1, 4, 4]],
    { kernel_shape: [2, 2], dilations: [2, 2] },
    /dilations is not supported/,
  ],
  [
    "Resize",
    [[1, 1, 2, 2], null, float32([4], [1, 1, 2, 2])],
    { mode: "cubic" },
    /mode: got "cubic"; allowed: nearest, linear/,
  ],
  ["Reshape", [[2, 3], list(4, -1)], {}, /float32\[2,3\] cannot take shape \[4,-1\]/],
  ["Reshape", [[2, 3], list(-1, -1)], {}, /cannot take shape \[-1,-1\]/],
  ["Reshape", [[2, 3], list(2, 3, 0)], {}, /size 0 has no axis to copy/],
  ["Reshape", [[2, 3], [2]], {}, /\(input 1\) must be a constant/],
  ["Flatten", [[2, 3]], { axis: 3 }, /axis 3: allowed: -2 to 1/],
  ["Squeeze", [[2, 1], list(0)], {}, /axes \[0\]; allowed: those of size 1/],
  ["Unsqueeze", [[2], list(0, 0)], {}, /name one axis twice/],
  ["Transpose", [[2, 3]], { perm: [0, 0] }, /perm: got \[0,0\]; allowed: a permutation of 2 axes/],
  ["Expand", [[2, 3], list(3, 3)], {}, /shapes \[2,3\] and \[3,3\] do not broadcast/],
  [
    "Concat",
    [
      [2, 3],
      [3, 2],
    ],
    { axis: 0 },
    /do not join along axis 0/,
  ],
  ["Concat", [[2, 3]], {}, /attribute axis is missing/],
  ["Slice", [[4], list(0), list(4), list(0), list(0)], {}, /no step 0/],
  ["Slice", [[4], list(0), list(4, 4)], {}, /allowed: lists of one length/],
  ["Pad", [[4], list(1)], {}, /pads \[1\]; allowed: 2 integers/],
  ["Pad", [[4], list(-3, -3)], {}, /cannot be cropped that far/],
  ["Gather", [[4], [1]], {}, /the indices is float32\[1\]; allowed: int64, int32/],
  ["ReduceSum", [[2, 3], list(2)], {}, /axis 2: allowed: -2 to 1/],
  ["Softmax", [[2, 3]], { axis: 2 }, /axis 2: allowed: -2 to 1/],
];

describe("what does not fit is refused with what is allowed", () => {
  test.each(refusals)("%s: %4$s", (op, inputs, attributes, message) => {
    expect(() => emit(op, inputs, attributes)).toThrow(ModelError);
    expect(() => emit(op, inputs, attributes)).toThrow(message);
    expect(() => emit(op, inputs, attributes)).toThrow(new RegExp(`^${op} "`));
  });

  test("every operator refuses attributes that it does not know", () => {
    for (const [op, rule] of Object.entries(ops)) {
      expect(() => rule.attributes({ axis: 0, unheard_of: 1 }), op).toThrow(/not supported/);
    }
  });

  test("an index outside the axis is refused when it is met", () => {
    const builder = new GraphBuilder("index");
    builder.input("x", { dtype: "float32", shape: [3] });
    const y = builder.emit("Gather", ["x", builder.constant(list(3))]);
    expect(() => interpret(builder.graph([y]), new Map([["x", float32([3], [1, 2, 3])]]))).toThrow(
      /index 3: allowed: -3 to 2/,
    );
  });
});

describe("reference kernels by hand", () => {
  const row = float32([3], [1, 5, 5]);

  test("comparisons give truth values", () => {
    const other = float32([3], [2, 5, 4]);
    expect(evaluate("Equal", [row, other])).toMatchObject({ dtype: "bool", values: [0, 1, 0] });
    expect(evaluate("Greater", [row, other])).toMatchObject({ dtype: "bool", values: [0, 0, 1] });
    expect(evaluate("Max", [row, float32([], [3])]).values).toEqual([3, 5, 5]);
  });

  test("casts truncate, and anything but zero is true", () => {
    const x = float32([4], [-1.7, 0, 0.4, 2.9]);
    expect(evaluate("Cast", [x], { to: 7 }).values).toEqual([-1, 0, 0, 2]);
    expect(evaluate("Cast", [x], { to: 9 }).values).toEqual([1, 0, 1, 1]);
  });

  test("arithmetic of integers, as exported shapes need it", () => {
    expect(evaluate("Mul", [list(2, 3), list(4)])).toMatchObject({
      dtype: "int64",
      values: [8, 12],
    });
    expect(evaluate("Div", [list(7, -7), list(2)]).values).toEqual([3, -3]);
  });

  test("the position of the maximum is the first one", () => {
    const x = float32([2, 3], [1, 5, 5, 2, 2, 0]);
    expect(evaluate("ArgMax", [x], { axis: 1 })).toMatchObject({ shape: [2, 1], values: [1, 0] });
    expect(evaluate("ArgMax", [x], { axis: 0, keepdims: 0 })).toMatchObject({
      shape: [3],
      values: [1, 0, 0],
    });
  });

  test("sizes, and a part of them", () => {
    const x = float32([2, 1, 3], [1, 2, 3, 4, 5, 6]);
    expect(evaluate("Shape", [x]).values).toEqual([2, 1, 3]);
    expect(evaluate("Shape", [x], { start: -2, end: 2 }).values).toEqual([1]);
  });

  test("gathering along an axis keeps the others", () => {
    const x = float32([2, 3], [1, 2, 3, 4, 5, 6]);
    expect(evaluate("Gather", [x, list(-1, 0)], { axis: 1 })).toMatchObject({
      shape: [2, 2],
      values: [3, 1, 6, 4],
    });
    expect(evaluate("Gather", [x, int64([], [1])])).toMatchObject({
      shape: [3],
      values: [4, 5, 6],
    });
  });

  test("scattering writes, or adds where asked to", () => {
    const x = float32([3], [10, 20, 30]);
    const inputs = [x, list(2, 0, -1), float32([3], [1, 2, 3])];
    expect(evaluate("ScatterElements", inputs).values).toEqual([2, 20, 3]);
    expect(evaluate("ScatterElements", inputs, { reduction: "add" }).values).toEqual([12, 20, 34]);
  });

  test("unpooling puts values at their indices", () => {
    const values = float32([1, 1, 2, 1], [7, 8]);
    const indices = int64([1, 1, 2, 1], [1, 2]);
    const attributes = { kernel_shape: [1, 2], strides: [1, 2] };
    expect(evaluate("MaxUnpool", [values, indices, list(1, 1, 2, 2)], attributes).values).toEqual([
      0, 7, 8, 0,
    ]);
  });

  test("resizing repeats elements", () => {
    const x = float32([1, 1, 1, 2], [1, 2]);
    const attributes = {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    };
    expect(evaluate("Resize", [x, null, float32([4], [1, 1, 2, 2])], attributes)).toMatchObject({
      shape: [1, 1, 2, 4],
      values: [1, 1, 2, 2, 1, 1, 2, 2],
    });
  });

  test("averages do not count padding unless asked to", () => {
    const x = float32([1, 1, 1, 2], [2, 4]);
    const attributes = { kernel_shape: [1, 2], strides: [1, 2], pads: [0, 1, 0, 1] };
    expect(evaluate("AveragePool", [x], attributes).values).toEqual([2, 4]);
    const counted = { ...attributes, count_include_pad: 1 };
    expect(evaluate("AveragePool", [x], counted).values).toEqual([1, 2]);
  });

  test("half precision is rounded once, at the end", () => {
    const x = tensor("float16", [2], Float16Array.of(1, 0.0005));
    const sum = evaluate("ReduceSum", [x], { keepdims: 0 });
    expect(sum.values).toEqual([Number(Float16Array.of(1.0005)[0])]);
  });
});

test("docs/onnx.md lists every operator", () => {
  const page = readFileSync(new URL("../../../docs/onnx.md", import.meta.url), "utf8");
  const listed = new Set(page.match(/\b[A-Z]\w+/g));
  expect(Object.keys(ops).filter((op) => !listed.has(op))).toEqual([]);
});
