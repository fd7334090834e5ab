/**
 * Chains that train one after the other: each round is for those of one phase, and what they have trained comes
 * home with it and goes out with the next one. So a copy is handed on from node to node by the weights that travel
 * with rounds in any case, and all chains have had their part when every phase had its round.
 */
import type { ChainPlan, Plan } from "./plan.ts";

/** Rounds in which every chain of a plan has a part once; 1 where all train in every round. */
export const phasesOf = ({ chains }: Pick<Plan, "chains">): number =>
  chains.reduce((most, { phase = 0 }) => Math.max(most, phase + 1), 1);

/** The plan of a round, numbered from 0: with those of its chains that have a part in it. */
export function inRound(plan: Plan, round: number): Plan {
  const phases = phasesOf(plan);
  if (phases === 1) return plan;
  const isDue = ({ phase = 0 }: ChainPlan): boolean => phase === round % phases;
  return { ...plan, chains: plan.chains.filter(isDue) };
}
