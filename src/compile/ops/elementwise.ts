/**
 * Operators that work element by element, with broadcasting where they take
 * several inputs. Gradients of broadcast inputs are summed back to their shape.
 */
import { ModelError } from "../../base/errors.ts";
import { type DType, elementCount, type TensorType } from "../../base/tensor.ts";
import {
  flag,
  type NoAttributes,
  noAttributes,
  optionalInteger,
  readAttributes,
} from "./attributes.ts";
import { broadcastNumbers, broadcastShape, numbers, pack } from "./elements.ts";
import { scalar, summedTo, zerosLike } from "./gradients.ts";
import {
  inputType,
  inputValue,
  isFloat,
  requireDType,
  requireFloat,
  requireSameDType,
} from "./inputs.ts";
import type { GradientContext, Gradients, InputTypes, OpRule } from "./rule.ts";

type Context = GradientContext<NoAttributes>;
type Gradient = OpRule<NoAttributes>["gradient"];

const elements = (outputs: readonly TensorType[]): number => elementCount(outputs[0]?.shape ?? []);

/** An operator of one input whose output has the input's type. */
function unary(
  flopsPerElement: number,
  f: (x: number) => number,
  gradient: Gradient,
  accepts: (type: TensorType) => TensorType = requireFloat,
): OpRule<NoAttributes> {
  return {
    inputs: [1, 1],
    outputs: [1, 1],
    attributes: noAttributes,
    types: (inputs) => [accepts(inputType(inputs, 0))],
    flops: (_, outputs) => flopsPerElement * elements(outputs),
    gradient,
    compute: (inputs, _, [type]) => {
      const x = inputValue(inputs, 0);
      return [pack(type as TensorType, Float64Array.from(numbers(x), f))];
    },
  };
}

/** The gradient of a unary operator, given only what to make of the output's gradient. */
const through =
  (emit: (context: Context, gradient: string) => string): Gradient =>
  (context) => {
    const gradient = context.gradient(0);
    return [gradient === null ? null : emit(context, gradient)];
  };

const vanishes: Gradient = () => [null];

/** Input and output of the forward node, by name. */
const input = (context: Context, index = 0): string => context.inputs[index] as string;
const output = (context: Context): string => context.output(0);

const Neg = unary(
  1,
  (x) => -x,
  through((c, g) => c.emit("Neg", [g])),
  (type) => type,
);

const Sqrt = unary(
  1,
  Math.sqrt,
  through((c, g) => c.emit("Div", [c.emit("Mul", [g, scalar(c, g, 0.5)]), output(c)])),
);

const Exp = unary(
  1,
  Math.exp,
  through((c, g) => c.emit("Mul", [g, output(c)])),
);

const Log = unary(
  1,
  Math.log,
  through((c, g) => c.emit("Div", [g, input(c)])),
);

/**
 * The output is 0 or positive, so the mask is its truth value; at 0 the gradient is 0, as in
 * PyTorch. Two casts take half the time of Sign in onnxruntime.
 */
const Relu = unary(
  1,
  (x) => Math.max(x, 0),
  through((c, g) => {
    const positive = c.emit("Cast", [output(c)], { to: castCode("bool") });
    const mask = c.emit("Cast", [positive], { to: castCode(c.type(g).dtype) });
    return c.emit("Mul", [g, mask]);
  }),
);

const Sigmoid = unary(
  4,
  (x) => 1 / (1 + Math.exp(-x)),
  through((c, g) => {
    const rest = c.emit("Sub", [scalar(c, g, 1), output(c)]);
    return c.emit("Mul", [g, c.emit("Mul", [output(c), rest])]);
  }),
);

const Tanh = unary(
  4,
  Math.tanh,
  through((c, g) => {
    const square = c.emit("Mul", [output(c), output(c)]);
    return c.emit("Mul", [g, c.emit("Sub", [scalar(c, g, 1), square])]);
  }),
);

/** Flat almost everywhere: no gradient flows. */
const Sign = unary(1, Math.sign, vanishes, (type) => type);

/** An operator of two inputs that broadcast. */
function binary(
  f: (a: number, b: number) => number,
  gradient: Gradient,
  result: DType | null = null,
): OpRule<NoAttributes> {
  return {
    inputs: [2, 2],
    outputs: [1, 1],
    attributes: noAttributes,
    types: (inputs) => {
      const a = inputType(inputs, 0);
      const b = inputType(inputs, 1);
      requireSameDType(a, b);
      return [{ dtype: result ?? a.dtype, shape: broadcastShape(a.shape, b.shape) }];
    },
    flops: (_, outputs) => elements(outputs),
    gradient,
    compute: (inputs, _, [type]) => {
      const { dtype, shape } = type as TensorType;
      const a = broadcastNumbers(inputValue(inputs, 0), shape);
      const b = broadcastNumbers(inputValue(inputs, 1), shape);
      const values = Float64Array.from(a, (x, i) => f(x, b[i] as number));
      return [pack({ dtype, shape }, values)];
    },
  };
}

