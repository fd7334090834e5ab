/**
 * Sums, norms, extremes and the like over axes, and softmax along one.
 *
 * In operator set 17, whose form graphs have, ReduceSum has its axes as an input and the
 * others have them as an attribute.
 */
import { type DenseTensor, elementCount, type TensorType } from "../../base/tensor.ts";
import type { Attributes } from "../graph.ts";
import { flag, integer, integers, readAttributes } from "./attributes.ts";
import { axesOf, axisOf, loopsAlong, numbers, pack, strides, walk } from "./elements.ts";
import { castCode } from "./elementwise.ts";
import { expanded, reshaped, scalar, summed } from "./gradients.ts";
import { inputType, inputValue, knownIntegers, requireFloat } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";

export interface ReduceAttributes {
  readonly axes: readonly number[] | null;
  readonly keepdims: boolean;
  readonly noop_with_empty_axes: boolean;
}

const withAxes = (raw: Attributes): ReduceAttributes => ({
  noop_with_empty_axes: false,
  ...readAttributes(raw, { axes: integers, keepdims: flag(true) }),
});

/** Those of ReduceSum, whose axes are an input. */
const withoutAxes = (raw: Attributes): ReduceAttributes => ({
  axes: null,
  ...readAttributes(raw, { keepdims: flag(true), noop_with_empty_axes: flag(false) }),
});

/** The axes reduced over: input, else attribute, else all (or none, if the node says so). */
function reducedAxes(
  inputs: InputTypes,
  attributes: ReduceAttributes,
  known: readonly (DenseTensor | null)[],
): number[] {
  const { shape } = inputType(inputs, 0);
  const given = knownIntegers(inputs, known, 1, "the axes") ?? attributes.axes ?? [];
  if (given.length > 0) return axesOf(given, shape.length);
  return attributes.noop_with_empty_axes ? [] : shape.map((_, axis) => axis);
}

type ReduceContext = GradientContext<ReduceAttributes>;

/** What a reduction's gradient is made from. */
interface Reduced {
  /** The output's gradient in the shape `kept`. */
  readonly g: string;
  readonly axes: readonly number[];
  readonly type: TensorType;
  /** The input's shape with size 1 in the reduced axes. */
  readonly kept: readonly number[];
}

/** A reduction: how it folds elements into a start value and what it does at the end. */
function reduction(
  start: number,
  fold: (sum: number, x: number) => number,
  finish: (sum: number, count: number) => number,
  gradient: (context: ReduceContext, reduced: Reduced) => string,
  flopsPerElement = 1,
): OpRule<ReduceAttributes> {
  return {
    inputs: [1, 1],
    outputs: [1, 1],
    attributes: withAxes,
    types: (inputs, attributes, known) => {
      const { dtype, shape } = inputType(inputs, 0);
      const axes = reducedAxes(inputs, attributes, known);
      const sizes = attributes.keepdims
        ? shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
        : shape.filter((_, axis) => !axes.includes(axis));
      return [{ dtype, shape: sizes }];
    },
    flops: (inputs) => flopsPerElement * elementCount(inputType(inputs, 0).shape),
    gradient: (context) => {
      const gradientOfOutput = context.gradient(0);
      if (gradientOfOutput === null) return [null];
      const types = context.inputs.map((name) => (name === "" ? null : context.type(name)));
      const known = context.inputs.map((name) => (name === "" ? null : context.known(name)));
      const axes = reducedAxes(types, context.attributes, known);
      const type = inputType(types, 0);
      const kept = type.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
      const g = reshaped(context, gradientOfOutput, kept);
      return [gradient(context, { g, axes, type, kept })];
    },
    compute: (inputs, attributes, [type]) => {
      const value = inputValue(inputs, 0);
      const x = numbers(value);
      const axes = reducedAxes(inputs, attributes, inputs);
      const kept = value.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
      const steps = strides(kept).map((step, axis) => (axes.includes(axis) ? 0 : step));
      const sums = new Float64Array(elementCount(kept)).fill(start);
      walk(value.shape, steps).forEach((to, from) => {
        sums[to] = fold(sums[to] as number, x[from] as number);
      });
      const count = x.length / sums.length;
      return [
        pack(
          type as TensorType,
          sums.map((sum) => finish(sum, count)),
        ),
      ];
    },
  };
}

