/**
 * How copies of the same segments' weights agree: what they bring, and the plain policy, the average.
 * `policies.ts` has all policies by name.
 */
import { assert } from "../base/assert.ts";
import { groupBy } from "../base/group.ts";
import { dense, hollow, sameShape, type Tensor, tensor } from "../base/tensor.ts";

/** What one copy brings: its tensors (parameters and optimizer state) and its weight. */
export interface Contribution {
  /** Samples that the copy stands for: its weight in an average. */
  readonly samples: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/**
 * The weight of a part that is merged into a later round than it was trained in: its samples, discounted by
 * the root of one more than the rounds in between. That is the polynomial discount of Xie, Koyejo and Gupta,
 * "Asynchronous federated optimization" (2019), section 5.2, with the exponent 1/2 of FedBuff (Nguyen et
 * al., "Federated learning with buffered asynchronous aggregation", 2022).
 * @param staleness rounds from the one that it was trained in to the one that it is merged into
 */
export const stalePartWeight = (samples: number, staleness: number): number =>
  samples / Math.sqrt(1 + staleness);

/**
 * Federated averaging (McMahan et al. 2017) per tensor: the mean over the copies
 * that hold the tensor, weighted by samples. Copies may hold different segments,
 * so parts trained on devices meet the same parts trained on the server.
 * Sums in float64 and in the order given, so the result does not depend on arrival.
 */
export function average(contributions: readonly Contribution[]): Map<string, Tensor> {
  for (const { samples } of contributions) {
    assert(samples > 0, `a contribution stands for at least one sample, got ${samples}`);
  }
  return perTensor(contributions, weightedMean);
}

/** One copy's value of a tensor, and the copy's weight. */
export interface HeldTensor {
  readonly name: string;
  readonly tensor: Tensor;
  readonly samples: number;
}

/** Merges each tensor by itself, over the copies that hold it, in their order. */
export function perTensor(
  contributions: readonly Contribution[],
  merge: (name: string, parts: readonly HeldTensor[]) => Tensor,
): Map<string, Tensor> {
  const held = contributions.flatMap(({ samples, tensors }) =>
    [...tensors].map(([name, value]): HeldTensor => ({ name, tensor: value, samples })),
  );
  const byName = groupBy(held, ({ name }) => name);
  return new Map([...byName].map(([name, parts]) => [name, merge(name, parts)]));
}

function weightedMean(name: string, parts: readonly HeldTensor[]): Tensor {
  const first = (parts[0] as { tensor: Tensor }).tensor;
  if (parts.some((part) => part.tensor.data === null)) return hollow(first);
  let total = 0;
  for (const part of parts) total += part.samples;
  const sum = new Float64Array((first.data as Float32Array).length);
  for (const part of parts) {
    assert(sameShape(part.tensor.shape, first.shape), `copies of ${name} differ in shape`);
    const data = dense(part.tensor).data as Float32Array;
    for (let i = 0; i < sum.length; i++) {
      sum[i] = (sum[i] as number) + part.samples * (data[i] as number);
    }
  }
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) / total;
  return tensor("float32", first.shape, new Float32Array(sum));
}
