/** What a replay holds of a copy and of a stage while a round is computed again. */
import type { CopyId, NodeId } from "../base/ids.ts";
import type { Tensor } from "../base/tensor.ts";
import type { StagePrograms } from "../compile/program.ts";

/** A copy in a round: one for all the chains that share it. */
export interface CopyReplay {
  readonly id: CopyId;
  readonly node: NodeId;
  readonly programs: StagePrograms;
  /** What it holds from batch to batch, by `of` and role: parameters, optimizer state, sums of gradients. */
  readonly held: Map<string, Tensor>;
  /** Batches to an update, and those whose gradients are in the sums. */
  readonly perUpdate: number;
  summed: number;
}

export interface Stage {
  readonly copy: CopyReplay;
  readonly isReplayed: boolean;
  /** The passes that it has still to take, F forward and B backward. */
  passes: string;
  /** Batches that went forward, by those passes: where a round ended early, some did not come back. */
  readonly begun: number;
  /** Batches that went forward and have not come back, by step. */
  readonly underWay: Map<number, UnderWay>;
  /** What has arrived, by step: features with their labels, and gradients. */
  readonly features: Map<number, { crossing: Tensor[]; labels: Tensor }>;
  readonly gradients: Map<number, Tensor[]>;
  /** Passes taken each way. */
  forward: number;
  backward: number;
}

/** What one batch leaves at a stage for its way back. */
export interface UnderWay {
  /** Its features and what was saved of it. */
  readonly own: Map<string, Tensor>;
  /** What the stage held when it went forward. */
  readonly stashed: ReadonlyMap<string, Tensor>;
  /** Batches that had come back by then. */
  readonly backThen: number;
}