const plus = (sum: number, x: number): number => sum + x;
const itself = (x: number): number => x;

/** The reduced value in the shape `kept`, so that it broadcasts to the input. */
const result = (context: ReduceContext, { kept }: Reduced): string =>
  reshaped(context, context.output(0), kept);

const input = (context: ReduceContext): string => context.inputs[0] as string;

/** 1 where two values are equal, else 0, in their element type. */
function marks(context: ReduceContext, value: string, other: string): string {
  const equal = context.emit("Equal", [value, other]);
  return context.emit("Cast", [equal], { to: castCode(context.type(value).dtype) });
}

const ReduceSum: OpRule<ReduceAttributes> = {
  ...reduction(0, plus, itself, (context, { g, type }) => expanded(context, g, type.shape)),
  inputs: [1, 2],
  attributes: withoutAxes,
};

const ReduceMean = reduction(
  0,
  plus,
  (sum, count) => sum / count,
  (context, { g, type, kept }) => {
    const share = elementCount(kept) / elementCount(type.shape);
    const shared = context.emit("Mul", [g, scalar(context, g, share)]);
    return expanded(context, shared, type.shape);
  },
);

/** Elements that tie for the extreme share its gradient equally, as in PyTorch's amax. */
function gradientOfExtreme(context: ReduceContext, reduced: Reduced): string {
  const mask = marks(context, input(context), result(context, reduced));
  const share = context.emit("Div", [reduced.g, summed(context, mask, reduced.axes, true)]);
  return context.emit("Mul", [mask, share]);
}

const ReduceMax = reduction(-Infinity, Math.max, itself, gradientOfExtreme);
const ReduceMin = reduction(Infinity, Math.min, itself, gradientOfExtreme);

/**
 * The slope is the product of all other elements. Zeros are counted apart: an element has it
 * where all zeros of its group, none or one, are its own.
 */
const ReduceProd = reduction(
  1,
  (product, x) => product * x,
  itself,
  (context, { g, axes, type }) => {
    const x = input(context);
    const attributes = { axes, keepdims: 1 };
    const zeros = marks(context, x, scalar(context, x, 0));
    const filled = context.emit("Add", [x, zeros]);
    const isProduct = marks(context, summed(context, zeros, axes, true), zeros);
    const product = axes.length === 0 ? filled : context.emit("ReduceProd", [filled], attributes);
    const others = context.emit("Div", [context.emit("Mul", [g, product]), filled]);
    return expanded(context, context.emit("Mul", [others, isProduct]), type.shape);
  },
);

const ReduceL1 = reduction(
  0,
  (sum, x) => sum + Math.abs(x),
  itself,
  (context, { g }) => context.emit("Mul", [g, context.emit("Sign", [input(context)])]),
  2,
);

/** The slope is x / y, and 0 where all elements are. */
const ReduceL2 = reduction(
  0,
  (sum, x) => sum + x * x,
  Math.sqrt,
  (context, reduced) => {
    const norm = result(context, reduced);
    const divisor = context.emit("Add", [norm, marks(context, norm, scalar(context, norm, 0))]);
    return context.emit("Mul", [input(context), context.emit("Div", [reduced.g, divisor])]);
  },
  2,
);

const ReduceSumSquare = reduction(
  0,
  (sum, x) => sum + x * x,
  itself,
  (context, { g }) =>
    context.emit("Mul", [input(context), context.emit("Mul", [g, scalar(context, g, 2)])]),
  2,
);