/** Gradients of both inputs before the broadcast is undone; each is emitted only where wanted. */
const throughBoth =
  (
    first: (context: Context, gradient: string) => string,
    second: (context: Context, gradient: string) => string,
  ): Gradient =>
  (context): Gradients => {
    const gradient = context.gradient(0);
    return [first, second].map((emit, index) => {
      if (gradient === null || !context.wanted(index)) return null;
      const { shape } = context.type(input(context, index));
      return summedTo(context, emit(context, gradient), shape);
    });
  };

const Add = binary(
  (a, b) => a + b,
  throughBoth(
    (_, g) => g,
    (_, g) => g,
  ),
);

const Sub = binary(
  (a, b) => a - b,
  throughBoth(
    (_, g) => g,
    (c, g) => c.emit("Neg", [g]),
  ),
);

const Mul = binary(
  (a, b) => a * b,
  throughBoth(
    (c, g) => c.emit("Mul", [g, input(c, 1)]),
    (c, g) => c.emit("Mul", [g, input(c, 0)]),
  ),
);

const Div = binary(
  (a, b) => a / b,
  throughBoth(
    (c, g) => c.emit("Div", [g, input(c, 1)]),
    (c, g) => c.emit("Neg", [c.emit("Div", [c.emit("Mul", [g, output(c)]), input(c, 1)])]),
  ),
);

/** Emitted for gradients, where one side is a constant; a tie would be split. */
const Max = binary(Math.max, "it is made for gradients only so far");

const truth = "its output is true or false and has no gradient";

const Equal = binary((a, b) => (a === b ? 1 : 0), truth, "bool");
const Greater = binary((a, b) => (a > b ? 1 : 0), truth, "bool");

/** Element types by their code in ONNX files (`TensorProto.DataType`), as `to` holds them. */
const dtypesByCode: ReadonlyMap<number, DType> = new Map<number, DType>([
  [1, "float32"],
  [2, "uint8"],
  [3, "int8"],
  [6, "int32"],
  [7, "int64"],
  [9, "bool"],
  [10, "float16"],
  [11, "float64"],
]);

/** The code of an element type in ONNX files, for `Cast` nodes that rules emit. */
export function castCode(dtype: DType): number {
  for (const [code, name] of dtypesByCode) if (name === dtype) return code;
  throw new ModelError(`element type ${dtype} has no code in ONNX`);
}

const Cast: OpRule<{ readonly to: DType }> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => {
    // `saturate` concerns 8-bit floats alone, which have no DType here.
    const { to } = readAttributes<{ to: number | null; saturate: boolean }>(raw, {
      to: optionalInteger,
      saturate: flag(true),
    });
    const dtype = dtypesByCode.get(to ?? 0);
    if (dtype !== undefined) return { to: dtype };
    const allowed = [...dtypesByCode].map(([code, name]) => `${code} (${name})`).join(", ");
    throw new ModelError(`attribute to: got ${to}; allowed: ${allowed}`);
  },
  types: (inputs, { to }) => [{ dtype: to, shape: inputType(inputs, 0).shape }],
  flops: () => 0,
  gradient: (context) => {
    const gradient = context.gradient(0);
    const { dtype } = context.type(context.inputs[0] as string);
    if (gradient === null || !isFloat(dtype)) return [null];
    return [context.emit("Cast", [gradient], { to: castCode(dtype) })];
  },
  compute: (inputs, { to }, [type]) => {
    const x = numbers(inputValue(inputs, 0));
    const values = to === "bool" ? Float64Array.from(x, (v) => (v !== 0 ? 1 : 0)) : x;
    return [pack(type as TensorType, values)];
  },
};

const Where: OpRule<NoAttributes> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs: InputTypes) => {
    const condition = inputType(inputs, 0);
    const a = inputType(inputs, 1);
    const b = inputType(inputs, 2);
    requireDType(condition, ["bool"], "the condition");
    requireSameDType(a, b);
    return [{ dtype: a.dtype, shape: broadcastShape(condition.shape, a.shape, b.shape) }];
  },
  flops: () => 0,
  gradient: (context) => {
    const gradient = context.gradient(0);
    if (gradient === null) return [null, null, null];
    const condition = input(context);
    const none = zerosLike(context, gradient, []);
    const side = (index: number, pick: readonly [string, string]): string | null => {
      if (!context.wanted(index)) return null;
      const { shape } = context.type(input(context, index));
      return summedTo(context, context.emit("Where", [condition, ...pick]), shape);
    };
    return [null, side(1, [gradient, none]), side(2, [none, gradient])];
  },
  compute: (inputs, _, [type]) => {
    const { dtype, shape } = type as TensorType;
    const [condition, a, b] = [0, 1, 2].map((i) => broadcastNumbers(inputValue(inputs, i), shape));
    const pick = (c: number, i: number): number => (c !== 0 ? a : b)?.[i] as number;
    return [pack({ dtype, shape }, Float64Array.from(condition ?? [], pick))];
  },
};

/** Operators of this family. */
export const elementwiseOps = {
  Neg,
  Sqrt,
  Exp,
  Log,
  Relu,
  Sigmoid,
  Tanh,
  Sign,
  Add,
  Sub,
  Mul,
  Div,
  Max,
  Equal,
  Greater,
  Cast,
  Where,
};
