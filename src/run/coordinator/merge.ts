/** How what chains bring becomes the tensors that all go on with: shared by rounds and by their replay. */
import { present } from "../../base/assert.ts";
import type { ChainId, CopyId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, Plan } from "../../plan/plan.ts";
import { joinVoices } from "../../sync/policies.ts";
import type { Contribution } from "../../sync/sync.ts";
import { joinPolicy } from "../job-join.ts";
import type { Participant } from "../metrics/record.ts";
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
 * Applies each group's policy to what was brought, part after part: never in the order of arrival. The copies of one part
 * have no tensor in common, and are one voice.
 * @param parts in the order of the plan's chains, those of earlier rounds behind
 * @param base what a tensor was when the round began
 */
export function mergeGroups(
  plan: Plan,
  parts: readonly BroughtPart[],
  base: (name: string) => Tensor,
): Map<string, Tensor> {
  const merged = new Map<string, Tensor>();
  for (const { members: those, policy: kind, liars, clip } of plan.groups) {
    const members = new Set(those);
    const voices = parts.flatMap(({ samples, tensors }): Contribution[] => {
      const own = [...tensors].flatMap(([copy, each]) => (members.has(copy) ? [...each] : []));
      return own.length === 0 ? [] : [{ samples, tensors: new Map(own) }];
    });
    // Who agrees with nobody goes on with what it has.
    const policy = those.length === 1 ? plain : joinPolicy({ kind, liars, clip });
    for (const [name, value] of joinVoices(policy, voices, base)) merged.set(name, value);
  }
  return merged;
}

const plain = { kind: "average" } as const;

/** Mean loss over chains, weighted as their tensors are; null where nothing was computed. */
export function meanLoss(participants: readonly Participant[]): number | null {
  let sum = 0;
  let samples = 0;
  for (const participant of participants) {
    if (participant.loss === null) return null;
    sum += participant.samples * participant.loss;
    samples += participant.samples;
  }
  return samples === 0 ? null : sum / samples;
}
