/**
 * How members of a group join what they have of one another: gradients into the gradient of one large batch, or
 * changes of weights into an outer step. Always in the order of the plan's members, and in float64, so that all
 * who have the same parts compute the same bits.
 */
import { assert } from "../base/assert.ts";
import { densified, forEachEntry, type SparseValues } from "../base/sparse.ts";
import { float32, type Tensor } from "../base/tensor.ts";
import { clipped, krum, median, trimmedMean } from "./robust.ts";
import { type Contribution, syncPolicies } from "./sync.ts";

/**
 * How parts become one: their mean, weighted by batches; or what holds against so many `liars`, where each member
 * has one voice. `clip` bounds the length of each part, over all its tensors, beforehand.
 */
export interface JoinPolicy {
  readonly kind: "average" | "median" | "trimmed-mean" | "krum";
  readonly liars?: number;
  readonly clip?: number;
}

/** What one member has computed since it shared last: sums over its batches, of each tensor. */
export interface SharedPart {
  readonly batches: number;
  readonly tensors: readonly SparseValues[];
}

/**
 * The mean over the batches of all parts: where all entries are there, that of one batch as large as all of
 * them together. Entries that are not there count as zeros.
 * @param parts in the order of the plan's members; what one brings several of, from the oldest
 * @param batches of the joint batch, where not all members bring something; else those of the parts
 */
export function joinParts(
  parts: readonly SharedPart[],
  { policy, batches }: { readonly policy: JoinPolicy; readonly batches?: number },
): Float32Array[] {
  const first = parts[0];
  assert(first !== undefined, "there is nothing to join");
  const total = batches ?? parts.reduce((sum, part) => sum + part.batches, 0);
  if (policy.kind !== "average" || policy.clip !== undefined) return joinVoices(parts, policy);
  return first.tensors.map(({ count }, i) => {
    const sum = new Float64Array(count);
    for (const { tensors } of parts) {
      forEachEntry(tensors[i] as SparseValues, (at, value) => {
        sum[at] = (sum[at] as number) + value;
      });
    }
    const mean = new Float32Array(count);
    for (let k = 0; k < count; k++) mean[k] = (sum[k] as number) / total;
    return mean;
  });
}

/** Joins means over each member's batches: policies that weigh members against one another. */
function joinVoices(
  parts: readonly SharedPart[],
  { kind, liars = 0, clip }: JoinPolicy,
): Float32Array[] {
  const voices = parts.map(({ batches, tensors }): Contribution => {
    const means = tensors.map((own, i): [string, Tensor] => {
      const mean = densified(own).map((sum) => sum / batches);
      return [String(i), float32([own.count], mean)];
    });
    return { samples: batches, tensors: new Map(means) };
  });
  const base = new Map(
    [...(voices[0] as Contribution).tensors].map(([name, { shape }]): [string, Tensor] => {
      return [name, float32(shape, new Float32Array(shape[0] as number))];
    }),
  );
  const held = clip === undefined ? voices : clipped(voices, base, clip);
  const joint = joinedBy(held, kind, liars);
  return parts[0]?.tensors.map((_, i) => joint.get(String(i))?.data as Float32Array) ?? [];
}

function joinedBy(
  voices: readonly Contribution[],
  kind: JoinPolicy["kind"],
  liars: number,
): ReadonlyMap<string, Tensor> {
  switch (kind) {
    case "average":
      return syncPolicies.average(voices);
    case "median":
      return median(voices);
    case "trimmed-mean":
      return trimmedMean(voices, liars);
    case "krum":
      // With members gone there may be too few for it; the median asks for no number.
      return voices.length >= 2 * liars + 3 ? krum(voices, liars) : median(voices);
  }
}

/** The outer step of local training: see `outerStep`. Plain averaging has a rate of 1 and no momentum. */
export interface OuterStep {
  readonly rate: number;
  readonly momentum: number;
}

/**
 * Moves weights that were agreed upon by the mean of what members have changed since, with Nesterov's momentum
 * (Douillard et al., "DiLoCo", 2023): v <- m v + d; w <- w + r (d + m v).
 * @param velocity is moved in place
 */
export function outerStep(
  agreed: Float32Array,
  change: Float32Array,
  velocity: Float32Array,
  { rate, momentum }: OuterStep,
): Float32Array {
  const next = new Float32Array(agreed.length);
  for (let i = 0; i < next.length; i++) {
    const d = change[i] as number;
    const v = Math.fround(momentum * (velocity[i] as number) + d);
    velocity[i] = v;
    next[i] = (agreed[i] as number) + rate * (d + momentum * v);
  }
  return next;
}
