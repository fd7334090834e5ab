/**
 * Operators that give the same elements another shape or order. The gradient of
 * a reshape is the reshape back.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  elementCount,
  formatType,
  int64,
  sameShape,
  type TensorType,
} from "../../base/tensor.ts";
import {
  flag,
  integer,
  integers,
  type NoAttributes,
  noAttributes,
  optionalInteger,
  readAttributes,
} from "./attributes.ts";
import {
  axesOf,
  axisOf,
  broadcastIndices,
  broadcastShape,
  gathered,
  strides,
  walk,
} from "./elements.ts";
import { reshaped, summedTo, transposed } from "./gradients.ts";
import { inputType, inputValue, knownIntegers } from "./inputs.ts";
import type { GradientContext, Gradients, InputTypes, OpRule } from "./rule.ts";

/** The gradient of any operator that only regroups the elements of input 0. */
function reshapeBack(context: GradientContext<unknown>): Gradients {
  const g = context.gradient(0);
  if (g === null) return [null];
  return [reshaped(context, g, context.type(context.inputs[0] as string).shape)];
}

/** An operator whose output has the elements of input 0 in their order. */
function regroup<A>(
  inputs: readonly [number, number],
  attributes: OpRule<A>["attributes"],
  shape: (
    type: TensorType,
    attributes: A,
    /** The integers in input 1, null where it is absent. */
    given: () => readonly number[] | null,
  ) => readonly number[],
): OpRule<A> {
  return {
    inputs,
    outputs: [1, 1],
    attributes,
    types: (types, parsed, known) => {
      const type = inputType(types, 0);
      const given = () => knownIntegers(types, known, 1, "the list of sizes or axes");
      return [{ dtype: type.dtype, shape: shape(type, parsed, given) }];
    },
    flops: () => 0,
    isView: true,
    gradient: reshapeBack,
    // What changes nothing is not there.
    lower: ({ attributes: parsed, inputs: names, type, known }) => {
      const types = names.map((name) => (name === "" ? null : type(name)));
      const values = names.map((name) => (name === "" ? null : known(name)));
      const from = inputType(types, 0);
      const given = () => knownIntegers(types, values, 1, "the list of sizes or axes");
      return sameShape(shape(from, parsed, given), from.shape) ? names.slice(0, 1) : null;
    },
    compute: (values, _, [type]) => [
      { ...(type as TensorType), data: inputValue(values, 0).data.slice() },
    ],
  };
}

/** Size 0 copies the input's size (unless `allowzero`), one size -1 takes what is left. */
const Reshape: OpRule<{ readonly allowzero: boolean }> = regroup(
  [2, 2],
  (raw) => readAttributes(raw, { allowzero: flag(false) }),
  (type, { allowzero }, given) => {
    const wanted = given();
    if (wanted === null) throw new ModelError("the shape (input 1) is missing");
    const sizes = wanted.map((size, axis) => {
      if (size !== 0 || allowzero) return size;
      const copied = type.shape[axis];
      if (copied !== undefined) return copied;
      throw new ModelError(`shape [${wanted.join(",")}]: size 0 has no axis to copy`);
    });
    const count = elementCount(type.shape);
    const rest = elementCount(sizes.filter((size) => size !== -1));
    const shape = sizes.map((size) => (size === -1 ? count / rest : size));
    const fits = sizes.filter((size) => size === -1).length <= 1 && elementCount(shape) === count;
    if (fits && shape.every((size) => Number.isInteger(size) && size >= 0)) return shape;
    throw new ModelError(`${formatType(type)} cannot take shape [${wanted.join(",")}]`);
  },
);

const Flatten: OpRule<{ readonly axis: number }> = regroup(
  [1, 1],
  (raw) => readAttributes(raw, { axis: integer(1) }),
  ({ shape }, { axis }) => {
    const at = axis === shape.length ? axis : axisOf(axis, Math.max(1, shape.length));
    return [elementCount(shape.slice(0, at)), elementCount(shape.slice(at))];
  },
);

