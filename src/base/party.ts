/**
 * A party: a node that holds some columns of samples which others hold the rest of (vertical data), as it
 * says itself when it joins.
 */

/** What a party holds. */
export interface Party {
  /** Columns of the model's input, counted along the sample's first axis, in the order in which it has them. */
  readonly columns: readonly number[];
  /** Whether it has the labels as well. */
  readonly hasLabels: boolean;
  /** Digest of the keys of its samples in their order: equal where two parties hold the same samples. */
  readonly keys: string;
}