const ReduceLogSum = reduction(0, plus, Math.log, (context, reduced) => {
  const sum = context.emit("Exp", [result(context, reduced)]);
  return expanded(context, context.emit("Div", [reduced.g, sum]), reduced.type.shape);
});

/** log(exp(a) + exp(b)) without overflow. */
function logAdd(a: number, b: number): number {
  const max = Math.max(a, b);
  return Math.abs(max) === Infinity ? max : max + Math.log1p(Math.exp(Math.min(a, b) - max));
}

/** The slopes are the softmax. */
const ReduceLogSumExp = reduction(
  -Infinity,
  logAdd,
  itself,
  (context, reduced) => {
    const shifted = context.emit("Sub", [input(context), result(context, reduced)]);
    return context.emit("Mul", [reduced.g, context.emit("Exp", [shifted])]);
  },
  2,
);

export interface SoftmaxAttributes {
  readonly axis: number;
}

/** An operator that turns the numbers along one axis into others, after taking off their maximum. */
function alongAxis(
  f: (shifted: Float64Array) => Float64Array,
  gradient: (context: GradientContext<SoftmaxAttributes>, g: string, axis: number) => string,
): OpRule<SoftmaxAttributes> {
  return {
    inputs: [1, 1],
    outputs: [1, 1],
    attributes: (raw) => readAttributes<SoftmaxAttributes>(raw, { axis: integer(-1) }),
    types: (inputs, { axis }) => {
      const type = requireFloat(inputType(inputs, 0));
      axisOf(axis, type.shape.length);
      return [type];
    },
    flops: (inputs) => 5 * elementCount(inputType(inputs, 0).shape),
    gradient: (context) => {
      const g = context.gradient(0);
      if (g === null) return [null];
      return [gradient(context, g, axisOf(context.attributes.axis, context.type(g).shape.length))];
    },
    compute: (inputs, { axis }, [type]) => {
      const value = inputValue(inputs, 0);
      const x = numbers(value);
      const { outer, size, inner } = loopsAlong(value.shape, axisOf(axis, value.shape.length));
      const result = new Float64Array(x.length);
      const line = new Float64Array(size);
      for (let i = 0; i < outer * inner; i++) {
        const first = Math.floor(i / inner) * size * inner + (i % inner);
        const max = line
          .map((_, j) => x[first + j * inner] as number)
          .reduce((a, b) => Math.max(a, b));
        f(line.map((_, j) => (x[first + j * inner] as number) - max)).forEach((y, j) => {
          result[first + j * inner] = y;
        });
      }
      return [pack(type as TensorType, result)];
    },
  };
}

const sumOfExp = (values: Float64Array): number =>
  values.reduce((sum, value) => sum + Math.exp(value), 0);

const Softmax = alongAxis(
  (shifted) => {
    const sum = sumOfExp(shifted);
    return shifted.map((value) => Math.exp(value) / sum);
  },
  (context, g, axis) => {
    const y = context.output(0);
    const weighted = summed(context, context.emit("Mul", [g, y]), [axis], true);
    return context.emit("Mul", [y, context.emit("Sub", [g, weighted])]);
  },
);

const LogSoftmax = alongAxis(
  (shifted) => {
    const log = Math.log(sumOfExp(shifted));
    return shifted.map((value) => value - log);
  },
  (context, g, axis) => {
    const softmax = context.emit("Exp", [context.output(0)]);
    const total = summed(context, g, [axis], true);
    return context.emit("Sub", [g, context.emit("Mul", [softmax, total])]);
  },
);

/** Operators of this family. */
export const reductionOps = {
  ReduceSum,
  ReduceMean,
  ReduceMax,
  ReduceMin,
  ReduceProd,
  ReduceL1,
  ReduceL2,
  ReduceSumSquare,
  ReduceLogSum,
  ReduceLogSumExp,
  Softmax,
  LogSoftmax,
};
