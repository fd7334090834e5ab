/**
 * Records: what peers emit about a run, one JSON object each, in order. Page,
 * command line and exporters fold them; nothing else tells what happened. The
 * `planned` and `round` records together are the committed log that a
 * single-process replay follows.
 */
import type { ChainId, CopyId, NodeId, RunId } from "../../base/ids.ts";
import type { Plan, Profile } from "../../plan/plan.ts";

/** Version of the record format, written in the first record of a run. */
export const recordVersion = 1;

export interface RunStarted {
  readonly type: "run";
  readonly version: number;
  readonly run: RunId;
  readonly seed: number;
  readonly rounds: number;
  readonly batch: number;
  readonly parameters: number;
  readonly segments: readonly string[];
}

export interface NodeJoined {
  readonly type: "joined";
  readonly node: NodeId;
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  readonly samples: number;
  readonly engine: string;
}

export interface NodeLeft {
  readonly type: "left";
  readonly node: NodeId;
  readonly name: string;
  readonly reason: string;
  /** Round under way; null before the first. */
  readonly round: number | null;
}

export interface NodeProfiled {
  readonly type: "profiled";
  readonly node: NodeId;
  readonly name: string;
  readonly profile: Profile;
  /** One-way delay of its link, half the smallest round trip seen. */
  readonly latencyMs: number;
  readonly probeMs: number;
}

export interface Planned {
  readonly type: "planned";
  readonly plan: Plan;
  /** First round under this plan. */
  readonly round: number;
  readonly reason: string;
}

/** What one chain brought to a committed round. */
export interface Participant {
  readonly chain: ChainId;
  readonly node: NodeId;
  readonly copies: readonly CopyId[];
  /** Weight in the average: training samples of the source. */
  readonly samples: number;
  readonly loss: number | null;
}

/** What a round cost one node. */
export interface NodeRound {
  readonly node: NodeId;
  readonly computeMs: number;
  /** Time it held its processor, sleeping included. */
  readonly busyMs: number;
  /** computeMs / busyMs, to compare with the duty asked; null where nothing was computed. */
  readonly dutyAchieved: number | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly peakRssBytes: number | null;
}

/** A committed round: exactly the copies listed were merged, in this order. */
export interface RoundCommitted {
  readonly type: "round";
  readonly round: number;
  readonly term: number;
  readonly learningRate: number;
  readonly ms: number;
  readonly loss: number | null;
  readonly participants: readonly Participant[];
  readonly dropped: readonly { readonly chain: ChainId; readonly reason: string }[];
  readonly nodes: readonly NodeRound[];
}

export interface Evaluated {
  readonly type: "evaluation";
  /** Rounds committed before the measurement. */
  readonly round: number;
  readonly samples: number;
  readonly accuracy: number | null;
  readonly loss: number | null;
  readonly ms: number;
  /** True for the measurement over all held-out samples that ends a run. */
  readonly final: boolean;
}

export interface RunEnded {
  readonly type: "ended";
  readonly reason: "finished" | "interrupted" | "failed";
  readonly text: string;
  readonly rounds: number;
}

export type RunRecord =
  | RunStarted
  | NodeJoined
  | NodeLeft
  | NodeProfiled
  | Planned
  | RoundCommitted
  | Evaluated
  | RunEnded;