const Squeeze: OpRule<NoAttributes> = regroup([1, 2], noAttributes, (type, _, given) => {
  const { shape } = type;
  const chosen = given() ?? shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
  const axes = axesOf(chosen, shape.length);
  if (axes.some((axis) => shape[axis] !== 1)) {
    throw new ModelError(`${formatType(type)}: axes [${axes.join(",")}]; allowed: those of size 1`);
  }
  return shape.filter((_, axis) => !axes.includes(axis));
});

const Unsqueeze: OpRule<NoAttributes> = regroup([2, 2], noAttributes, ({ shape }, _, given) => {
  const chosen = given();
  if (chosen === null) throw new ModelError("the axes (input 1) are missing");
  const result = [...shape];
  for (const axis of axesOf(chosen, shape.length + chosen.length)) result.splice(axis, 0, 1);
  return result;
});

const Identity: OpRule<NoAttributes> = regroup([1, 1], noAttributes, ({ shape }) => shape);

export interface ShapeAttributes {
  readonly start: number;
  readonly end: number | null;
}

const shapePart = ({ shape }: TensorType, { start, end }: ShapeAttributes): readonly number[] =>
  shape.slice(start, end ?? shape.length);

/** The sizes of a tensor; known without running anything, so it disappears when a graph is folded. */
const Shape: OpRule<ShapeAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { start: integer(0), end: optionalInteger }),
  types: (inputs, attributes) => [
    { dtype: "int64", shape: [shapePart(inputType(inputs, 0), attributes).length] },
  ],
  flops: () => 0,
  gradient: "its output is a list of sizes and has no gradient",
  compute: (values, attributes) => [sizesTensor(inputValue(values, 0), attributes)],
  fold: (inputs, attributes) => [sizesTensor(inputType(inputs, 0), attributes)],
};

function sizesTensor(type: TensorType, attributes: ShapeAttributes): DenseTensor {
  const sizes = shapePart(type, attributes);
  return int64([sizes.length], sizes);
}

export interface TransposeAttributes {
  readonly perm: readonly number[] | null;
}

/** The permutation; by default the axes in reverse order. */
function permutation(inputs: InputTypes, { perm }: TransposeAttributes): readonly number[] {
  const rank = inputType(inputs, 0).shape.length;
  if (perm === null) return Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const sorted = [...perm].sort((a, b) => a - b);
  if (perm.length === rank && sorted.every((axis, i) => axis === i)) return perm;
  throw new ModelError(
    `attribute perm: got [${perm.join(",")}]; allowed: a permutation of ${rank} axes`,
  );
}

const Transpose: OpRule<TransposeAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { perm: integers }),
  types: (inputs, attributes) => {
    const { dtype, shape } = inputType(inputs, 0);
    return [{ dtype, shape: permutation(inputs, attributes).map((axis) => shape[axis] as number) }];
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null];
    const perm = permutation([context.type(context.inputs[0] as string)], context.attributes);
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return [transposed(context, g, inverse)];
  },
  compute: (values, attributes, [type]) => {
    const x = inputValue(values, 0);
    const own = strides(x.shape);
    const steps = permutation([x], attributes).map((axis) => own[axis] as number);
    const source = walk((type as TensorType).shape, steps);
    return [gathered(type as TensorType, x, (i) => source[i] as number)];
  },
};

/** Broadcasts to a shape; a size 1 in the wanted shape keeps the input's size. */
const Expand: OpRule<NoAttributes> = {
  inputs: [2, 2],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs, _, known) => {
    const { dtype, shape } = inputType(inputs, 0);
    const wanted = knownIntegers(inputs, known, 1, "the shape") ?? [];
    return [{ dtype, shape: broadcastShape(shape, wanted) }];
  },
  flops: () => 0,
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null];
    return [summedTo(context, g, context.type(context.inputs[0] as string).shape)];
  },
  compute: (values, _, [type]) => {
    const x = inputValue(values, 0);
    const source = broadcastIndices(x.shape, (type as TensorType).shape);
    return [gathered(type as TensorType, x, (i) => source[i] as number)];
  },
};

/** Operators of this family. */
export const shapeOps = {
  Reshape,
  Flatten,
  Squeeze,
  Unsqueeze,
  Identity,
  Shape,
  Transpose,
  Expand,
};
