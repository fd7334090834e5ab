/**
 * What the traffic at a cut reveals, as a score: an attacker who has some samples of its own, with what
 * they look like at the cut, learns from them to tell inputs and labels from features, and is tried on
 * samples that it has not seen. `docs/audit.md` says what such a score is worth.
 */
import { hash32 } from "../base/random.ts";
import { columnMeans, type Matrix, matrix, rowOf } from "./matrix.ts";
import { errorRate, largest, oneHot, Ridge, squaredLoss } from "./ridge.ts";
import { isComparable, type PictureShape, structuralSimilarity } from "./similarity.ts";
import { addToSketch } from "./sketch.ts";

/** How well inputs were reconstructed. */
export interface Reconstruction {
  /**
   * Share of the inputs' variance around their mean that the attacker explains: 1 where it has the
   * inputs themselves, 0 where it does no better than the mean of all. May be a little below 0.
   */
  readonly r2: number;
  /** Mean structural similarity of reconstructed pictures to the true ones; null where inputs are none. */
  readonly ssim: number | null;
}

/** What was found at one cut. */
export interface CutLeakage {
  /** Segments before the cut: those that the device keeps. */
  readonly cut: number;
  /** The segment before the cut. */
  readonly name: string;
  /** Numbers that cross the cut for a sample, and their bytes under the job's codec. */
  readonly values: number;
  readonly bytesPerSample: number;
  /** Null where inputs are numbers of words or of things, which no regression gives back. */
  readonly reconstruction: Reconstruction | null;
  /** Share of labels that the probe tells right. */
  readonly labelAccuracy: number;
}

/** What an audit found; `edgeloom audit --out` writes it, `edgeloom plan --audit` reads it. */
export interface Audit {
  /** The job's model, as the job names it, and its number of segments. */
  readonly model: string;
  readonly segments: number;
  /** The job's codec for features. */
  readonly codec: string;
  readonly seed: number;
  /** Samples that the attacker has, and samples that it was tried on. */
  readonly auxiliary: number;
  readonly attacked: number;
  /** What somebody scores who sees no traffic: the mean of all pictures, the most frequent label. */
  readonly blind: { readonly ssim: number | null; readonly labelAccuracy: number };
  /** By depth, the shallowest first. */
  readonly cuts: readonly CutLeakage[];
}

/** Samples as an attacker may know them. */
export interface KnownSamples {
  /** A row for each; null where inputs are no quantities. */
  readonly inputs: Matrix | null;
  /** A class for each. */
  readonly labels: Int32Array;
}

/** Both parties' samples, and what they are. */
export interface AuditSamples {
  readonly auxiliary: KnownSamples;
  readonly attacked: KnownSamples;
  readonly classes: number;
  /** What inputs are pictures of; null where they are none. */
  readonly picture: PictureShape | null;
  readonly seed: number;
}

/** Numbers that stand for an input while a penalty is chosen. */
const proxySize = 32;

/** What features reveal of inputs and labels: rows stand for the samples, in their order. */
export function leakageOf(
  auxiliary: Matrix,
  attacked: Matrix,
  samples: AuditSamples,
): Pick<CutLeakage, "reconstruction" | "labelAccuracy"> {
  const ridge = new Ridge({ known: auxiliary, asked: attacked });
  const { classes } = samples;
  const said = ridge.answers(oneHot(samples.auxiliary.labels, classes), errorRate);
  const labelAccuracy = 1 - errorRate(said, oneHot(samples.attacked.labels, classes));
  const [known, truth] = [samples.auxiliary.inputs, samples.attacked.inputs];
  if (known === null || truth === null) return { reconstruction: null, labelAccuracy };
  const range = rangeOf(known);
  const guessed = ridge.answers(known, squaredLoss, sketched(known, samples.seed));
  // Any attacker knows which values an input can have.
  for (let i = 0; i < guessed.values.length; i++) {
    guessed.values[i] = Math.min(range.most, Math.max(range.least, guessed.values[i] as number));
  }
  const reconstruction = { r2: r2Of(guessed, truth), ssim: ssimOf(guessed, truth, samples) };
  return { reconstruction, labelAccuracy };
}

/** What is known without any features. */
export function blindOf(samples: AuditSamples): Audit["blind"] {
  const { auxiliary, attacked, classes } = samples;
  const shares = matrix(1, classes, columnMeans(oneHot(auxiliary.labels, classes)));
  const [frequent] = largest(shares);
  const right = attacked.labels.filter((label) => label === frequent).length;
  const labelAccuracy = right / attacked.labels.length;
  if (auxiliary.inputs === null || attacked.inputs === null) return { ssim: null, labelAccuracy };
  const mean = columnMeans(auxiliary.inputs);
  const guessed = matrix(attacked.inputs.rows, attacked.inputs.columns);
  for (let i = 0; i < guessed.rows; i++) rowOf(guessed, i).set(mean);
  return { ssim: ssimOf(guessed, attacked.inputs, samples), labelAccuracy };
}

/** A few numbers in place of each row, with which answers are told apart as well. */
function sketched(a: Matrix, seed: number): Matrix {
  if (a.columns <= proxySize) return a;
  const out = matrix(a.rows, proxySize);
  const drawing = { seed: seed ^ hash32("audit proxy") };
  for (let i = 0; i < a.rows; i++) addToSketch(rowOf(out, i), rowOf(a, i), drawing);
  return out;
}

/** Share of the variance around each value's own mean that is explained, of all values together. */
function r2Of(guessed: Matrix, truth: Matrix): number {
  const means = columnMeans(truth);
  const mean = matrix(truth.rows, truth.columns);
  for (let i = 0; i < mean.rows; i++) rowOf(mean, i).set(means);
  const variance = squaredLoss(mean, truth);
  return variance === 0 ? 0 : 1 - squaredLoss(guessed, truth) / variance;
}

function ssimOf(
  guessed: Matrix,
  truth: Matrix,
  { auxiliary, picture }: AuditSamples,
): number | null {
  if (picture === null || auxiliary.inputs === null || !isComparable(picture)) return null;
  const { least, most } = rangeOf(auxiliary.inputs);
  let sum = 0;
  for (let i = 0; i < truth.rows; i++) {
    const [a, b] = [rowOf(guessed, i), rowOf(truth, i)];
    // Pictures of one single grey are equal whatever range is said.
    sum += structuralSimilarity(a, b, picture, most - least || 1);
  }
  return sum / truth.rows;
}

function rangeOf({ values }: Matrix): { least: number; most: number } {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { least, most };
}
