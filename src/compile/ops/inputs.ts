/**
 * What rules ask of their inputs: that they are there, of a float type, of one
 * common type, or constants with small integer lists in them.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, type DType, formatType, type TensorType } from "../../base/tensor.ts";
import { numbers } from "./elements.ts";
import type { InputTypes } from "./rule.ts";

/** Type of input `index`. @throws ModelError when it is absent. */
export function inputType(inputs: InputTypes, index: number): TensorType {
  const type = inputs[index];
  if (type === undefined || type === null) throw new ModelError(`input ${index} is missing`);
  return type;
}

/** Values of input `index` of a kernel, present by its types having been checked. */
export function inputValue(inputs: readonly (DenseTensor | null)[], index: number): DenseTensor {
  const value = inputs[index];
  if (value === undefined || value === null) throw new ModelError(`input ${index} is missing`);
  return value;
}

const floats: readonly DType[] = ["float32", "float64", "float16"];

/** True for element types that have gradients. */
export const isFloat = (dtype: DType): boolean => floats.includes(dtype);

/** @throws ModelError unless the type is a float type. */
export function requireFloat(type: TensorType, what = "input"): TensorType {
  if (isFloat(type.dtype)) return type;
  throw new ModelError(`${what} is ${formatType(type)}; allowed: ${floats.join(", ")}`);
}

/** @throws ModelError unless the element type is one of a few. */
export function requireDType(type: TensorType, allowed: readonly DType[], what: string): void {
  if (allowed.includes(type.dtype)) return;
  throw new ModelError(`${what} is ${formatType(type)}; allowed: ${allowed.join(", ")}`);
}

/** @throws ModelError unless both element types agree. */
export function requireSameDType(a: TensorType, b: TensorType): void {
  if (a.dtype === b.dtype) return;
  throw new ModelError(`inputs ${formatType(a)} and ${formatType(b)} differ in element type`);
}

/** @throws ModelError unless the rank lies within bounds. */
export function requireRank(type: TensorType, min: number, max: number, what = "input"): void {
  const rank = type.shape.length;
  if (rank >= min && rank <= max) return;
  const allowed = min === max ? `${min}` : `${min} to ${max}`;
  throw new ModelError(`${what} is ${formatType(type)}; allowed: ${allowed} dimensions`);
}

/**
 * The integers in constant input `index`, or null where the input is absent.
 * @throws ModelError when the input is there but its values are not known.
 */
export function knownIntegers(
  inputs: InputTypes,
  known: readonly (DenseTensor | null)[],
  index: number,
  what: string,
): number[] | null {
  if (inputs[index] === undefined || inputs[index] === null) return null;
  const value = known[index];
  if (value === undefined || value === null) {
    throw new ModelError(`${what} (input ${index}) must be a constant`);
  }
  return Array.from(numbers(value));
}
