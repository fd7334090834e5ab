/**
 * Splits the samples of one data set among devices, so that experiments have
 * the uneven data of real ones. Every sample goes to exactly one part, and every
 * part gets at least one.
 *
 * The Dirichlet split draws through Math.log and Math.exp, whose last bits
 * differ between platforms: a partition is computed once, on one machine, and
 * what it says is sent (as files). It is never redrawn elsewhere.
 */
import { InputError } from "../base/errors.ts";
import { type Random, random } from "../base/random.ts";

/** A split by label. */
export interface DirichletOptions {
  /** Number of parts, at least 1 and at most the number of samples. */
  readonly parts: number;
  /** Concentration: 0.1 gives nearly one class per part, 100 nearly equal mixtures. */
  readonly alpha: number;
  readonly seed: number;
}

/**
 * Label-skewed split: for each class, the shares of the parts are drawn from a symmetric
 * Dirichlet(alpha), and the class's samples, shuffled, are cut by them. Dirichlet priors for
 * label skew: Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for
 * Federated Visual Classification", 2019; drawn per class as in Yurochkin et al., "Bayesian
 * Nonparametric Federated Learning of Neural Networks", 2019.
 *
 * A part that would stay empty takes one sample from the part that is then the largest
 * (the first of these, its sample with the highest position).
 *
 * @param labels the class of each sample.
 * @returns positions of samples per part, ascending.
 * @throws InputError when the number of parts or alpha is out of range.
 */
export function dirichletPartition(
  labels: ArrayLike<number>,
  options: DirichletOptions,
): Int32Array[] {
  const { parts, alpha } = options;
  checkParts(parts, labels.length);
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new InputError({ what: "alpha", received: String(alpha), allowed: "a number above 0" });
  }
  const draw = random(options.seed).fork("dirichlet partition");
  const assigned: number[][] = Array.from({ length: parts }, () => []);
  for (const [label, members] of byClass(labels)) {
    const stream = draw.fork(`class ${label}`);
    const shares = dirichlet(parts, alpha, stream);
    stream.shuffle(members);
    let share = 0;
    let from = 0;
    for (const [part, own] of assigned.entries()) {
      share += shares[part] as number;
      const last = part === parts - 1;
      const to = last
        ? members.length
        : Math.min(members.length, Math.round(share * members.length));
      for (; from < to; from++) own.push(members[from] as number);
    }
  }
  const sorted = assigned.map((part) => part.sort((a, b) => a - b));
  fillEmpty(sorted);
  return sorted.map((part) => Int32Array.from(part));
}

/**
 * Even split: samples are shuffled and dealt out; sizes differ by at most one.
 * @returns positions of samples per part, ascending.
 * @throws InputError when the number of parts is out of range.
 */
export function iidPartition(
  samples: number,
  options: { readonly parts: number; readonly seed: number },
): Int32Array[] {
  checkParts(options.parts, samples);
  const order = Int32Array.from({ length: samples }, (_, i) => i);
  random(options.seed).fork("iid partition").shuffle(order);
  return Array.from({ length: options.parts }, (_, part) =>
    order
      .slice(
        Math.floor((part * samples) / options.parts),
        Math.floor(((part + 1) * samples) / options.parts),
      )
      .sort(),
  );
}

function checkParts(parts: number, samples: number): void {
  if (Number.isInteger(parts) && parts >= 1 && parts <= samples) return;
  throw new InputError({
    what: "number of parts",
    received: String(parts),
    allowed: `1 to ${samples}, the number of samples`,
  });
}

/** Positions per class, classes ascending. */
function byClass(labels: ArrayLike<number>): [label: number, members: number[]][] {
  const classes = new Map<number, number[]>();
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i] as number;
    const members = classes.get(label);
    if (members === undefined) classes.set(label, [i]);
    else members.push(i);
  }
  return [...classes].sort(([a], [b]) => a - b);
}

/** Shares that sum to 1. In logarithms, since gamma numbers of a small alpha underflow. */
function dirichlet(parts: number, alpha: number, draw: Random): number[] {
  const logs = Array.from({ length: parts }, () => logGamma(alpha, draw));
  const top = Math.max(...logs);
  const weights = logs.map((log) => Math.exp(log - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/**
 * Logarithm of a gamma-distributed number of the given shape and scale 1 (Marsaglia and Tsang,
 * "A simple method for generating gamma variables", 2000, with their step for shapes below 1).
 */
function logGamma(shape: number, draw: Random): number {
  if (shape < 1) return logGamma(shape + 1, draw) + Math.log(1 - draw.uniform()) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = draw.normal();
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - draw.uniform()) < x * x * 0.5 + d - d * v + d * Math.log(v)) {
      return Math.log(d * v);
    }
  }
}

function fillEmpty(parts: number[][]): void {
  for (const part of parts) {
    if (part.length > 0) continue;
    const largest = parts.reduce((most, other) => (other.length > most.length ? other : most));
    part.push(largest.pop() as number);
  }
}
