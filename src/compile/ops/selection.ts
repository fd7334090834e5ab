/**
 * Operators that cut and join along axes. Their gradients are each other: what Slice
 * cuts out, Pad puts back.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  formatType,
  int64,
  sameShape,
  type TensorType,
  zeros,
} from "../../base/tensor.ts";
import {
  type AxisAttributes,
  integer,
  type NoAttributes,
  noAttributes,
  optionalInteger,
  readAttributes,
} from "./attributes.ts";
import { axesOf, axisOf, type Elements, gathered, loopsAlong, strides, walk } from "./elements.ts";
import { expanded, integerList, zerosLike } from "./gradients.ts";
import { inputType, inputValue, knownIntegers, requireSameDType } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";

const Concat: OpRule<AxisAttributes> = {
  inputs: [1, Infinity],
  outputs: [1, 1],
  attributes: (raw) => {
    if (raw.axis === undefined) throw new ModelError("attribute axis is missing");
    return readAttributes(raw, { axis: integer(0) });
  },
  types: (inputs, attributes) => {
    const first = inputType(inputs, 0);
    const axis = axisOf(attributes.axis, first.shape.length);
    const without = (shape: readonly number[]): number[] => shape.filter((_, i) => i !== axis);
    let size = 0;
    inputs.forEach((_, index) => {
      const type = inputType(inputs, index);
      requireSameDType(first, type);
      const fits = type.shape.length === first.shape.length;
      if (!fits || !sameShape(without(type.shape), without(first.shape))) {
        throw new ModelError(
          `${formatType(first)} and ${formatType(type)} do not join along axis ${axis}`,
        );
      }
      size += type.shape[axis] as number;
    });
    const shape = first.shape.map((own, i) => (i === axis ? size : own));
    return [{ dtype: first.dtype, shape }];
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return context.inputs.map(() => null);
    const axis = axisOf(context.attributes.axis, context.type(g).shape.length);
    let start = 0;
    return context.inputs.map((name, index) => {
      const end = start + (context.type(name).shape[axis] as number);
      const bounds = [[start], [end], [axis]];
      start = end;
      if (!context.wanted(index)) return null;
      return context.emit("Slice", [g, ...bounds.map((list) => integerList(context, list))]);
    });
  },
  compute: (values, attributes, [type]) => {
    const result = zeros(type as TensorType);
    const to: Elements = result.data;
    const axis = axisOf(attributes.axis, result.shape.length);
    const { outer, size, inner } = loopsAlong(result.shape, axis);
    let start = 0;
    values.forEach((_, index) => {
      const value = inputValue(values, index);
      const run = (value.shape[axis] as number) * inner;
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < run; i++) {
          to[o * size * inner + start + i] = value.data[o * run + i] as number | bigint;
        }
      }
      start += run;
    });
    return [result];
  },
};

export interface SplitAttributes extends AxisAttributes {
  /** Number of parts that operator set 18 names; it equals the number of outputs. */
  readonly num_outputs: number | null;
}

/** Sizes of the parts along the axis: as listed in input 1, or as even as can be, the last one smallest. */
function splitSizes(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
  { axis, num_outputs }: SplitAttributes,
  outputs: number,
): number[] {
  const x = inputType(inputs, 0);
  const size = x.shape[axisOf(axis, x.shape.length)] as number;
  const listed = knownIntegers(inputs, known, 1, "the sizes of the parts");
  const part = Math.ceil(size / outputs);
  const sizes =
    listed ??
    Array.from({ length: outputs }, (_, i) => Math.max(0, Math.min(part, size - i * part)));
  const isWhole = sizes.reduce((sum, one) => sum + one, 0) === size && sizes.every((n) => n >= 0);
  const isEven = listed !== null || num_outputs !== null || size % outputs === 0;
  if (sizes.length === outputs && isWhole && isEven) return sizes;
  throw new ModelError(
    `${outputs} parts of sizes [${sizes}] of ${size} elements along axis ${axis}; ` +
      "allowed: sizes that add up to it, one for each output, or equal ones",
  );
}

const Split: OpRule<SplitAttributes> = {
  inputs: [1, 2],
  outputs: [1, Infinity],
  attributes: (raw) => readAttributes(raw, { axis: integer(0), num_outputs: optionalInteger }),
  types: (inputs, attributes, known, outputs) => {
    const { dtype, shape } = inputType(inputs, 0);
    const axis = axisOf(attributes.axis, shape.length);
    return splitSizes(inputs, known, attributes, outputs).map((size) => ({
      dtype,
      shape: shape.map((own, i) => (i === axis ? size : own)),
    }));
  },
  flops: () => 0,
  gradient: (context) => {
    const [x = "", sizes] = context.inputs;
    const types = [context.type(x), sizes ? context.type(sizes) : null];
    const parts = types[0]?.shape ?? [];
    const axis = axisOf(context.attributes.axis, parts.length);
    const gradients: (string | null)[] = [];
    let covered = 0;
    // Outputs are asked for until the axis is used up: unused ones count as well.
    for (let i = 0; covered < (parts[axis] as number); i++) {
      const gradient = context.gradient(i);
      const { shape } = context.type(context.output(i));
      covered += shape[axis] as number;
      gradients.push(gradient);
    }
    if (gradients.every((gradient) => gradient === null)) return [null];
    const like = gradients.find((gradient) => gradient !== null) as string;
    const joined = gradients.map(
      (gradient, i) => gradient ?? zerosLike(context, like, context.type(context.output(i)).shape),
    );
    return [joined.length === 1 ? like : context.emit("Concat", joined, { axis }), null].slice(
      0,
      context.inputs.length,
    );
  },
  lower: (context) => {
    // Operator set 17 has no num_outputs; equal parts need no list.
    const { axis, num_outputs } = context.attributes;
    if (num_outputs === null) return null;
    const [x = "", listed] = context.inputs;
    const types = [context.type(x), listed ? context.type(listed) : null];
    const known = [null, listed ? context.known(listed) : null];
    const sizes = splitSizes(types, known, context.attributes, context.outputs);
    const list = context.constant(int64([sizes.length], sizes));
    return context.emitAll("Split", [x, list], { axis }, context.outputs);
  },
  compute: (values, attributes, outputs) => {
    const x = inputValue(values, 0);
    const axis = axisOf(attributes.axis, x.shape.length);
    const { outer, size, inner } = loopsAlong(x.shape, axis);
    let start = 0;
    return outputs.map((type) => {
      const result = zeros(type);
      const to: Elements = result.data;
      const run = (type.shape[axis] as number) * inner;
      for (let o = 0; o < outer; o++) {
        for (let i = 0; i < run; i++) {
          to[o * run + i] = x.data[o * size * inner + start + i] as number | bigint;
        }
      }
      start += run;
      return result;
    });
  },
};

