/**
 * Policies that hold against members who bring what is wrong, by fault or by will. All of them bound what a
 * liar can do to a tensor's entries; none can tell a liar from somebody whose data are unlike
 * everybody else's, so on non-IID data they cost accuracy. They give each copy one voice: a weight
 * by samples would be a liar's to choose.
 */
import { assert } from "../base/assert.ts";
import { dense, hollow, sameShape, type Tensor, tensor } from "../base/tensor.ts";
import { type Contribution, perTensor } from "./sync.ts";

/** Entries of one tensor as each copy brings them. */
type Voices = readonly Float32Array[];

/**
 * Per tensor, joins what the copies that hold it bring, entry by entry.
 * @param join what becomes of the values of one entry, sorted from the least; it may not keep them
 */
function byEntry(
  contributions: readonly Contribution[],
  join: (sorted: Float64Array) => number,
): Map<string, Tensor> {
  return perTensor(contributions, (name, parts) =>
    joined(
      name,
      parts.map((part) => part.tensor),
      join,
    ),
  );
}

function joined(
  name: string,
  values: readonly Tensor[],
  join: (sorted: Float64Array) => number,
): Tensor {
  const first = values[0] as Tensor;
  if (values.some(({ data }) => data === null)) return hollow(first);
  const voices = values.map((value) => {
    assert(sameShape(value.shape, first.shape), `copies of ${name} differ in shape`);
    return dense(value).data as Float32Array;
  });
  const sorted = new Float64Array(voices.length);
  const data = new Float32Array((voices[0] as Float32Array).length);
  for (let i = 0; i < data.length; i++) {
    for (let k = 0; k < voices.length; k++) sorted[k] = (voices[k] as Float32Array)[i] as number;
    sort(sorted);
    data[i] = join(sorted);
  }
  return tensor("float32", first.shape, data);
}

/** So few values are sorted by insertion sooner than by a call: there is one for every entry of a model. */
const fewMax = 32;

function sort(values: Float64Array): void {
  if (values.length > fewMax) values.sort();
  else {
    for (let i = 1; i < values.length; i++) {
      const value = values[i] as number;
      let at = i;
      for (; at > 0 && (values[at - 1] as number) > value; at--) {
        values[at] = values[at - 1] as number;
      }
      values[at] = value;
    }
  }
}

/**
 * The coordinate-wise median (Yin et al., "Byzantine-robust distributed learning", 2018): with fewer liars than
 * honest copies, every entry lies between two honest ones.
 */
export const median = (contributions: readonly Contribution[]): Map<string, Tensor> =>
  byEntry(contributions, (sorted) => {
    const half = (sorted.length - 1) / 2;
    return ((sorted[Math.floor(half)] as number) + (sorted[Math.ceil(half)] as number)) / 2;
  });

/**
 * The coordinate-wise trimmed mean (Yin et al. 2018): without the `liars` least and the `liars` greatest values
 * of each entry. Where fewer than 2 `liars` + 1 copies hold a tensor, what is left is the median.
 */
export const trimmedMean = (
  contributions: readonly Contribution[],
  liars: number,
): Map<string, Tensor> =>
  byEntry(contributions, (sorted) => {
    const cut = Math.min(liars, Math.floor((sorted.length - 1) / 2));
    let sum = 0;
    for (let k = cut; k < sorted.length - cut; k++) sum += sorted[k] as number;
    return sum / (sorted.length - 2 * cut);
  });

/** So many copies Krum needs to hold against `liars` of them. */
export const krumMin = (liars: number): number => 2 * liars + 3;

/**
 * Krum (Blanchard et al., "Machine learning with adversaries", 2017): the one copy whose n - `liars` - 2 nearest
 * others are nearest to it, by squared distance over all tensors; of equals the first.
 * All copies hold the same tensors, and there are at least {@link krumMin} of them.
 */
export function krum(contributions: readonly Contribution[], liars: number): Map<string, Tensor> {
  const count = contributions.length;
  assert(count >= krumMin(liars), `${count} copies do not hold against ${liars} liars by Krum`);
  const apart = distances(contributions);
  const scores = apart.map((row) => {
    const others = [...row].sort((a, b) => a - b);
    // The first is its own, at no distance.
    return others.slice(1, count - liars - 1).reduce((sum, each) => sum + each, 0);
  });
  const chosen = scores.reduce(
    (best, score, i) => (score < (scores[best] as number) ? i : best),
    0,
  );
  return new Map((contributions[chosen] as Contribution).tensors);
}

/** Squared distances between all copies, in the order of the copies. */
function distances(contributions: readonly Contribution[]): number[][] {
  const apart = contributions.map(() => contributions.map(() => 0));
  for (const [name, { data }] of (contributions[0] as Contribution).tensors) {
    if (data === null) continue;
    const voices: Voices = contributions.map(({ tensors }) => {
      const own = tensors.get(name);
      assert(own !== undefined, `a copy has no ${name}, which others have`);
      return dense(own).data as Float32Array;
    });
    for (const [i, a] of voices.entries()) {
      for (let j = 0; j < i; j++) {
        const between = squaredDistance(a, voices[j] as Float32Array);
        (apart[i] as number[])[j] = ((apart[i] as number[])[j] as number) + between;
        (apart[j] as number[])[i] = ((apart[j] as number[])[i] as number) + between;
      }
    }
  }
  return apart;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum;
}

/**
 * Contributions that have moved no further than `norm` from where all began (`base`), by the length of what they changed
 * over all tensors (norm clipping: Sun et al., "Can you really backdoor federated learning?", 2019).
 * Who stayed within it is not touched.
 */
export function clipped(
  contributions: readonly Contribution[],
  base: (name: string) => Tensor,
  norm: number,
): Contribution[] {
  return contributions.map((contribution) => {
    let squared = 0;
    for (const [name, value] of contribution.tensors) {
      const start = base(name);
      if (value.data === null || start.data === null) return contribution;
      squared += squaredDistance(dense(value).data as Float32Array, start.data as Float32Array);
    }
    const length = Math.sqrt(squared);
    if (length <= norm) return contribution;
    const tensors = new Map<string, Tensor>();
    for (const [name, value] of contribution.tensors) {
      const [from, to] = [base(name).data as Float32Array, value.data as Float32Array];
      const data = new Float32Array(to.length);
      for (let i = 0; i < data.length; i++) {
        data[i] = (from[i] as number) + ((to[i] as number) - (from[i] as number)) * (norm / length);
      }
      tensors.set(name, tensor("float32", value.shape, data));
    }
    return { ...contribution, tensors };
  });
}
