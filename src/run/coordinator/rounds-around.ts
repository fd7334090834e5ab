/** What rounds are given by the coordinator, and what they answer. */
import type { NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, Plan } from "../../plan/plan.ts";
import type { Job } from "../job.ts";
import type { RoundCommitted } from "../metrics/record.ts";
import type { Draws } from "./draws.ts";
import type { TrainingState } from "./training-state.ts";

/** What has become of the round under way. */
export type RoundOutcome =
  | { readonly kind: "under way" }
  | {
      readonly kind: "complete";
      readonly record: RoundCommitted;
      /** The trained tensors after it. */
      readonly merged: ReadonlyMap<string, Tensor>;
    }
  /** Nobody is left in it; hopeless where it would be the same again. */
  | { readonly kind: "empty"; readonly problem: string; readonly isHopeless: boolean };

/** What a round runs under. */
export interface UnderPlan {
  readonly plan: Plan;
  /** Chains with a node that is not there: they are out of the round from the start. */
  readonly broken: readonly ChainPlan[];
  /** The part of the plan that concerns a node. */
  partOf(node: NodeId): Plan;
}

/** What rounds work on and keep to. */
export interface RoundsAround {
  readonly state: TrainingState;
  /** Who is waited for, and what becomes of the late. */
  readonly policy: Job["round"];
  readonly draws: Draws;
}
