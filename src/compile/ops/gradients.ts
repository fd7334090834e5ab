/**
 * Pieces that many gradient rules share: constants of the right type, reshapes
 * that vanish when there is nothing to do, and sums that undo a broadcast. Rules that
 * write their operator out share them too.
 */
import { type DenseTensor, int64, sameShape } from "../../base/tensor.ts";
import { pack } from "./elements.ts";
import type { GradientContext, InputTypes } from "./rule.ts";

/** The part of a gradient context that emits; rules of every attribute type share it. */
export type Emitter = Pick<GradientContext<never>, "type" | "emit" | "constant">;

/** What stands for the gradient of an operator that `lower` always replaces. */
export const writtenOut = "it is written out before";

/** The part of a context that knows the node's inputs. */
type Inputs = Pick<GradientContext<never>, "inputs" | "type" | "known">;

/** Types of a node's inputs, as rules ask for them. */
export const typesOf = (context: Inputs): InputTypes =>
  context.inputs.map((name) => (name === "" ? null : context.type(name)));

/** Values of those inputs of a node that are constants. */
export const knownOf = (context: Inputs): (DenseTensor | null)[] =>
  context.inputs.map((name) => (name === "" ? null : context.known(name)));

/** A constant scalar of the element type of `like`. */
export const scalar = (context: Emitter, like: string, value: number): string =>
  context.constant(pack({ dtype: context.type(like).dtype, shape: [] }, [value]));

/** A constant list of integers, as Reshape, Slice and ReduceSum take them. */
export const integerList = (context: Emitter, values: readonly number[]): string =>
  context.constant(int64([values.length], values));

/** Zeros of a shape, of the element type of `like`; made by the engine, not stored in the graph. */
export const zerosLike = (context: Emitter, like: string, shape: readonly number[]): string =>
  expanded(context, scalar(context, like, 0), shape);

/** `value` in another shape with as many elements. */
export function reshaped(context: Emitter, value: string, shape: readonly number[]): string {
  if (sameShape(context.type(value).shape, shape)) return value;
  return context.emit("Reshape", [value, integerList(context, shape)]);
}

/** `value` stretched to a shape that it broadcasts to. */
export function expanded(context: Emitter, value: string, shape: readonly number[]): string {
  if (sameShape(context.type(value).shape, shape)) return value;
  return context.emit("Expand", [value, integerList(context, shape)]);
}

/** Sums over axes; with none of them, the value itself. */
export function summed(
  context: Emitter,
  value: string,
  axes: readonly number[],
  keepDimensions = false,
): string {
  if (axes.length === 0) return value;
  const attributes = { keepdims: keepDimensions ? 1 : 0 };
  return context.emit("ReduceSum", [value, integerList(context, axes)], attributes);
}

/** The gradient of a broadcast: sums over the axes along which `shape` was stretched. */
export function summedTo(context: Emitter, gradient: string, shape: readonly number[]): string {
  const from = context.type(gradient).shape;
  const lead = from.length - shape.length;
  const axes = from.flatMap((size, axis) =>
    axis < lead || (shape[axis - lead] === 1 && size !== 1) ? [axis] : [],
  );
  return reshaped(context, summed(context, gradient, axes), shape);
}

/** Values transposed by a permutation of the axes; a reshape where only axes of size 1 move. */
export function transposed(context: Emitter, value: string, perm: readonly number[]): string {
  const { shape } = context.type(value);
  const moving = perm.filter((axis) => shape[axis] !== 1);
  const isReshape = moving.every((axis, i) => i === 0 || axis > (moving[i - 1] as number));
  if (!isReshape) return context.emit("Transpose", [value], { perm });
  return reshaped(
    context,
    value,
    perm.map((axis) => shape[axis] as number),
  );
}
