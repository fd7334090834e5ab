/**
 * Arithmetic of shapes and elements that reference kernels share. Kernels
 * compute in float64 and round once at the end (`pack`); speed is not their
 * business, being obviously right is.
 */
import { ModelError } from "../../base/errors.ts";
import {
  type DenseTensor,
  elementCount,
  sameShape,
  type TensorType,
  zeros,
} from "../../base/tensor.ts";

/** Values of any element type, for kernels that only move them. */
export interface Elements {
  readonly length: number;
  [index: number]: number | bigint;
}

/** The values as numbers; int64 is exact below 2^53. */
export function numbers(value: DenseTensor): ArrayLike<number> {
  const { data } = value;
  return data instanceof BigInt64Array ? made(data.length, (i) => Number(data[i])) : data;
}

/** Numbers made one by one. A plain loop: `Float64Array.from` walks an iterator, many times as slowly. */
export function made(length: number, at: (index: number) => number): Float64Array {
  const values = new Float64Array(length);
  for (let i = 0; i < length; i++) values[i] = at(i);
  return values;
}

/** Rounds numbers to the element type; integers are truncated as in C. */
export function pack(type: TensorType, values: ArrayLike<number>): DenseTensor {
  const result = zeros(type);
  const { data } = result;
  if (data instanceof BigInt64Array) {
    for (let i = 0; i < data.length; i++) data[i] = BigInt(Math.trunc(values[i] as number));
  } else {
    data.set(values);
  }
  return result;
}

/** A tensor whose element i is element `source(i)` of another one. */
export function gathered(
  type: TensorType,
  from: DenseTensor,
  source: (index: number) => number,
): DenseTensor {
  const result = zeros(type);
  const to: Elements = result.data;
  for (let i = 0; i < to.length; i++) to[i] = from.data[source(i)] as number | bigint;
  return result;
}

/** Row-major strides: how far apart in memory neighbours along each axis are. */
export function strides(shape: readonly number[]): number[] {
  const result = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result[axis] = step;
    step *= shape[axis] as number;
  }
  return result;
}

/**
 * For every element of `shape` in row-major order, the sum over axes of
 * coordinate x step. With chosen steps this expresses broadcasts (step 0),
 * transposes, slices (step times stride) and pads.
 */
export function walk(shape: readonly number[], steps: readonly number[], start = 0): Int32Array {
  const result = new Int32Array(elementCount(shape));
  const at = new Array<number>(shape.length).fill(0);
  let index = start;
  for (let i = 0; i < result.length; i++) {
    result[i] = index;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index += steps[axis] as number;
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (shape[axis] as number)) break;
      index -= (steps[axis] as number) * (shape[axis] as number);
      at[axis] = 0;
    }
  }
  return result;
}

/**
 * The shape to which several shapes broadcast (numpy's rule, which is ONNX's).
 * @throws ModelError when two sizes differ and neither is 1.
 */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const axis = rank - shape.length + i;
      const size = shape[i] as number;
      if (result[axis] === 1) result[axis] = size;
      else if (size !== 1 && size !== result[axis]) {
        const all = shapes.map((s) => `[${s.join(",")}]`).join(" and ");
        throw new ModelError(`shapes ${all} do not broadcast`);
      }
    }
  }
  return result;
}

/** For every element of `to`, the index of the element of `from` that broadcasts there. */
export function broadcastIndices(from: readonly number[], to: readonly number[]): Int32Array {
  const lead = to.length - from.length;
  const own = strides(from);
  const steps = to.map((_, axis) => {
    const size = axis < lead ? 1 : (from[axis - lead] as number);
    return size === 1 ? 0 : (own[axis - lead] as number);
  });
  return walk(to, steps);
}

/** The values stretched to a shape that they broadcast to. */
export function broadcastNumbers(value: DenseTensor, shape: readonly number[]): ArrayLike<number> {
  const source = numbers(value);
  if (sameShape(value.shape, shape)) return source;
  const indices = broadcastIndices(value.shape, shape);
  return made(indices.length, (i) => source[indices[i] as number] as number);
}

/**
 * An axis counted from 0, where negative ones count from the end.
 * @throws ModelError when it lies outside the rank.
 */
export function axisOf(axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || result < 0 || result >= rank) {
    throw new ModelError(`axis ${axis}: allowed: ${-rank} to ${rank - 1}`);
  }
  return result;
}

/**
 * Distinct axes in ascending order.
 * @throws ModelError when one lies outside the rank or appears twice.
 */
export function axesOf(axes: readonly number[], rank: number): number[] {
  const result = axes.map((axis) => axisOf(axis, rank)).sort((a, b) => a - b);
  if (result.some((axis, i) => axis === result[i - 1])) {
    throw new ModelError(`axes [${axes.join(",")}] name one axis twice`);
  }
  return result;
}

/** Elements before, along and after an axis: the loops of every kernel that works along one. */
export interface AxisLoops {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

export const loopsAlong = (shape: readonly number[], axis: number): AxisLoops => ({
  outer: elementCount(shape.slice(0, axis)),
  size: shape[axis] as number,
  inner: elementCount(shape.slice(axis + 1)),
});
