/** Tensors of which only some entries are known or sent; the others count as zero. Plain data, as tensors are. */

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