/** A slice with its bounds settled: per axis the first index, the step and the count. */
interface SliceRange {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

function sliceRanges(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
): readonly SliceRange[] {
  const { shape } = inputType(inputs, 0);
  const starts = knownIntegers(inputs, known, 1, "starts") ?? [];
  const ends = knownIntegers(inputs, known, 2, "ends") ?? [];
  const axes = knownIntegers(inputs, known, 3, "axes") ?? starts.map((_, axis) => axis);
  const steps = knownIntegers(inputs, known, 4, "steps") ?? starts.map(() => 1);
  if ([ends, axes, steps].some((list) => list.length !== starts.length) || steps.includes(0)) {
    throw new ModelError(
      `starts [${starts.join(",")}], ends [${ends.join(",")}], axes [${axes.join(",")}], ` +
        `steps [${steps.join(",")}]; allowed: lists of one length, no step 0`,
    );
  }
  axesOf(axes, shape.length);
  const ranges = shape.map((size) => ({ start: 0, step: 1, count: size }));
  axes.forEach((axis, i) => {
    const at = axisOf(axis, shape.length);
    const size = shape[at] as number;
    const step = steps[i] as number;
    // Bounds beyond the ends are drawn in; going backwards, "before the first" is -1.
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const bound = (value: number): number =>
      Math.min(high, Math.max(low, value < 0 ? value + size : value));
    const [start, end] = [bound(starts[i] as number), bound(ends[i] as number)];
    ranges[at] = { start, step, count: Math.max(0, Math.ceil((end - start) / step)) };
  });
  return ranges;
}

/**
 * Axes of step 1 are padded back with zeros. Along an axis with another step the gradient
 * is scattered to the indices that were read.
 */
function sliceGradient(context: GradientContext<NoAttributes>): (string | null)[] {
  const g = context.gradient(0);
  if (g === null) return [null];
  const [x, ...bounds] = context.inputs as [string, ...string[]];
  const { shape } = context.type(x);
  const types = context.inputs.map((name) => (name === "" ? null : context.type(name)));
  const known = bounds.map((name) => (name === "" ? null : context.known(name)));
  const ranges = sliceRanges(types, [null, ...known]);
  let result = g;
  ranges.forEach(({ start, step, count }, axis) => {
    if (step === 1) return;
    const sizes = context.type(result).shape;
    const positions = Array.from({ length: count }, (_, i) => start + i * step);
    const alongAxis = sizes.map((_, i) => (i === axis ? count : 1));
    const indices = expanded(context, context.constant(int64(alongAxis, positions)), sizes);
    const full = sizes.map((size, i) => (i === axis ? (shape[axis] as number) : size));
    const inputs = [zerosLike(context, g, full), indices, result];
    result = context.emit("ScatterElements", inputs, { axis });
  });
  const padded = ranges.map((range) => range.step === 1);
  const begin = ranges.map(({ start }, axis) => (padded[axis] ? start : 0));
  const end = ranges.map(({ start, count }, axis) =>
    padded[axis] ? (shape[axis] as number) - start - count : 0,
  );
  const pads = [...begin, ...end];
  if (pads.every((pad) => pad === 0)) return [result];
  return [context.emit("Pad", [result, integerList(context, pads)])];
}

const Slice: OpRule<NoAttributes> = {
  inputs: [3, 5],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs, _, known) => [
    {
      dtype: inputType(inputs, 0).dtype,
      shape: sliceRanges(inputs, known).map(({ count }) => count),
    },
  ],
  flops: () => 0,
  gradient: sliceGradient,
  compute: (values, _, [type]) => {
    const x = inputValue(values, 0);
    const own = strides(x.shape);
    const ranges = sliceRanges(values, values);
    const steps = ranges.map(({ step }, axis) => step * (own[axis] as number));
    const first = ranges.reduce((sum, { start }, axis) => sum + start * (own[axis] as number), 0);
    const source = walk((type as TensorType).shape, steps, first);
    return [gathered(type as TensorType, x, (i) => source[i] as number)];
  },
};

/** Operators of this family. */
export const selectionOps = { Concat, Split, Slice };
