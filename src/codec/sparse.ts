/**
 * Some entries of a tensor as the parts of a message. Unlike under top-k, the number of entries is
 * the sender's choice: it follows from the length of the values. Nothing is sent of a tensor without
 * entries, and no places where all entries are there.
 */
import type { SparseValues } from "../base/sparse.ts";
import { hollow, type Tensor, tensor } from "../base/tensor.ts";
import { decodeIndices, encodeIndices, indexBytes } from "./index-coding.ts";

const valueBytes = 4;

/** Bytes that so many of a tensor's `count` entries take. */
export function sparseBytes(count: number, chosen: number): number {
  if (chosen === 0) return 0;
  return valueBytes * chosen + (chosen === count ? 0 : indexBytes(count, chosen));
}

/** Parts: none, the values, or places and values. */
export function encodeSparse({ count, indices, values }: SparseValues): Tensor[] {
  if (values.length === 0) return [];
  const coded = tensor("float32", [values.length], values);
  if (indices === null || values.length === count) return [coded];
  const places = encodeIndices(indices, count);
  return [tensor("uint8", [places.length], places), coded];
}

/** Parts of the same sizes, for a world without values. */
export function hollowSparse(count: number, chosen: number): Tensor[] {
  if (chosen === 0) return [];
  const values = hollow({ dtype: "float32", shape: [chosen] });
  if (chosen === count) return [values];
  return [hollow({ dtype: "uint8", shape: [indexBytes(count, chosen)] }), values];
}

/**
 * The inverse, for parts from anywhere.
 * @returns null where they are not some entries of a tensor of `count`
 */
export function decodeSparse(parts: readonly Tensor[], count: number): SparseValues | null {
  if (parts.length === 0) return { count, indices: new Int32Array(0), values: new Float32Array(0) };
  const values = parts.at(-1);
  const chosen = values?.shape[0] ?? 0;
  if (
    values?.dtype !== "float32" ||
    values.shape.length !== 1 ||
    !(values.data instanceof Float32Array)
  ) {
    return null;
  }
  if (parts.length === 1)
    return chosen === count ? { count, indices: null, values: values.data } : null;
  const [places] = parts;
  if (parts.length > 2 || chosen === 0 || chosen >= count || places?.dtype !== "uint8") return null;
  const isCoded =
    places.data instanceof Uint8Array && places.data.length === indexBytes(count, chosen);
  const indices = isCoded ? decodeIndices(places.data as Uint8Array, count, chosen) : null;
  return indices === null ? null : { count, indices, values: values.data };
}
