/** Resizing as another engine's own operator does it, the form that stays, and what is refused. */
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { emit, type Input } from "../../../test/contract/operators.ts";
import { type DenseTensor, float32, int64 } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes, Graph } from "../graph.ts";
import { interpret } from "../interpret.ts";
import { writeOnnx } from "../onnx/write.ts";
import { specialize } from "../specialize.ts";

const x = float32(
  [1, 2, 5, 6],
  Array.from({ length: 60 }, (_, i) => Math.sin(7 * i)),
);

function resizing(
  last: readonly [scales: DenseTensor | null, sizes?: DenseTensor],
  own: Attributes,
): Graph {
  const builder = new GraphBuilder("resizing");
  const lists = last.map((value) => (value ? builder.constant(value) : ""));
  return builder.graph([builder.emit("Resize", [builder.input("x", x), "", ...lists], own)]);
}

describe("onnxruntime's own Resize gives the same", () => {
  const places = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"];
  const roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];
  const forms = places.flatMap((coordinate_transformation_mode) => [
    { mode: "linear", coordinate_transformation_mode },
    ...roundings.map((nearest_mode) => ({ coordinate_transformation_mode, nearest_mode })),
  ]);
  const scaled = [
    [1, 1, 2, 3],
    [1, 1, 1.3, 0.4],
    [1, 1, 0.5, 2.5],
    [1, 1, 1, 1 / 3],
  ];
  const sized = [
    [1, 2, 7, 9],
    [1, 2, 3, 4],
    [1, 2, 1, 1],
    [1, 2, 10, 6],
  ];
  test.each(forms)("%j", async (form) => {
    const cases = [
      ...scaled.map((list) => [float32([4], list)] as const),
      ...sized.map((list) => [null, int64([4], list)] as const),
    ];
    for (const last of cases) {
      const graph = resizing(last, form);
      const [y = ""] = graph.outputs;
      const own = interpret(graph, new Map([["x", x]])).get(y) as DenseTensor;
      const session = await ort.InferenceSession.create(writeOnnx(graph), { logSeverityLevel: 3 });
      const feeds = { x: new ort.Tensor("float32", x.data as Float32Array, x.shape) };
      const theirs = (await session.run(feeds))[y] as ort.Tensor;
      expect(own.shape).toEqual(theirs.dims);
      Array.from(own.data as Float32Array).forEach((value, i) => {
        expect(value, `${last.map((one) => one?.data)} at ${i}`).toBeCloseTo(
          (theirs.data as Float32Array)[i] as number,
          5,
        );
      });
    }
  });
});

describe("what a training step runs", () => {
  const operators = (...given: Parameters<typeof resizing>) =>
    specialize(resizing(...given), {}).nodes.map(({ op }) => op);

  test("repetition by whole factors stays a Resize, however it is said", () => {
    const twice = float32([4], [1, 1, 2, 2]);
    expect(operators([twice], {})).toEqual(["Resize"]);
    expect(operators([null, int64([4], [1, 2, 10, 6])], { nearest_mode: "ceil" })).not.toContain(
      "MatMul",
    );
    const floor = { coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" };
    expect(operators([null, int64([4], [1, 2, 10, 6])], floor)).toEqual(["Resize"]);
  });

  test("interpolation is one product with a matrix per axis", () => {
    const operation = operators([float32([4], [1, 1, 2, 1])], { mode: "linear" });
    expect(operation.filter((op) => op === "MatMul")).toHaveLength(1);
  });
});

const scales = float32([4], [1, 1, 2, 2]);
const refusals: [readonly Input[], Attributes, RegExp][] = [
  [[[1, 1, 2, 2], null, scales], { mode: "cubic" }, /got "cubic"; allowed: nearest, linear/],
  [
    [[1, 1, 2, 2], null, scales],
    { coordinate_transformation_mode: "tf_crop_and_resize" },
    /allowed: half_pixel, asymmetric, align_corners, pytorch_half_pixel/,
  ],
  [[[1, 1, 2, 2], null, scales, int64([4], [1, 1, 4, 4])], {}, /allowed: one of them, 4 numbers/],
  [[[1, 1, 2], null, scales], {}, /allowed: one of them, 3 numbers greater than 0/],
  [[[1, 1, 2, 2], null, float32([4], [1, 1, 0, 2])], {}, /numbers greater than 0/],
  [[int64([1], [1]), null, float32([1], [2])], { mode: "linear" }, /int64\[1\]; allowed: float32/],
];

test.each(refusals)("refused in words: %2$s", (inputs, attributes, message) => {
  expect(() => emit("Resize", inputs, attributes)).toThrow(message);
});
