/** How what chains bring becomes the tensors that all go on with: shared by rounds and by their replay. */
import { present } from "../../base/assert.ts";
import type { ChainId, CopyId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, Plan } from "../../plan/plan.ts";
import { type Contribution, syncPolicies } from "../../sync/sync.ts";
import type { Tensors } from "../wire/frame.ts";

/**
 * The weight of what a chain brings: its samples, where all chains train as many batches. Otherwise what it has
 * moved by grows with its batches, so that its samples are divided by them, and a sample counts as
 * much wherever it is (Wang et al., "Tackling the objective inconsistency problem in heterogeneous federated
 * optimization", 2020, which divides what was moved instead).
 */
export function partWeights({ chains }: Plan): (chain: ChainId, samples: number) => number {
  const workOf = new Map(chains.map(({ id, work }) => [id, work]));
  const most = Math.max(...workOf.values());
  return (chain, samples) => samples * (most / present(workOf.get(chain), chain));
}

/** What a chain's copies bring to a merge, and their weight. */
export interface BroughtPart {
  readonly samples: number;
  readonly tensors: ReadonlyMap<CopyId, Tensors>;
}

/** A chain that made a round, and the weight of what it brings. */
export interface WeightedChain {
  readonly chain: ChainPlan;
  readonly weight: number;
}

/**
 * What chains bring: each the copies of its own, and then every copy that they share once, with the weight of
 * all of them.
 * @param chains in the order of the plan
 */
export function broughtParts(
  chains: readonly WeightedChain[],
  tensorsOf: (copy: CopyId) => Tensors,
): BroughtPart[] {
  const shared = new Map<CopyId, number>();
  const own = chains.map(({ chain, weight }): BroughtPart => {
    const tensors = new Map<CopyId, Tensors>();
    for (const { copy, merge } of chain.stages) {
      if (merge === undefined) tensors.set(copy, tensorsOf(copy));
      else shared.set(copy, (shared.get(copy) ?? 0) + weight);
    }
    return { samples: weight, tensors };
  });
  const once = [...shared].map(([copy, samples]): BroughtPart => {
    return { samples, tensors: new Map([[copy, tensorsOf(copy)]]) };
  });
  return [...own, ...once];
}

/**
 * Applies each group's policy to the copies that brought something, part after part: never in the order
 * of arrival. The copies of one part have no tensor in common.
 * @param parts in the order of the plan's chains, those of earlier rounds behind
 */
export function mergeGroups(plan: Plan, parts: readonly BroughtPart[]): Map<string, Tensor> {
  const merged = new Map<string, Tensor>();
  for (const group of plan.groups) {
    const members = new Set(group.members);
    const brought = parts.flatMap(({ samples, tensors }) =>
      [...tensors].flatMap(([copy, own]): Contribution[] =>
        members.has(copy) ? [{ samples, tensors: own }] : [],
      ),
    );
    for (const [name, value] of syncPolicies[group.policy](brought)) merged.set(name, value);
  }
  return merged;
}
