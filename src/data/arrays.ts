/** Samples that a program has in memory already, as a data set. */
import { InputError } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import { type Dataset, datasetOf } from "./dataset.ts";

/** What numbers alone do not tell of samples. */
export interface ArrayOptions {
  /** Shape of one sample: [features], or [channels, height, width]. */
  readonly inputShape: readonly number[];
  /** Number of classes; the largest label plus one where absent. A part that may lack the last class must say it. */
  readonly classes?: number;
  /** Name per class. */
  readonly classNames?: readonly string[];
}

/**
 * Samples from numbers. The values are copied.
 * @param features all samples, one after the other, row-major: samples x inputShape
 * @param labels class of each sample, from 0
 * @throws InputError where the sizes do not fit, a feature is not finite or a label is no class
 */
export function arrayDataset(
  features: ArrayLike<number>,
  labels: ArrayLike<number>,
  { inputShape, classNames, ...options }: ArrayOptions,
): Dataset {
  const size = elementCount(inputShape);
  if (!inputShape.every((dimension) => Number.isInteger(dimension) && dimension > 0)) {
    throw problem("inputShape", `[${inputShape.join(", ")}]`, "whole numbers from 1");
  }
  if (labels.length === 0 || features.length !== labels.length * size) {
    throw problem(
      "samples",
      `${features.length} features and ${labels.length} labels`,
      `at least one label, and ${size} features for each`,
    );
  }
  const values = Float32Array.from(features);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const where = `feature ${bad % size} of sample ${Math.floor(bad / size)}`;
    throw problem(where, String(features[bad]), "a number that float32 holds");
  }
  const classes =
    options.classes ??
    classNames?.length ??
    1 + Array.from(labels).reduce((a, b) => Math.max(a, b));
  const odd = Array.from(labels).findIndex((label) => !Number.isInteger(label));
  if (odd >= 0) throw problem(`label of sample ${odd}`, String(labels[odd]), "a whole number");
  return datasetOf({
    kind: "arrays",
    inputShape,
    classes,
    ...(classNames === undefined ? {} : { classNames }),
    labels: Int32Array.from(labels),
    copySample: (index, target, offset) =>
      target.set(values.subarray(index * size, (index + 1) * size), offset),
  });
}

const problem = (what: string, received: string, allowed: string): InputError =>
  new InputError({ what, received, allowed });
