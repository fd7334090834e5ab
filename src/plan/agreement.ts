/** How a plan's copies agree at a round's end, as the job says; and whether they are enough for it. */
import { PlanError } from "../base/errors.ts";
import type { CopyId } from "../base/ids.ts";
import { type JoinPolicy, voicesMin } from "../sync/policies.ts";
import type { GroupPlan, PlanRequest } from "./plan.ts";

/**
 * The group of copies that agree after each round.
 * @param voices chains that bring something to it
 * @throws PlanError where they are too few for what the job asks
 */
export function roundGroup(
  { join = { kind: "average" } }: Pick<PlanRequest, "join">,
  members: readonly CopyId[],
  voices: number,
): GroupPlan {
  refuseFew(join, voices);
  const { kind: policy, ...bounds } = join;
  return { members, policy, ...bounds, when: "round" };
}

/** @throws PlanError where a policy does not hold with so few against the liars that it is to hold against */
export function refuseFew(policy: JoinPolicy, voices: number): void {
  const least = voicesMin(policy);
  if (voices >= least) return;
  throw new PlanError(
    `${policy.kind} against ${policy.liars ?? 0} liars takes ${least} who have a voice, and there are ${voices}`,
  );
}
