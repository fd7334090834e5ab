/**
 * Some entries of several tensors in the parts of one message: all values behind one another, and all places.
 * Unlike under top-k, the number of entries is the sender's choice, and goes beside them. A tensor
 * whose entries are all there needs no places. Values travel as they are, or in codes of 8 or 4 bits with a
 * grid for each 128 of a tensor's values (`affine.ts`).
 */
import type { EncodedSparse, SparseParts, SparseValues } from "../base/sparse.ts";
import { elementCount, hollow, type Tensor, type TensorType, tensor } from "../base/tensor.ts";
import { groupMin } from "./affine-grid.ts";
import { codecs } from "./codec.ts";
import { decodeIndices, encodeIndices, indexBytes } from "./index-coding.ts";

/** Parts of each codec of values, by the names under which they travel. */
const partNames = {
  float32: ["values"],
  affine8: ["codes", "grids"],
  affine4: ["codes", "grids"],
} as const;

/** Codecs that values of an exchange travel in. */
export type SparseCodecName = keyof typeof partNames;
export const sparseCodecNames = Object.keys(partNames) as SparseCodecName[];

const typeOf = (values: number): TensorType => ({ dtype: "float32", shape: [values] });

const placeBytes = (count: number, chosen: number): number =>
  chosen === 0 || chosen === count ? 0 : indexBytes(count, chosen);

/** Bytes that `chosen` of a tensor's `count` entries take. */
const sparseBytes = (codec: SparseCodecName, count: number, chosen: number): number =>
  valueBytes[codec](chosen) + placeBytes(count, chosen);

/** What the parts of so many values take; a choice of entries asks thousands of times. */
const valueBytes: Record<SparseCodecName, (count: number) => number> = {
  float32: (count) => 4 * count,
  affine8: (count) => count + gridBytes(count),
  affine4: (count) => Math.ceil(count / 2) + gridBytes(count),
};

const gridBytes = (count: number): number => 8 * Math.ceil(count / groupMin);

/** What a sender does with entries: see `PartCoding`. */
export const sparseCoding = (codec: SparseCodecName) => ({
  bytesOf: (count: number, chosen: number): number => sparseBytes(codec, count, chosen),
  encode: (all: readonly SparseValues[]): EncodedSparse => encodeSparse(codec, all),
});

/** Puts entries of several tensors behind one another. */
function encodeSparse(codec: SparseCodecName, all: readonly SparseValues[]): EncodedSparse {
  const chosen = all.map(({ values }) => values.length);
  const counts = all.map(({ count }) => count);
  const coded = all.map(({ values }) =>
    codecs[codec].encode(tensor("float32", [values.length], values)),
  );
  const places = new Uint8Array(placesOf(counts, chosen));
  let placeAt = 0;
  for (const { count, indices, values } of all) {
    if (indices === null || placeBytes(count, values.length) === 0) continue;
    const own = encodeIndices(indices, count);
    places.set(own, placeAt);
    placeAt += own.length;
  }
  const joined = partTypes(codec, chosen).map((type, part) => {
    const data =
      type.dtype === "uint8" ? new Uint8Array(length(type)) : new Float32Array(length(type));
    let at = 0;
    for (const own of coded) {
      const values = own[part]?.data as Uint8Array | Float32Array;
      data.set(values, at);
      at += values.length;
    }
    return tensor(type.dtype, type.shape, data);
  });
  const arrived = all.map((own, i): SparseValues => {
    if (codec === "float32") return own;
    const values = codecs[codec].decode(coded[i] as readonly Tensor[], typeOf(own.values.length));
    return { ...own, values: values.data as Float32Array };
  });
  const parts = [...joined, tensor("uint8", [places.length], places)];
  return { parts: { chosen, tensors: named(codec, parts) }, arrived };
}

/** Parts of the same sizes, for a world without values. */
export function hollowSparse(
  codec: SparseCodecName,
  counts: readonly number[],
  chosen: readonly number[],
): SparseParts {
  const places = hollow({ dtype: "uint8", shape: [placesOf(counts, chosen)] });
  const parts = [...partTypes(codec, chosen).map((type) => hollow(type)), places];
  return { chosen, tensors: named(codec, parts) };
}

/** What the values of several tensors take, each part behind that of the tensor before. */
function partTypes(codec: SparseCodecName, chosen: readonly number[]): TensorType[] {
  return partNames[codec].map((_, part) => {
    const types = [0, ...chosen].map((own) => codecs[codec].wire(typeOf(own))[part] as TensorType);
    return { dtype: types[0]?.dtype ?? "float32", shape: [total(types.map(length))] };
  });
}

const length = ({ shape }: TensorType): number => elementCount(shape);

/** What is empty does not travel. */
const named = (codec: SparseCodecName, parts: readonly Tensor[]): ReadonlyMap<string, Tensor> =>
  new Map(
    [...partNames[codec], "places"].flatMap((name, i): [string, Tensor][] => {
      const part = parts[i] as Tensor;
      return part.shape[0] === 0 ? [] : [[name, part]];
    }),
  );

const total = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0);

const placesOf = (counts: readonly number[], chosen: readonly number[]): number =>
  total(counts.map((count, i) => placeBytes(count, chosen[i] as number)));

/**
 * The inverse, for parts from anywhere.
 * @param counts entries that each tensor has in all
 * @returns null where they are not entries of such tensors
 */
export function decodeSparse(
  codec: SparseCodecName,
  { chosen, tensors }: SparseParts,
  counts: readonly number[],
): SparseValues[] | null {
  if (chosen.length !== counts.length) return null;
  if (chosen.some((own, i) => own > (counts[i] as number))) return null;
  const coded = codedParts(codec, chosen, tensors);
  const places = tensors.get("places")?.data ?? new Uint8Array(0);
  if (coded === null || !(places instanceof Uint8Array)) return null;
  if (places.length !== placesOf(counts, chosen)) return null;
  const all: SparseValues[] = [];
  const at = coded.map(() => 0);
  let placeAt = 0;
  for (const [i, count] of counts.entries()) {
    const own = chosen[i] as number;
    const end = placeAt + placeBytes(count, own);
    const indices = own === count ? null : decodeIndices(places.subarray(placeAt, end), count, own);
    if (indices === null && own !== count) return null;
    placeAt = end;
    const parts = codecs[codec].wire(typeOf(own)).map((type, part): Tensor => {
      const from = at[part] as number;
      at[part] = from + length(type);
      const data = (coded[part] as Uint8Array | Float32Array).subarray(from, at[part]);
      return tensor(type.dtype, type.shape, data);
    });
    const values = codecs[codec].decode(parts, typeOf(own)).data as Float32Array;
    all.push({ count, indices, values });
  }
  return all;
}

/** The parts that hold values; null where they are of other types or lengths. */
function codedParts(
  codec: SparseCodecName,
  chosen: readonly number[],
  tensors: ReadonlyMap<string, Tensor>,
): (Uint8Array | Float32Array)[] | null {
  const parts = partTypes(codec, chosen).map((type, i) => {
    const kind = type.dtype === "uint8" ? Uint8Array : Float32Array;
    const data = tensors.get(partNames[codec][i] as string)?.data ?? new kind(0);
    return data instanceof kind && data.length === length(type) ? data : null;
  });
  return parts.every((part) => part !== null) ? parts : null;
}
