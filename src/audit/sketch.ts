/**
 * Fewer numbers for many (count sketch: Charikar, Chen and Farach-Colton, "Finding frequent items in
 * data streams", 2002; for learning: Weinberger et al., "Feature hashing for large scale multitask
 * learning", 2009). Each number is added, with a sign, to one of few buckets; place and sign are drawn
 * by a hash of its position. Inner products stay what they were in the mean, and are off by about
 * one part in the root of the number of buckets, so a linear attack finds nearly what it would have found.
 */
import { counterHash } from "../base/random.ts";

/**
 * Adds numbers to their buckets.
 * @param from position of the first number among all that are sketched together
 */
export function addToSketch(
  buckets: Float32Array | Float64Array,
  values: ArrayLike<number>,
  { seed, from = 0 }: { readonly seed: number; readonly from?: number },
): void {
  for (let i = 0; i < values.length; i++) {
    const hash = counterHash(seed, from + i);
    const bucket = (hash >>> 1) % buckets.length;
    const value = values[i] as number;
    buckets[bucket] = (buckets[bucket] as number) + (hash & 1 ? value : -value);
  }
}
