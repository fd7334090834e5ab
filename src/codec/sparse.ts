/**
 * Some entries of several tensors in the parts of one message: all values behind one another, and all places.
 * Unlike under top-k, the number of entries is the sender's choice, and goes beside them. A tensor
 * whose entries are all there needs no places.
 */
import type { SparseValues } from "../base/sparse.ts";
import { hollow, type Tensor, tensor } from "../base/tensor.ts";
import { decodeIndices, encodeIndices, indexBytes } from "./index-coding.ts";

const valueBytes = 4;

const placeBytes = (count: number, chosen: number): number =>
  chosen === 0 || chosen === count ? 0 : indexBytes(count, chosen);

/** Bytes that `chosen` of a tensor's `count` entries take. */
export const sparseBytes = (count: number, chosen: number): number =>
  valueBytes * chosen + placeBytes(count, chosen);

/** Entries of several tensors as they travel. */
export interface SparseParts {
  /** Entries of each tensor that are there. */
  readonly chosen: readonly number[];
  /** `values`, float32, and `places`, uint8, where there are any. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Puts entries of several tensors behind one another. */
export function encodeSparse(all: readonly SparseValues[]): SparseParts {
  const chosen = all.map(({ values }) => values.length);
  const counts = all.map(({ count }) => count);
  const [values, places] = [
    new Float32Array(total(chosen)),
    new Uint8Array(placesOf(counts, chosen)),
  ];
  let [valueAt, placeAt] = [0, 0];
  for (const { count, indices, values: own } of all) {
    values.set(own, valueAt);
    valueAt += own.length;
    if (indices === null || placeBytes(count, own.length) === 0) continue;
    const coded = encodeIndices(indices, count);
    places.set(coded, placeAt);
    placeAt += coded.length;
  }
  const tensors = [
    tensor("float32", [values.length], values),
    tensor("uint8", [places.length], places),
  ] as const;
  return { chosen, tensors: named(tensors) };
}

/** Parts of the same sizes, for a world without values. */
export function hollowSparse(counts: readonly number[], chosen: readonly number[]): SparseParts {
  const values = hollow({ dtype: "float32", shape: [total(chosen)] });
  const places = hollow({ dtype: "uint8", shape: [placesOf(counts, chosen)] });
  return { chosen, tensors: named([values, places]) };
}

/** What is empty does not travel. */
const named = ([values, places]: readonly [Tensor, Tensor]): ReadonlyMap<string, Tensor> =>
  new Map([...isThere("values", values), ...isThere("places", places)]);

const isThere = (name: string, part: Tensor): [string, Tensor][] =>
  part.shape[0] === 0 ? [] : [[name, part]];

const total = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

const placesOf = (counts: readonly number[], chosen: readonly number[]): number =>
  total(counts.map((count, i) => placeBytes(count, chosen[i] as number)));

/**
 * The inverse, for parts from anywhere.
 * @param counts entries that each tensor has in all
 * @returns null where they are not entries of such tensors
 */
export function decodeSparse(
  { chosen, tensors }: SparseParts,
  counts: readonly number[],
): SparseValues[] | null {
  if (chosen.length !== counts.length) return null;
  if (chosen.some((own, i) => own > (counts[i] as number))) return null;
  const values = tensors.get("values")?.data ?? new Float32Array(0);
  const places = tensors.get("places")?.data ?? new Uint8Array(0);
  if (!(values instanceof Float32Array && places instanceof Uint8Array)) return null;
  if (values.length !== total(chosen) || places.length !== placesOf(counts, chosen)) return null;
  const all: SparseValues[] = [];
  let [valueAt, placeAt] = [0, 0];
  for (const [i, count] of counts.entries()) {
    const own = chosen[i] as number;
    const end = placeAt + placeBytes(count, own);
    const indices = own === count ? null : decodeIndices(places.subarray(placeAt, end), count, own);
    if (indices === null && own !== count) return null;
    all.push({ count, indices, values: values.subarray(valueAt, valueAt + own) });
    valueAt += own;
    placeAt = end;
  }
  return all;
}
