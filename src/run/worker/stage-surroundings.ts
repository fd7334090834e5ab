/** The worker around a stage: time and engine, the processor that it shares with others, and its links (types only). */
import type { NodeId } from "../../base/ids.ts";
import type { Program } from "../../compile/program.ts";
import type { EngineAnswer, EngineRun, Host, Outcome } from "../host.ts";
import type { PacedTraffic, StraightTraffic } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { Message } from "../wire/messages.ts";
import type { FrameFate } from "../wire/sender.ts";

/** What a stage needs of its worker. */
export interface StageSurroundings {
  readonly host: Host;
  /** @param fate of what goes to the coordinator */
  send(message: Message, tensors?: Tensors, fate?: FrameFate): void;
  /** Runs a program on the node's processor. */
  compute(
    program: Program,
    run: EngineRun,
    done: (outcome: Outcome<EngineAnswer>, busyMs: number) => void,
  ): void;
  /** What the node's link has carried at its pace so far. */
  paced(): PacedTraffic;
  /** What that link achieves towards the coordinator, in bytes per millisecond; null before it is known. */
  achieved(): number | null;
  /** What has gone straight to and from a neighbour so far; null where nothing has. */
  straightWith(node: NodeId): StraightTraffic | null;
  /** The node cannot go on. */
  fail(text: string): void;
}
