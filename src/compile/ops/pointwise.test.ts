/** Element-wise operators and activations: what PyTorch's records leave open, and refusals. */
import { describe, expect, test } from "vitest";
import { activationGradients } from "../../../test/contract/gradient-cases/activation.ts";
import { elementwiseGradients } from "../../../test/contract/gradient-cases/elementwise.ts";
import { reductionGradients } from "../../../test/contract/gradient-cases/reduction.ts";
import { casesOf, list, truths } from "../../../test/contract/gradients.ts";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { float32, int64, tensor } from "../../base/tensor.ts";
import { differentiate } from "../autodiff.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { readOnnx } from "../onnx/read.ts";
import { writeOnnx } from "../onnx/write.ts";
import { specialize } from "../specialize.ts";
import { erf } from "./elementwise.ts";
import type { OpName } from "./table.ts";

describe("reference kernels", () => {
  test("the error function is right to fifteen digits", () => {
    const known = [
      [0, 0],
      [1e-9, 1.1283791670955127e-9],
      [0.5, 0.5204998778130465],
      [-1, -0.8427007929497149],
      [2.5, 0.999593047982555],
      [5.5, 0.9999999999999927],
      [30, 1],
    ] as const;
    for (const [x, y] of known) expect(Math.abs(erf(x) - y)).toBeLessThan(1e-15);
    expect(erf(Number.NaN)).toBeNaN();
  });

  test("of bounds that cross, the upper one holds", () => {
    const bounds = [float32([], [2]), float32([1], [1])];
    expect(evaluate("Clip", [float32([3], [0, 1.5, 3]), ...bounds]).values).toEqual([1, 1, 1]);
  });

  test("integers are clipped, raised and compared as well", () => {
    const x = list(-3, 2, 5);
    expect(evaluate("Clip", [x, int64([], [-1]), int64([], [3])]).values).toEqual([-1, 2, 3]);
    expect(evaluate("Pow", [x, float32([], [2])])).toMatchObject({
      dtype: "int64",
      values: [9, 4, 25],
    });
    expect(evaluate("Abs", [x]).values).toEqual([3, 2, 5]);
    expect(evaluate("LessOrEqual", [x, list(2)])).toMatchObject({
      dtype: "bool",
      values: [1, 1, 0],
    });
  });

  test("large inputs of activations neither overflow nor lose digits", () => {
    const x = tensor("float64", [2], Float64Array.of(-800, 800));
    expect(evaluate("Softplus", [x]).values).toEqual([0, 800]);
    expect(evaluate("Mish", [x]).values).toEqual([-0, 800]);
    expect(evaluate("Gelu", [x]).values).toEqual([-0, 800]);
  });
});

const refusals: [OpName, readonly Input[], Attributes, RegExp][] = [
  ["Max", [[2], list(1)], {}, /float32\[2\] and int64\[1\] differ in element type/],
  ["Sum", [[2], [3]], {}, /shapes \[2\] and \[3\] do not broadcast/],
  ["Max", [[2], null, [2]], {}, /input 1 is missing/],
  ["Clip", [[2], [2]], {}, /a bound is float32\[2\]; allowed: one number/],
  ["Clip", [[2], null, list(1)], {}, /differ in element type/],
  ["Mod", [[2], [2]], {}, /fmod is 0 for float32\[2\]; allowed: 1 for float types/],
  ["Mod", [[2], [2]], { fmod: 2 }, /fmod: got 2; allowed: an integer from 0 to 1/],
  ["Sin", [list(1)], {}, /input is int64\[1\]; allowed: float32, float64, float16/],
  ["Not", [[2]], {}, /input is float32\[2\]; allowed: bool/],
  ["And", [truths([2], [0, 1]), [2]], {}, /input is float32\[2\]; allowed: bool/],
  ["IsInf", [list(1)], {}, /input is int64\[1\]; allowed: float32/],
  ["PRelu", [[3], [2, 3]], {}, /slope's shape \[2,3\] does not broadcast to the input's \[3\]/],
  ["PRelu", [[2, 3], [2]], {}, /shapes \[2,3\] and \[2\] do not broadcast/],
  ["Gelu", [[2]], { approximate: "erf" }, /got "erf"; allowed: none, tanh/],
  ["Celu", [[2]], { alpha: 0 }, /alpha: got 0; allowed: any other number/],
  ["Elu", [[2]], { alpha: "1" }, /alpha: got "1"; allowed: a number/],
];

describe("what does not fit is refused with what is allowed", () => {
  test.each(refusals)("%s: %4$s", (op, inputs, attributes, message) => {
    expect(() => emit(op, inputs, attributes)).toThrow(ModelError);
    expect(() => emit(op, inputs, attributes)).toThrow(message);
  });
});

describe("gradients", () => {
  test("of a fixed square and of bounds that are numbers take few nodes", () => {
    const nodesOf = (op: OpName, ...constants: number[]): string[] => {
      const builder = new GraphBuilder("few");
      builder.input("x", { dtype: "float32", shape: [3] });
      builder.input("g", { dtype: "float32", shape: [3] });
      const fixed = constants.map((value) => builder.constant(float32([], [value])));
      const y = builder.emit(op, ["x", ...fixed]);
      const gradients = differentiate(builder, new Map([[y, "g"]]), new Set(["x"]));
      return builder.graph([gradients.get("x") ?? ""]).nodes.map((node) => node.op);
    };
    expect(nodesOf("Pow", 2)).toEqual(["Mul", "Mul"]);
    expect(nodesOf("Pow", 0.5)).toEqual(["Pow", "Mul", "Div"]);
    expect(nodesOf("Clip", 0, 6)).toEqual(["Clip", "Greater", "Less", "And", "Cast", "Mul"]);
    expect(nodesOf("LeakyRelu")).toEqual(["LeakyRelu", "Greater", "Where", "Mul"]);
  });
});

describe("ways through a file", () => {
  const families = [activationGradients, elementwiseGradients, reductionGradients];
  // Swish came with set 24, and files are written up to 21: see `file-form.test.ts`.
  const cases = casesOf(families).filter(({ op }) => op !== "Swish");

  test.each(cases)("$name", ({ op, inputs, attributes = {} }) => {
    const builder = new GraphBuilder("case");
    const names = inputs.map((value, i) => {
      if (value === null) return "";
      return value.dtype === "int64"
        ? builder.constant(value)
        : builder.input(`input${i}`, { dtype: "float32", shape: value.shape });
    });
    const graph = builder.graph([builder.emit(op, names, attributes)]);
    const { nodes } = readOnnx(writeOnnx(graph)).graph;
    expect(nodes).toEqual(graph.nodes);
  });

  test("operators of newer sets are gone once shapes are static", () => {
    for (const op of ["Gelu", "Mish", "Swish"] as const) {
      const builder = new GraphBuilder("newer");
      builder.input("x", { dtype: "float32", shape: [2, 3] });
      const { nodes } = specialize(builder.graph([builder.emit(op, ["x"])]), {});
      expect(nodes.map((node) => node.op)).not.toContain(op);
    }
  });
});
