/**
 * The policies by which copies agree, by name: the plain mean, and those that hold against members who bring what is
 * wrong. Groups use them at a round's end and members of an exchange while they train.
 */
import type { Tensor } from "../base/tensor.ts";
import { clipped, krum, krumMin, median, trimmedMean } from "./robust.ts";
import { average, type Contribution } from "./sync.ts";

/** Merges what members bring, in the order given, into what all go on with. */
type SyncPolicy = (voices: readonly Contribution[], liars: number) => Map<string, Tensor>;

/** Name of a policy, as jobs give it. All but the average give each member one voice. */
export type SyncPolicyName = "average" | "median" | "trimmed-mean" | "krum";

const syncPolicies: Record<SyncPolicyName, SyncPolicy> = {
  average: (voices) => average(voices),
  median: (voices) => median(voices),
  "trimmed-mean": trimmedMean,
  // With members gone there may be too few for it; the median asks for no number.
  krum: (voices, liars) => (voices.length >= krumMin(liars) ? krum(voices, liars) : median(voices)),
};
export const syncPolicyNames = Object.keys(syncPolicies) as SyncPolicyName[];

/**
 * How what members bring becomes one: their mean, weighted by samples or batches; or what holds against so many
 * `liars`, where each member has one voice. `clip` bounds beforehand how far each may have moved, by the length of
 * the change over all its tensors.
 */
export interface JoinPolicy {
  readonly kind: SyncPolicyName;
  readonly liars?: number;
  readonly clip?: number;
}

/** Whether everybody counts, as much as they bring. */
export const isPlain = ({ kind, clip }: JoinPolicy): boolean =>
  kind === "average" && clip === undefined;

/** So many voices a policy needs to hold against the liars that it is to hold against. */
export function voicesMin({ kind, liars = 0 }: JoinPolicy): number {
  if (kind === "krum") return krumMin(liars);
  return kind === "trimmed-mean" ? 2 * liars + 1 : 1;
}

/**
 * Joins voices by a policy.
 * @param base what all began with, by name
 */
export function joinVoices(
  { kind, liars = 0, clip }: JoinPolicy,
  voices: readonly Contribution[],
  base: (name: string) => Tensor,
): Map<string, Tensor> {
  return syncPolicies[kind](clip === undefined ? voices : clipped(voices, base, clip), liars);
}
