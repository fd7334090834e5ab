/**
 * A labelled data set in memory, whatever it was decoded from. Decoders in this
 * folder take bytes and give a {@link Dataset}; who read the bytes, and from
 * where, they do not know.
 *
 * Samples stay in the form in which they arrived (a byte per pixel, say) and
 * become float32 only when a batch is gathered.
 */
import { assert } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { type DenseTensor, elementCount, tensor } from "../base/tensor.ts";

/** A class per sample, from 0. */
export type Labels = Uint8Array | Int32Array;

/** A batch: features float32 [n, ...inputShape], labels int64 [n]. */
export interface Batch {
  readonly features: DenseTensor;
  readonly labels: DenseTensor;
}

/** Labelled samples of one shape. */
export interface Dataset {
  /** What the samples were decoded from. */
  readonly kind: "idx" | "csv" | "images" | "texts" | "ratings" | "arrays";
  readonly samples: number;
  /** Shape of one sample, without the batch: [channels, height, width] or [features]. */
  readonly inputShape: readonly number[];
  /** Number of classes; every label is below it. */
  readonly classes: number;
  /** Name per class, where the source has names. */
  readonly classNames?: readonly string[];
  /** One class per sample. */
  readonly labels: Labels;
  /** What each sample is known by to others who hold other columns of it, where it has such a name. */
  readonly keys?: readonly string[];
  /** The samples at these positions, in this order; a position may occur more than once. */
  gather(indices: ArrayLike<number>): Batch;
}

/** What a decoder knows of its samples. */
export interface DatasetSource extends Omit<Dataset, "samples" | "gather"> {
  /** Writes sample `index` as numbers to `target`, beginning at `offset`. */
  copySample(index: number, target: Float32Array, offset: number): void;
}

/**
 * Completes what a decoder knows to a data set.
 * @throws InputError when a label is not below `classes`.
 */
export function datasetOf(source: DatasetSource): Dataset {
  const { copySample, ...facts } = source;
  const { labels, inputShape, classes } = facts;
  const samples = labels.length;
  const size = elementCount(inputShape);
  const bad = labels.findIndex((label) => label < 0 || label >= classes);
  if (bad >= 0) {
    throw new InputError({
      what: `label of sample ${bad}`,
      received: String(labels[bad]),
      allowed: `0 to ${classes - 1}`,
    });
  }
  return {
    ...facts,
    samples,
    gather(indices) {
      const features = new Float32Array(indices.length * size);
      const targets = new BigInt64Array(indices.length);
      for (let i = 0; i < indices.length; i++) {
        const index = indices[i] as number;
        assert(index >= 0 && index < samples, `sample ${index} of ${samples}`);
        copySample(index, features, i * size);
        targets[i] = BigInt(labels[index] as number);
      }
      return {
        features: tensor("float32", [indices.length, ...inputShape], features),
        labels: tensor("int64", [indices.length], targets),
      };
    },
  };
}

/** The samples at these positions as a data set of their own; shares the values. */
export function subset(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  const chosen = Int32Array.from(indices);
  for (const index of chosen) {
    assert(index >= 0 && index < dataset.samples, `sample ${index} of ${dataset.samples}`);
  }
  return {
    ...dataset,
    samples: chosen.length,
    labels: Int32Array.from(chosen, (index) => dataset.labels[index] as number),
    ...(dataset.keys !== undefined && {
      keys: Array.from(chosen, (index) => dataset.keys?.[index] as string),
    }),
    gather: (positions) =>
      dataset.gather(
        Int32Array.from(positions, (position) => {
          assert(
            position >= 0 && position < chosen.length,
            `sample ${position} of ${chosen.length}`,
          );
          return chosen[position] as number;
        }),
      ),
  };
}
