/**
 * Sums, means and maxima over axes, and softmax along one.
 *
 * Up to opset 17 ReduceMean and ReduceMax hold their axes as an attribute, later as an
 * input, which ReduceSum does throughout; both forms are read.
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

const reduceAttributes = (raw: Attributes): ReduceAttributes =>
  readAttributes<ReduceAttributes>(raw, {
    axes: integers,
    keepdims: flag(true),
    noop_with_empty_axes: flag(false),
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

/** What a reduction's gradient is made from. */
interface Reduced {
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
  gradient: (context: GradientContext<ReduceAttributes>, reduced: Reduced) => string,
): OpRule<ReduceAttributes> {
  return {
    inputs: [1, 2],
    outputs: [1, 1],
    attributes: reduceAttributes,
    types: (inputs, attributes, known) => {
      const { dtype, shape } = inputType(inputs, 0);
      const axes = reducedAxes(inputs, attributes, known);
      const sizes = attributes.keepdims
        ? shape.map((size, axis) => (axes.includes(axis) ? 1 : size))
        : shape.filter((_, axis) => !axes.includes(axis));
      return [{ dtype, shape: sizes }];
    },
    flops: (inputs) => elementCount(inputType(inputs, 0).shape),
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

const ReduceSum = reduction(
  0,
  plus,
  (sum) => sum,
  (context, { g, type }) => expanded(context, g, type.shape),
);

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

/** Elements that tie for the maximum share its gradient equally, as in PyTorch's amax. */
const ReduceMax = reduction(
  -Infinity,
  Math.max,
  (max) => max,
  (context, { g, axes, kept }) => {
    const max = reshaped(context, context.output(0), kept);
    const isMax = context.emit("Equal", [context.inputs[0] as string, max]);
    const mask = context.emit("Cast", [isMax], { to: castCode(context.type(g).dtype) });
    const share = context.emit("Div", [g, summed(context, mask, axes, true)]);
    return context.emit("Mul", [mask, share]);
  },
);

export interface ArgMaxAttributes {
  readonly axis: number;
  readonly keepdims: boolean;
  readonly select_last_index: number;
}

/** The index of the first maximum along an axis. */
const ArgMax: OpRule<ArgMaxAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ArgMaxAttributes>(raw, {
      axis: integer(0),
      keepdims: flag(true),
      select_last_index: integer(0, 0, 0),
    }),
  types: (inputs, { axis, keepdims }) => {
    const { shape } = inputType(inputs, 0);
    const at = axisOf(axis, shape.length);
    const kept = shape.map((size, i) => (i === at ? 1 : size));
    return [{ dtype: "int64", shape: keepdims ? kept : kept.filter((_, i) => i !== at) }];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: "its output is a list of indices and has no gradient",
  compute: (inputs, { axis }, [type]) => {
    const value = inputValue(inputs, 0);
    const x = numbers(value);
    const { outer, size, inner } = loopsAlong(value.shape, axisOf(axis, value.shape.length));
    const result = new Float64Array(outer * inner);
    for (let i = 0; i < result.length; i++) {
      const first = Math.floor(i / inner) * size * inner + (i % inner);
      let best = 0;
      for (let j = 1; j < size; j++) {
        if ((x[first + j * inner] as number) > (x[first + best * inner] as number)) best = j;
      }
      result[i] = best;
    }
    return [pack(type as TensorType, result)];
  },
};

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
export const reductionOps = { ReduceSum, ReduceMean, ReduceMax, ArgMax, Softmax, LogSoftmax };
