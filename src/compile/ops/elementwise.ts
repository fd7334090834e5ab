/**
 * Arithmetic, element by element, with broadcasting where operators take several inputs,
 * and Cast and Where. Gradients of broadcast inputs are summed back to their shape; at ties
 * and kinks they are PyTorch's.
 */
import { ModelError } from "../../base/errors.ts";
import { type DType, elementCount, formatType, type TensorType } from "../../base/tensor.ts";
import type { Attribute } from "../graph.ts";
import { flag, type NoAttributes, noAttributes, readAttributes } from "./attributes.ts";
import { broadcastNumbers, broadcastShape, made, numbers, pack } from "./elements.ts";
import { type Emitter, scalar, summedTo, zerosLike } from "./gradients.ts";
import { inputType, inputValue, isFloat, requireDType, requireSameDType } from "./inputs.ts";
import {
  anyType,
  binary,
  binaryWith,
  type Context,
  elements,
  input,
  inputShape,
  output,
  through,
  throughAll,
  throughBoth,
  unary,
  vanishes,
  variadic,
} from "./pointwise.ts";
import type { Gradients, InputTypes, OpRule } from "./rule.ts";

const Neg = unary(
  1,
  (x) => -x,
  through((c, g) => c.emit("Neg", [g])),
  anyType,
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

/** The slope at 0 is 0. */
const Abs = unary(
  1,
  Math.abs,
  through((c, g) => c.emit("Mul", [g, c.emit("Sign", [input(c)])])),
  anyType,
);

const Reciprocal = unary(
  1,
  (x) => 1 / x,
  through((c, g) => c.emit("Neg", [c.emit("Mul", [g, c.emit("Mul", [output(c), output(c)])])])),
);

/** 2/√π ∫ exp(-t²) from 0 to x, by a series whose terms are all of one sign. */
export function erf(x: number): number {
  if (Number.isNaN(x) || Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The slope is exp(-x²) 2/√π; the factor goes into the exponent, which saves a pass. */
const Erf = unary(
  8,
  erf,
  through((c, g) => {
    const square = c.emit("Mul", [input(c), input(c)]);
    const exponent = c.emit("Sub", [scalar(c, g, Math.log(2 / Math.sqrt(Math.PI))), square]);
    return c.emit("Mul", [g, c.emit("Exp", [exponent])]);
  }),
);

const Sign = unary(1, Math.sign, vanishes, anyType);
const Floor = unary(1, Math.floor, vanishes);
const Ceil = unary(1, Math.ceil, vanishes);

/** Halves go to the even neighbour. */
function roundToEven(x: number): number {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

const Round = unary(1, roundToEven, vanishes);

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

const isZero = (x: number): boolean => x === 0;

/** `x` to the power of `p`, by the cheapest operator that does it. */
function power(context: Emitter, x: string, p: number): string {
  if (p === 1) return x;
  if (p === 0.5) return context.emit("Sqrt", [x]);
  return context.emit("Pow", [x, scalar(context, x, p)]);
}

/** Gradient of the base for one exponent that is known. */
function gradientOfFixedPower(context: Context, g: string, p: number): string | null {
  const x = input(context);
  const scaled = (value: string): string => context.emit("Mul", [value, scalar(context, g, p)]);
  if (p === 0) return null;
  if (p === 1) return g;
  if (p === 0.5) return context.emit("Div", [scaled(g), output(context)]);
  // A negative power of 0 is infinite, and so is its slope; elsewhere y / x saves a power.
  if (p < 0) return context.emit("Mul", [g, scaled(context.emit("Div", [output(context), x]))]);
  return context.emit("Mul", [g, scaled(power(context, x, p - 1))]);
}

/** A value as an element type that it may not have. */
function asType(context: Emitter, value: string, dtype: DType): string {
  if (context.type(value).dtype === dtype) return value;
  return context.emit("Cast", [value], { to: castCode(dtype) });
}

/** `g` times p x^(p-1), which is 0 for p = 0 even where x is 0. */
function gradientOfBase(context: Context, g: string): string | null {
  const { dtype } = context.type(g);
  const known = context.known(input(context, 1));
  const values = known === null ? null : numbers(known);
  if (values?.length === 1) return gradientOfFixedPower(context, g, values[0] as number);
  const p = asType(context, input(context, 1), dtype);
  const less = context.emit("Sub", [p, scalar(context, g, 1)]);
  const slope = context.emit("Mul", [p, context.emit("Pow", [input(context), less])]);
  if (values !== null && !Array.from(values).some(isZero)) return context.emit("Mul", [g, slope]);
  const isFlat = context.emit("Equal", [p, scalar(context, g, 0)]);
  return context.emit("Mul", [g, context.emit("Where", [isFlat, scalar(context, g, 0), slope])]);
}

/** `g` times y log(x), which is 0 where x is 0 and the exponent is not negative. */
function gradientOfExponent(context: Context, g: string): string | null {
  const [base, exponent] = [input(context), input(context, 1)];
  const { dtype } = context.type(exponent);
  if (!isFloat(dtype)) return null;
  const slope = context.emit("Mul", [output(context), context.emit("Log", [base])]);
  const known = context.known(base);
  if (known !== null && !Array.from(numbers(known)).some(isZero)) {
    return asType(context, context.emit("Mul", [g, slope]), dtype);
  }
  const zero = context.emit("Equal", [base, scalar(context, g, 0)]);
  const raised = context.emit("GreaterOrEqual", [exponent, scalar(context, exponent, 0)]);
  const isFlat = context.emit("And", [zero, raised]);
  const safe = context.emit("Where", [isFlat, scalar(context, g, 0), slope]);
  return asType(context, context.emit("Mul", [g, safe]), dtype);
}

/** The exponent may have an element type of its own. */
const Pow = binary(
  (a, b) => a ** b,
  throughBoth(gradientOfBase, gradientOfExponent),
  (a) => a.dtype,
);

export interface ModAttributes {
  /** Whether the sign is the dividend's, as of C's fmod; else it is the divisor's. */
  readonly fmod: boolean;
}

const Mod: OpRule<ModAttributes> = binaryWith(
  (raw) => readAttributes(raw, { fmod: flag(false) }),
  (a, b, { fmod }) => (fmod ? a % b : a - b * Math.floor(a / b)),
  throughBoth(
    (_, g) => g,
    (c, g) => {
      // The remainder is a - b times a whole number, which is the slope.
      const rest = c.emit("Sub", [output(c), input(c)]);
      return c.emit("Mul", [g, c.emit("Div", [rest, input(c, 1)])]);
    },
  ),
  (a, b, { fmod }) => {
    requireSameDType(a, b);
    if (fmod || !isFloat(a.dtype)) return a.dtype;
    throw new ModelError(`fmod is 0 for ${formatType(a)}; allowed: 1 for float types`);
  },
);

const Sum = variadic(
  (sum, x) => sum + x,
  (sum) => sum,
  throughAll((_, g) => g),
);

const Mean = variadic(
  (sum, x) => sum + x,
  (sum, count) => sum / count,
  throughAll((c, g) => c.emit("Mul", [g, scalar(c, g, 1 / c.inputs.length)])),
);

/** The comparison by which the first of two elements is the one that is kept. */
type Wins = "Greater" | "Less";

/**
 * The gradients of both sides of a maximum or minimum, in the shape of `g`; equal elements
 * get half of it each.
 */
function shared(context: Emitter, g: string, wins: Wins, a: string, b: string): [string, string] {
  const first = asType(context, context.emit(wins, [a, b]), context.type(g).dtype);
  const isTie = context.emit("Equal", [a, b]);
  const share = context.emit("Where", [isTie, scalar(context, g, 0.5), first]);
  const own = context.emit("Mul", [g, share]);
  return [own, context.emit("Sub", [g, own])];
}

/** As if the inputs were compared one after another, from the first to the last. */
const throughExtreme =
  (op: "Max" | "Min", wins: Wins) =>
  (context: Context): Gradients => {
    const gradients: (string | null)[] = context.inputs.map(() => null);
    let g = context.gradient(0);
    for (let index = context.inputs.length - 1; index > 0 && g !== null; index--) {
      const before = context.inputs.slice(0, index);
      const first = index === 1 ? input(context) : context.emit(op, before);
      const both = shared(context, g, wins, first, input(context, index));
      gradients[index] = summedTo(context, both[1], inputShape(context, index));
      g = before.some((_, i) => context.wanted(i))
        ? summedTo(context, both[0], context.type(first).shape)
        : null;
    }
    gradients[0] = g;
    return gradients;
  };

const kept = (value: number): number => value;
const Max = variadic((a, b) => Math.max(a, b), kept, throughExtreme("Max", "Greater"));
const Min = variadic((a, b) => Math.min(a, b), kept, throughExtreme("Min", "Less"));

/** `gradient` where a condition holds, else 0. */
export function masked(context: Emitter, gradient: string, condition: string): string {
  const mask = asType(context, condition, context.type(gradient).dtype);
  return context.emit("Mul", [gradient, mask]);
}

/** The bounds of Clip that are there, by the input that holds them. */
const bounds = (context: Pick<Context, "inputs">): { low: string; high: string } => ({
  low: context.inputs[1] ?? "",
  high: context.inputs[2] ?? "",
});

/** Fixed bounds let nothing through where they are met, as `torch.clamp` has it for numbers. */
function gradientWithin(context: Context, g: string): string {
  const { low, high } = bounds(context);
  const sides = [
    ...(low === "" ? [] : [context.emit("Greater", [output(context), low])]),
    ...(high === "" ? [] : [context.emit("Less", [output(context), high])]),
  ];
  if (sides.length === 0) return g;
  return masked(context, g, sides.length === 1 ? (sides[0] as string) : context.emit("And", sides));
}

/** Bounds that are trained are one side of a maximum and of a minimum, ties and all. */
function gradientsOfBounds(context: Context, g: string): Gradients {
  const { low, high } = bounds(context);
  const gradients: (string | null)[] = [g, null, null];
  if (high !== "") {
    const raised = low === "" ? input(context) : context.emit("Max", [input(context), low]);
    const [rest, own] = shared(context, g, "Less", raised, high);
    gradients[0] = rest;
    gradients[2] = summedTo(context, own, inputShape(context, 2));
  }
  if (low !== "") {
    const [rest, own] = shared(context, gradients[0] as string, "Greater", input(context), low);
    gradients[0] = rest;
    gradients[1] = summedTo(context, own, inputShape(context, 1));
  }
  return gradients.slice(0, context.inputs.length);
}

/** The lower bound is applied first, so the upper one holds when they cross. */
const Clip: OpRule<NoAttributes> = {
  inputs: [1, 3],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs) => {
    const type = inputType(inputs, 0);
    for (const bound of inputs.slice(1)) {
      if (bound === null) continue;
      requireSameDType(type, bound);
      if (bound.shape.length <= 1 && elementCount(bound.shape) === 1) continue;
      throw new ModelError(`a bound is ${formatType(bound)}; allowed: one number`);
    }
    return [type];
  },
  flops: (_, outputs) => 2 * elements(outputs),
  gradient: (context) => {
    const gradient = context.gradient(0);
    if (gradient === null) return [null];
    if (context.wanted(1) || context.wanted(2)) return gradientsOfBounds(context, gradient);
    return [gradientWithin(context, gradient)];
  },
  compute: (inputs, _, [type]) => {
    const bound = (index: number, none: number): number => {
      const value = inputs[index] ?? null;
      return value === null ? none : (numbers(value)[0] as number);
    };
    const [low, high] = [bound(1, -Infinity), bound(2, Infinity)];
    const x = numbers(inputValue(inputs, 0));
    const values = made(x.length, (i) => Math.min(Math.max(x[i] as number, low), high));
    return [pack(type as TensorType, values)];
  },
};

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

/** Reads an attribute that names an element type by its code. */
export function elementType(name: string, value: Attribute | undefined): DType {
  const dtype = dtypesByCode.get(value as number);
  if (dtype !== undefined) return dtype;
  const allowed = [...dtypesByCode].map(([code, known]) => `${code} (${known})`).join(", ");
  throw new ModelError(`attribute ${name}: got ${value ?? "nothing"}; allowed: ${allowed}`);
}

const Cast: OpRule<{ readonly to: DType }> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes<{ to: DType }>(raw, { to: elementType }),
  types: (inputs, { to }) => [{ dtype: to, shape: inputType(inputs, 0).shape }],
  flops: () => 0,
  gradient: (context) => {
    const gradient = context.gradient(0);
    const { dtype } = context.type(context.inputs[0] as string);
    if (gradient === null || !isFloat(dtype)) return [null];
    return [asType(context, gradient, dtype)];
  },
  compute: (inputs, { to }, [type]) => {
    const x = numbers(inputValue(inputs, 0));
    const values = to === "bool" ? made(x.length, (i) => (x[i] !== 0 ? 1 : 0)) : x;
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
    const pick = (i: number): number => (condition?.[i] !== 0 ? a : b)?.[i] as number;
    return [pack({ dtype, shape }, made(elementCount(shape), pick))];
  },
};

/** Operators of this family. */
export const elementwiseOps = {
  Neg,
  Sqrt,
  Exp,
  Log,
  Abs,
  Reciprocal,
  Erf,
  Sign,
  Floor,
  Ceil,
  Round,
  Add,
  Sub,
  Mul,
  Div,
  Pow,
  Mod,
  Sum,
  Mean,
  Max,
  Min,
  Clip,
  Cast,
  Where,
};
