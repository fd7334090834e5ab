/** How the chains of a round stand. */
import { groupBy } from "../../base/group.ts";
import type { CopyId } from "../../base/ids.ts";
import type { ChainPlan } from "../../plan/plan.ts";
import type { Memories } from "../link-memory.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import type { Interims } from "./interims.ts";

/** One chain's standing in a round. */
export interface ChainState {
  /** As the plan has it, with fewer batches where the round was curtailed. */
  plan: ChainPlan;
  /** Batches that the plan has for it. */
  readonly plannedWork: number;
  /** Batches that its source had drawn before. */
  readonly firstStep: number;
  /** Why it is out of the round; null while it is in. */
  dropped: string | null;
  /** Why the round went on without it, while it goes on with the round; null where it did not. */
  late: string | null;
  /** Copies that have said that all their batches are trained, and may not have brought them yet. */
  readonly trained: Set<CopyId>;
  /** What its copies have brought on the way. */
  readonly interims: Interims<Brought>;
}

/** The tensors that a copy brings, and what the codecs of its links have come to remember. */
export interface BroughtTensors {
  readonly tensors: Tensors;
  readonly memory: Memories;
}

/** What a copy has brought. */
export interface Brought extends BroughtTensors {
  readonly message: ContributionMessage;
}

/** Whether the round is waiting for a chain, or has it. */
export const isIn = ({ dropped, late }: ChainState): boolean => dropped === null && late === null;

/** The chains of each copy, in their order. */
export function chainsByCopy(chains: readonly ChainState[]): Map<CopyId, ChainState[]> {
  const stages = chains.flatMap((chain) => chain.plan.stages.map(({ copy }) => ({ copy, chain })));
  const byCopy = groupBy(stages, ({ copy }) => copy);
  return new Map([...byCopy].map(([copy, own]) => [copy, own.map(({ chain }) => chain)]));
}
