/** What rounds are given by the coordinator, what they answer, and what they keep of one under way (types only). */
import type { ChainId, CopyId, NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { ChainPlan, Plan } from "../../plan/plan.ts";
import type { Cancel } from "../host.ts";
import type { Job } from "../job.ts";
import type { RoundCommitted } from "../metrics/record.ts";
import type { Draws } from "./draws.ts";
import type { BegunRound, Segments } from "./kept.ts";
import type { Member } from "./members.ts";
import type { MemoryStart } from "./remembered.ts";
import type { Round } from "./round.ts";
import type { TrainingState } from "./training-state.ts";

/** A round that has begun and is not committed. */
export interface OpenRound extends BegunRound {
  readonly round: Round;
  timer: Cancel;
}

/** A round as it begins. */
export interface BeginningRound {
  readonly number: number;
  readonly learningRate: number;
  /** Learning rates of the rounds after it. */
  readonly later: readonly number[];
  /** Batches from one time to the next that copies bring what they have come to; null for none before the end. */
  readonly interim: number | null;
}

/** What a node is sent for a round to start with. */
export interface NodeStart {
  readonly member: Member;
  readonly keep: readonly CopyId[];
  readonly lacking: readonly Segments[];
  /** What the codecs of its links remember. */
  readonly memory: MemoryStart;
  /** Chains that it goes on with in an earlier round. */
  readonly going: readonly ChainId[];
}

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
