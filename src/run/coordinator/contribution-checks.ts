/** What may be wrong with a contribution that has come in time, from the right node and for the right round. */
import { isAllFinite } from "../../base/finite.ts";
import type { CopyId } from "../../base/ids.ts";
import type { ExchangePlan } from "../../plan/exchange.ts";
import type { ChainPlan } from "../../plan/plan.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage } from "../wire/messages.ts";

/** A chain as far as its batches are concerned. */
export interface ChainBatches {
  /** With fewer batches than planned where the round was curtailed. */
  readonly plan: ChainPlan;
  readonly plannedWork: number;
  readonly dropped: string | null;
}

/** Name of a tensor with a value that is not finite; null where there is none. */
export function firstNotFinite(tensors: Tensors): string | null {
  for (const [name, value] of tensors) if (!isAllFinite(value)) return name;
  return null;
}

/**
 * What is wrong with how many batches a copy says that it trained, in words; null where nothing is.
 * @param exchange of which it is a member
 */
export function stepsProblem(
  copy: CopyId,
  chains: readonly ChainBatches[],
  message: ContributionMessage,
  exchange: ExchangePlan | null = null,
): string | null {
  const { steps, turns } = message;
  const [first] = chains;
  if (exchange?.computeMs !== undefined && first !== undefined) {
    return pacedProblem(message, first, exchange);
  }
  const stage = first?.plan.stages.find((own) => own.copy === copy);
  const isEnd = first?.plan.stages.at(-1)?.copy === copy;
  if (first === undefined || stage?.merge === undefined) {
    const work = first?.plan.work;
    return steps === work ? null : `${steps} batches of the round's ${work}`;
  }
  if (!isEnd) {
    let [least, most] = [0, 0];
    for (const { plan, plannedWork, dropped } of chains) {
      most += plannedWork;
      if (dropped === null) least += plan.work;
    }
    const isPossible = least <= steps && steps <= most;
    return isPossible ? null : `${steps} batches of the round's ${least} to ${most}`;
  }
  const counts = chains.map(() => 0);
  for (const turn of turns) {
    if (turn >= chains.length) return `a turn of chain ${turn} of ${chains.length}`;
    counts[turn] = (counts[turn] as number) + 1;
  }
  if (steps !== turns.length) return `${steps} batches in ${turns.length} turns`;
  for (const [i, { plan, plannedWork, dropped }] of chains.entries()) {
    const own = counts[i] as number;
    const isRight = dropped === null ? own === plan.work : own <= plannedWork;
    if (!isRight) return `${own} batches of ${plan.id}'s ${plan.work}`;
  }
  return null;
}

/** The same of a member that computes for a time: it says what it took before each exchange. */
function pacedProblem(
  { chain, steps, took = [] }: ContributionMessage,
  { plan }: ChainBatches,
  { every }: ExchangePlan,
): string | null {
  const exchanges = plan.work / (plan.microBatches ?? 1) / every;
  const { batches = [] } = took.find((one) => one.chain === chain) ?? {};
  const sum = batches.reduce((all, own) => all + own, 0);
  if (batches.length === exchanges && sum === steps) return null;
  return `${steps} batches, and ${sum} before ${batches.length} of ${exchanges} exchanges`;
}

/** The same of what it brings on the way, every so many batches. */
export function interimProblem(
  every: number | null,
  chains: readonly ChainBatches[],
  { steps }: Pick<ContributionMessage, "steps">,
): string | null {
  if (every === null) return `${steps} batches of a round that it was to bring at its end`;
  const work = Math.max(...chains.map(({ plannedWork }) => plannedWork));
  const isPossible = steps > 0 && steps < work && steps % every === 0;
  return isPossible ? null : `${steps} batches of ${work}, where it was to bring every ${every}`;
}
