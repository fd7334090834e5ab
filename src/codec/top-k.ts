/**
 * Top-k: of a tensor's values only those of the largest magnitude travel, with their places; the
 * others come back as zero (Aji and Heafield, "Sparse communication for distributed gradient
 * descent", 2017). What is left out is lost unless error feedback keeps it: `feedback.ts`.
 */
import { assert } from "../base/assert.ts";
import { dense, elementCount, hollow, type TensorType, tensor } from "../base/tensor.ts";
import type { Codec } from "./codec-type.ts";
import { decodeIndices, encodeIndices, indexBytes } from "./index-coding.ts";

/**
 * Keeps a share of the values, at least one, coded by another codec; that many whatever they are,
 * so that the bytes follow from the type. Of equal magnitudes the first are kept. Values that are not
 * finite count as the largest.
 * @param share above 0, at most 1
 */
export function topK(share: number, values: Codec): Codec {
  const kept = ({ shape }: TensorType): TensorType => ({
    dtype: "float32",
    shape: [Math.ceil(share * elementCount(shape))],
  });
  const wire = (type: TensorType): readonly [TensorType, ...TensorType[]] => {
    const chosen = elementCount(kept(type).shape);
    const places = indexBytes(elementCount(type.shape), chosen);
    return [{ dtype: "uint8", shape: [places] }, ...values.wire(kept(type))];
  };
  return {
    wire,
    encode(value, seed) {
      if (value.data === null) return wire(value).map(hollow);
      assert(value.dtype === "float32", `top-k encodes float32, got ${value.dtype}`);
      const all = dense(value).data as Float32Array;
      const indices = largest(all, elementCount(kept(value).shape));
      const chosen = new Float32Array(indices.length);
      for (let i = 0; i < chosen.length; i++) chosen[i] = all[indices[i] as number] as number;
      const places = encodeIndices(indices, all.length);
      return [
        tensor("uint8", [places.length], places),
        ...values.encode(tensor("float32", [chosen.length], chosen), seed),
      ];
    },
    decode([places, ...coded], type) {
      assert(places !== undefined, "places expected, got no parts");
      const decoded = values.decode(coded, kept(type));
      if (places.data === null || decoded.data === null) return hollow(type);
      const all = new Float32Array(elementCount(type.shape));
      const chosen = decoded.data as Float32Array;
      const indices = decodeIndices(places.data as Uint8Array, all.length, chosen.length);
      assert(indices !== null, "top-k decodes sound parts");
      for (let i = 0; i < indices.length; i++) all[indices[i] as number] = chosen[i] as number;
      return tensor("float32", type.shape, all);
    },
    isSound([places, ...coded], type) {
      if (!(values.isSound?.(coded, kept(type)) ?? true)) return false;
      if (!places?.data) return true;
      const [chosen = 0] = kept(type).shape;
      return decodeIndices(places.data as Uint8Array, elementCount(type.shape), chosen) !== null;
    },
  };
}

/** Bits of a magnitude are looked at in three turns, from the top. */
const turns = [
  { shift: 20, buckets: 2048 },
  { shift: 10, buckets: 1024 },
  { shift: 0, buckets: 1024 },
] as const;

/** Ascending indices of the `chosen` values of largest magnitude, found without sorting. */
function largest(values: Float32Array, chosen: number): Int32Array {
  const indices = new Int32Array(chosen);
  if (chosen === 0) return indices;
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  // Magnitudes as integers: they are in the order of their bits, NaN beyond infinity.
  let least = 0;
  let atLeast = chosen;
  for (const { shift, buckets } of turns) {
    const counts = countBuckets(bits, least, shift, buckets);
    let bucket = buckets - 1;
    while ((counts[bucket] as number) < atLeast) atLeast -= counts[bucket--] as number;
    least |= bucket << shift;
  }
  // Now `atLeast` of those that are exactly as large as the least have a place.
  let found = 0;
  for (let i = 0; found < chosen; i++) {
    const magnitude = (bits[i] as number) & 0x7fff_ffff;
    if (magnitude < least || (magnitude === least && atLeast-- <= 0)) continue;
    indices[found++] = i;
  }
  return indices;
}

/** How many magnitudes that agree with `least` above a bucket's bits fall in each bucket. */
function countBuckets(bits: Int32Array, least: number, shift: number, buckets: number): Int32Array {
  const counts = new Int32Array(buckets);
  const above = shift + Math.log2(buckets);
  const prefix = above >= 31 ? 0 : least >> above;
  for (let i = 0; i < bits.length; i++) {
    const magnitude = (bits[i] as number) & 0x7fff_ffff;
    // A shift by 31 would leave nothing to compare, which is what the first turn wants.
    if (magnitude >> above !== prefix) continue;
    const bucket = (magnitude >> shift) & (buckets - 1);
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  return counts;
}
