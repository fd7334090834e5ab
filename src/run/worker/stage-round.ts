/** A stage's round as its worker sees it, whichever kind of runner it has (types only). */
import type { Tensors } from "../wire/frame.ts";
import type { FeatureMessage, GradientMessage } from "../wire/messages.ts";

/** What a worker hands on to a stage in a round. */
export interface StageRound {
  readonly chain: string;
  readonly stage: number;
  readonly round: number;
  /** The chain is out of the round. */
  abandon(): void;
  /** The round has fewer batches than the plan says. */
  shorten(work: number): void;
  onFeature(message: FeatureMessage, tensors: Tensors): void;
  onGradient?(message: GradientMessage, tensors: Tensors): void;
}

/** The same as it begins. */
export interface StartedRound {
  readonly term: number;
  readonly round: number;
  readonly learningRate: number;
  readonly firstStep: number;
  /** Whether the coordinator is away. */
  readonly isAlone?: boolean;
  /** Batches from one time to the next that it brings home what it has come to; null for none before the end. */
  readonly interim: number | null;
}
