/**
 * What a plan's copies must fulfil that several chains share: exactly what workers carry out
 * (`run/worker/merged-runner.ts`). One runner takes a batch from where its chain comes in to the loss and back, before
 * it takes the next one; so nothing of a chain may come after a shared copy that is elsewhere, and
 * whose turn it is must not depend on what is elsewhere either.
 */
import { present } from "../base/assert.ts";
import { groupBy } from "../base/group.ts";
import type { ChainId, CopyId } from "../base/ids.ts";
import { isPlain } from "../sync/policies.ts";
import type { ChainPlan, CopyPlan, Plan, StagePlan } from "./plan.ts";

export type Check = (fact: boolean, text: string) => asserts fact;

/** Batches that may come to a shared copy in a round: their turns are told in one message. */
export const turnsMax = 50_000;

/** Chains that merge, by the copy at their end. */
function mergedChains({ chains }: Pick<Plan, "chains">): Map<CopyId, ChainPlan[]> {
  const merging = chains.filter(({ stages }) => stages.at(-1)?.merge !== undefined);
  return groupBy(merging, ({ stages }) => present(stages.at(-1), "a chain's end").copy);
}

/**
 * Holds where chains that meet in a copy go on to the same end, merge from there on by the same number,
 * on one node, and take one batch at a time.
 */
export function checkMerges(plan: Plan, copies: ReadonlyMap<string, CopyPlan>, check: Check): void {
  const ends = new Map<CopyId, CopyId>();
  const nodes = new Map<CopyId, string>();
  const numbers = new Map<CopyId, number>();
  for (const chain of plan.chains) {
    const first = chain.stages.findIndex(({ merge }) => merge !== undefined);
    const last = chain.stages.at(-1);
    if (first < 0 || last === undefined) continue;
    check(first > 0, `${chain.id} merges where its data is; a stage has to come before`);
    check(
      chain.schedule === "serial",
      `${chain.id} merges with the schedule ${chain.schedule}; allowed: serial`,
    );
    for (const [i, stage] of chain.stages.slice(first).entries()) {
      checkStage(chain.id, stage, i === chain.stages.length - 1 - first, check);
      const { copy, merge = 0 } = stage;
      check((ends.get(copy) ?? last.copy) === last.copy, `${copy} leads to two ends`);
      ends.set(copy, last.copy);
      const node = copies.get(copy)?.node ?? "";
      check((nodes.get(last.copy) ?? node) === node, `${last.copy} merges on two nodes`);
      nodes.set(last.copy, node);
      check(
        (numbers.get(last.copy) ?? merge) === merge,
        `${last.copy} merges by ${numbers.get(last.copy)} batches, and by ${merge}`,
      );
      numbers.set(last.copy, merge);
    }
  }
  checkAlone(plan, ends, check);
  for (const { policy: kind, clip = null } of ends.size === 0 ? [] : plan.groups) {
    check(
      isPlain({ kind, ...(clip !== null && { clip }) }),
      `copies that chains share have no voice of their own, and are to agree by ${kind}`,
    );
  }
  for (const [copy, chains] of mergedChains(plan)) {
    const turns = chains.reduce((sum, { work }) => sum + work, 0);
    check(turns <= turnsMax, `${copy} has ${turns} batches a round; allowed: up to ${turnsMax}`);
  }
}

function checkStage(
  chain: ChainId,
  { copy, backward, merge }: StagePlan,
  isLast: boolean,
  check: Check,
): void {
  check(
    merge !== undefined && Number.isInteger(merge) && merge >= 1,
    `${copy} of ${chain} merges ${merge} batches; allowed: 1 or more, in every stage after the first that merges`,
  );
  check(
    backward === (isLast ? "none" : "stored"),
    `${copy} of ${chain} merges with backward "${backward}"; allowed: "stored", "none" at the end`,
  );
}

/** A copy of a stage that does not merge is in no chain where it does. */
function checkAlone({ chains }: Plan, merging: ReadonlyMap<CopyId, CopyId>, check: Check): void {
  for (const { id, stages } of chains) {
    for (const { copy, merge } of stages) {
      check(merge !== undefined || !merging.has(copy), `${copy} merges, but not in ${id}`);
    }
  }
}
