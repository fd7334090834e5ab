/** What a worker is given by its owner, and what it tells it (types only). */
import type { NodeId } from "../../base/ids.ts";
import type { EnergyLimit, Plan } from "../../plan/plan.ts";
import type { PeerAddress } from "../host.ts";
import type { SpanKind } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { JobSpec, Message, RefusalReason, StopReason } from "../wire/messages.ts";
import type { Alone } from "./alone.ts";
import type { WorkerModel } from "./worker-model.ts";

/** What a worker says of itself when it joins. */
export interface WorkerOptions {
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly token: string;
  /** Drawn once per process: who connects anew with the same one is the same worker. */
  readonly instance: string;
  /** Names the physical machine; workers with the same name are probed in turn. */
  readonly machine: string;
  /** Share of one core, above 0 and at most 1. */
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  /** Where other workers reach this one: its owner hands over what comes there ({@link Worker.accept}). */
  readonly address?: PeerAddress | null;
  /** What the worker before it does, whose link to the coordinator was lost; it ends with this one's first plan. */
  readonly before?: Alone | null;
  /** Compiles the model; where absent each worker does so for itself. A simulator compiles once for all. */
  readonly compile?: (structure: Uint8Array, job: JobSpec) => WorkerModel;
}

/** Why a worker ended. */
export interface WorkerEnd {
  readonly reason: Exclude<StopReason, "released"> | "refused" | "lost";
  readonly text: string;
  /** Why it was refused, where it was. */
  readonly refusal?: RefusalReason;
}

/** What a worker tells its owner while it lives, in order. */
export type WorkerEvent =
  | { readonly type: "welcomed"; readonly run: string }
  | { readonly type: "planned"; readonly plan: Plan; readonly node: NodeId }
  | { readonly type: "round"; readonly round: number }
  /** Data go to a neighbour straight from the next round on, or through the coordinator from now on. */
  | {
      readonly type: "way";
      readonly node: NodeId;
      readonly way: "straight" | "relayed";
      readonly text: string;
    };

/** A message with tensors that has left this node or reached it. */
export interface TensorTraffic {
  readonly way: "sent" | "received";
  readonly message: Message;
  readonly tensors: Tensors;
}

export interface WorkerOwner {
  onEvent(event: WorkerEvent): void;
  onEnd(end: WorkerEnd): void;
  /** Told of every message with tensors, for those who want to see what leaves the node. */
  onTensors?(traffic: TensorTraffic): void;
  /** Told of each stretch of computing as it ends, whether somebody watches or not. */
  onWork?(kind: SpanKind, ms: number): void;
}
