/**
 * How alike two pictures look: the structural similarity index (Wang, Bovik, Sheikh and Simoncelli,
 * "Image quality assessment: from error visibility to structural similarity", 2004), with the paper's
 * constants: a Gaussian window of 11 x 11 with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03, and
 * the mean over all places where the window lies wholly inside, then over the channels.
 */
import { assert } from "../base/assert.ts";

/** Shape of a picture: channel after channel, row after row. */
export interface PictureShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

const windowSize = 11;
const [k1, k2] = [0.01, 0.03];

const weights: readonly number[] = gaussian(windowSize, 1.5);

function gaussian(size: number, deviation: number): number[] {
  const middle = (size - 1) / 2;
  const raw = Array.from({ length: size }, (_, i) =>
    Math.exp(-((i - middle) ** 2) / (2 * deviation ** 2)),
  );
  const sum = raw.reduce((a, b) => a + b);
  return raw.map((value) => value / sum);
}

/** Whether a picture is large enough for the window. */
export const isComparable = ({ height, width }: PictureShape): boolean =>
  Math.min(height, width) >= windowSize;

/**
 * Structural similarity of two pictures: 1 where they are equal, about 0 where they have nothing in common.
 * @param range the largest difference that two values can have
 */
export function structuralSimilarity(
  a: Float64Array,
  b: Float64Array,
  shape: PictureShape,
  range: number,
): number {
  assert(isComparable(shape), `a picture smaller than the window of ${windowSize}`);
  const size = shape.height * shape.width;
  let sum = 0;
  for (let channel = 0; channel < shape.channels; channel++) {
    const part = [channel * size, (channel + 1) * size] as const;
    sum += channelSimilarity(a.subarray(...part), b.subarray(...part), shape, range);
  }
  return sum / shape.channels;
}

function channelSimilarity(
  a: Float64Array,
  b: Float64Array,
  shape: PictureShape,
  range: number,
): number {
  const [c1, c2] = [(k1 * range) ** 2, (k2 * range) ** 2];
  const meanOf = (of: (i: number) => number): Float64Array => windowed(of, shape);
  const meanA = meanOf((i) => a[i] as number);
  const meanB = meanOf((i) => b[i] as number);
  const squareA = meanOf((i) => (a[i] as number) ** 2);
  const squareB = meanOf((i) => (b[i] as number) ** 2);
  const both = meanOf((i) => (a[i] as number) * (b[i] as number));
  let sum = 0;
  for (let i = 0; i < meanA.length; i++) {
    const [ma, mb] = [meanA[i] as number, meanB[i] as number];
    const varianceA = (squareA[i] as number) - ma * ma;
    const varianceB = (squareB[i] as number) - mb * mb;
    const covariance = (both[i] as number) - ma * mb;
    sum +=
      ((2 * ma * mb + c1) * (2 * covariance + c2)) /
      ((ma * ma + mb * mb + c1) * (varianceA + varianceB + c2));
  }
  return sum / meanA.length;
}

/** Weighted means over the window at each place where it fits: along rows, then along columns. */
function windowed(of: (i: number) => number, { height, width }: PictureShape): Float64Array {
  const [down, across] = [height - windowSize + 1, width - windowSize + 1];
  const rows = new Float64Array(height * across);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) sum += (weights[k] as number) * of(y * width + x + k);
      rows[y * across + x] = sum;
    }
  }
  const out = new Float64Array(down * across);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < windowSize; k++) {
        sum += (weights[k] as number) * (rows[(y + k) * across + x] as number);
      }
      out[y * across + x] = sum;
    }
  }
  return out;
}
