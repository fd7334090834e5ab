/** Tensors of which only some entries are known or sent; the others count as zero. Plain data, as tensors are. */
import type { Tensor } from "./tensor.ts";

/** Some float32 entries of a tensor, by their places. */
export interface SparseValues {
  /** Entries that the tensor has in all. */
  readonly count: number;
  /** Ascending places of the values; null where they are all there. */
  readonly indices: Int32Array | null;
  readonly values: Float32Array;
}

/** Calls `use` with the place and value of each entry that is there, in ascending order of places. */
export function forEachEntry(
  { indices, values }: SparseValues,
  use: (at: number, value: number) => void,
): void {
  for (let i = 0; i < values.length; i++) {
    use(indices === null ? i : (indices[i] as number), values[i] as number);
  }
}

/** All entries, those that are not there as zeros; shares its memory where all are there. */
export function densified(sparse: SparseValues): Float32Array {
  if (sparse.indices === null) return sparse.values;
  const all = new Float32Array(sparse.count);
  forEachEntry(sparse, (at, value) => {
    all[at] = value;
  });
  return all;
}

/** Entries of several tensors as they travel. */
export interface SparseParts {
  /** Entries of each tensor that are there. */
  readonly chosen: readonly number[];
  /** Values, or codes and their grids; and `places`, uint8: each where there are any. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** What is sent of some entries, and what comes of them where it is received. */
export interface EncodedSparse {
  readonly parts: SparseParts;
  readonly arrived: readonly SparseValues[];
}
