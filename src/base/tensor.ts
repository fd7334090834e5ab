/**
 * Tensors as plain data: an element type, a static shape, and row-major
 * values. `data` is null in the null engine's world, where tensors have shape
 * and byte length but no bytes, so that ten thousand simulated devices fit in
 * memory. Code that needs numbers takes a {@link DenseTensor}.
 */
import { assert } from "./assert.ts";

/** Typed array per element type. `bool` holds 0 or 1, one byte each, as in ONNX. */
export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Float16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

/** Element types that the compiler handles; the names are numpy's and ONNX's. */
export type DType = keyof DataOf;
/** Values of a tensor, row-major. */
export type TensorData = DataOf[DType];

/** Element type and static shape; every dimension is a known integer of at least 0. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor whose values may be absent (null engine). */
export interface Tensor extends TensorType {
  readonly data: TensorData | null;
}

/** A tensor with its values. */
export interface DenseTensor extends Tensor {
  readonly data: TensorData;
}

const constructors: {
  [D in DType]: new (
    buffer: ArrayBufferLike,
    offset?: number,
    length?: number,
  ) => DataOf[D];
} = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Float16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

const widths: { readonly [D in DType]: number } = {
  float32: 4,
  float64: 8,
  float16: 2,
  int64: 8,
  int32: 4,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** True for the names of {@link DType}. */
export const isDType = (name: string): name is DType => Object.hasOwn(widths, name);

/** Bytes per element. */
export const bytesPerElement = (dtype: DType): number => widths[dtype];

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return count;
}

/** Bytes that a tensor of this type holds. */
export const byteLength = (type: TensorType): number =>
  elementCount(type.shape) * widths[type.dtype];

/** True when both element type and shape agree. */
export function sameType(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

/** True when two shapes agree in every dimension. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, i) => dimension === b[i]);
}

/** "float32[32,1,28,28]", as in the printed form of graphs. */
export const formatType = (type: TensorType): string => `${type.dtype}[${type.shape.join(",")}]`;

/** A tensor of zeros. */
export function zeros(type: TensorType): DenseTensor {
  const data = new constructors[type.dtype](new ArrayBuffer(byteLength(type)));
  return { dtype: type.dtype, shape: type.shape, data };
}

/** Wraps values; the length must fit the shape. */
export function tensor(dtype: DType, shape: readonly number[], data: TensorData): DenseTensor {
  assert(
    data.length === elementCount(shape),
    `${formatType({ dtype, shape })} needs ${elementCount(shape)} values, got ${data.length}`,
  );
  return { dtype, shape, data };
}

/** float32 tensor from numbers. */
export const float32 = (shape: readonly number[], values: ArrayLike<number>): DenseTensor =>
  tensor("float32", shape, Float32Array.from(values));

/** int64 tensor from integers. */
export const int64 = (shape: readonly number[], values: readonly number[]): DenseTensor =>
  tensor("int64", shape, BigInt64Array.from(values, BigInt));

/** A tensor without values, as the null engine answers. */
export const hollow = (type: TensorType): Tensor => ({
  dtype: type.dtype,
  shape: type.shape,
  data: null,
});

/** The raw little-endian bytes of a tensor's values, without copying. */
export const bytesOf = (dense: DenseTensor): Uint8Array =>
  new Uint8Array(dense.data.buffer, dense.data.byteOffset, dense.data.byteLength);

/**
 * Views bytes as a tensor without copying where their address is aligned for
 * the element type, and copies them once where it is not.
 */
export function tensorOfBytes(type: TensorType, bytes: Uint8Array): DenseTensor {
  assert(
    bytes.byteLength === byteLength(type),
    `${formatType(type)} from ${bytes.byteLength} bytes`,
  );
  // Not `bytes.slice()`: on Node's Buffer, a Uint8Array too, that makes a view, not a copy.
  const aligned = bytes.byteOffset % widths[type.dtype] === 0 ? bytes : new Uint8Array(bytes);
  const data = new constructors[type.dtype](
    aligned.buffer,
    aligned.byteOffset,
    elementCount(type.shape),
  );
  return { dtype: type.dtype, shape: type.shape, data };
}

/** Narrows to a tensor with values; a hollow one here is a bug. */
export function dense(value: Tensor): DenseTensor {
  assert(value.data !== null, `${formatType(value)} has no values (null engine)`);
  return value as DenseTensor;
}

/** A copy that shares no memory with the original. */
export const cloneTensor = (value: DenseTensor): DenseTensor => ({
  ...value,
  data: value.data.slice(),
});
