/**
 * How members of a group join what they have of one another: gradients into the gradient of one large batch, or
 * changes of weights into an outer step. Always in the order of the plan's members, and in float64, so that all
 * who have the same parts compute the same bits.
 */
import { assert, present } from "../base/assert.ts";
import { densified, forEachEntry, type SparseValues } from "../base/sparse.ts";
import { float32, type Tensor } from "../base/tensor.ts";
import { isPlain, type JoinPolicy, joinVoices } from "./policies.ts";
import type { Contribution } from "./sync.ts";

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
  if (!isPlain(policy)) return joinMeans(parts, policy);
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
function joinMeans(parts: readonly SharedPart[], policy: JoinPolicy): Float32Array[] {
  const voices = parts.map(({ batches, tensors }): Contribution => {
    const means = tensors.map((own, i): [string, Tensor] => {
      const mean = densified(own).map((sum) => sum / batches);
      return [String(i), float32([own.count], mean)];
    });
    return { samples: batches, tensors: new Map(means) };
  });
  const zero = (name: string): Tensor => {
    const { count } = present(parts[0]?.tensors[Number(name)], name);
    return float32([count], new Float32Array(count));
  };
  const joint = joinVoices(policy, voices, zero);
  return parts[0]?.tensors.map((_, i) => joint.get(String(i))?.data as Float32Array) ?? [];
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
