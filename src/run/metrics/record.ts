/**
 * Records: what peers emit about a run, one JSON object each, in order. Page,
 * command line and exporters fold them; nothing else tells what happened. The
 * `planned`, `round` and `resumed` records together are the committed log that a
 * single-process replay follows.
 */
import type { ChainId, CopyId, NodeId, RunId } from "../../base/ids.ts";
import type { Party } from "../../base/party.ts";
import type { EnergyLimit, FleetLink, Plan, Profile } from "../../plan/plan.ts";

/**
 * Version of the record format, written in the `run` record. Version 2 brought the
 * `environment` record, the job's name, model, data and planner, and where each
 * node's time went.
 */
export const recordVersion = 2;

/** By what and with which versions a run was started; written before all others by its process. */
export interface Environment {
  readonly type: "environment";
  /** Version of Edgeloom. */
  readonly edgeloom: string;
  /** "Node.js 24.1.0". */
  readonly runtime: string;
  /** "linux x64". */
  readonly platform: string;
  readonly cores: number;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** The command line that starts the same run again. */
  readonly command: string;
}

/** The run as the coordinator begins it. */
export interface RunStarted {
  readonly type: "run";
  readonly version: number;
  readonly run: RunId;
  /** Name of the job, its model and its planner. */
  readonly name: string;
  readonly model: string;
  readonly planner: string;
  readonly seed: number;
  readonly rounds: number;
  readonly batch: number;
  readonly localBatches: number;
  readonly parameters: number;
  readonly segments: readonly string[];
}

/** A node has become a member. */
export interface NodeJoined {
  readonly type: "joined";
  readonly node: NodeId;
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  readonly samples: number;
  /** Which columns of them it has, where another party has the rest. */
  readonly party?: Party;
  readonly engine: string;
}

/** A member is gone. */
export interface NodeLeft {
  readonly type: "left";
  readonly node: NodeId;
  readonly name: string;
  readonly reason: string;
  /** Round under way; null before the first. */
  readonly round: number | null;
}

/** How fast a node computes and how far away it is, measured. */
export interface NodeProfiled {
  readonly type: "profiled";
  readonly node: NodeId;
  readonly name: string;
  readonly profile: Profile;
  /** One-way delay of its link, half the smallest round trip seen. */
  readonly latencyMs: number;
  readonly probeMs: number;
}

/** What payloads that were sent only to measure have cost one direction of a way so far. */
export interface WayProbed {
  /** Null for the coordinator. */
  readonly from: NodeId | null;
  readonly to: NodeId | null;
  readonly payloads: number;
  readonly bytes: number;
  /** Time that they held the link. */
  readonly ms: number;
  /** Share of the time since the first. */
  readonly share: number;
}

/**
 * What was known of the ways between nodes when a plan was made, or at the end of the run: rates that
 * one flow achieved; and what measuring has cost by then.
 */
export interface LinksMeasured {
  readonly type: "links";
  /** The plan's. */
  readonly term: number;
  readonly links: readonly FleetLink[];
  readonly probes: readonly WayProbed[];
}

/** A plan has come into force. */
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
  /**
   * The passes of each copy in the order in which it took them ("FFBFB"), where what was computed
   * depends on it: under the schedule `window`. Absent elsewhere.
   */
  readonly passes?: readonly string[];
  /** Batches that its source had drawn before, where they are not those of all rounds before under this plan. */
  readonly firstStep?: number;
  /**
   * Batches that it took before each exchange of the round, where that is not what the plan says but what it managed; and what
   * those took that it had parts of, and that were dropped.
   */
  readonly took?: readonly Took[];
  /** What its copy joined of neighbours whose parts it did not have in time each time. */
  readonly joined?: readonly Joined[];
  /** Weights that it was given by neighbours; absent where there were none. */
  readonly transfers?: readonly Transfer[];
  /** Batches that it trained, where the round was ended before it had as many as the plan says. */
  readonly steps?: number;
}

/** Batches that a member of an exchange took before each exchange of a round. */
export interface Took {
  readonly chain: string;
  readonly batches: readonly number[];
}

/** What a member of an exchange has joined of a neighbour. */
export interface Joined {
  /** The member, where that is not the one that tells: a neighbour may not live to tell it. */
  readonly by?: string;
  readonly chain: string;
  /** Parts of the neighbour that were joined by the end of each exchange. */
  readonly parts: readonly number[];
}

/** What became of weights that a member of an exchange asked a neighbour for: see `TransferRules`. */
export interface Transfer {
  /** The member, where that is not the one that tells: a neighbour may not live to tell it. */
  readonly by?: string;
  /** Whose weights. */
  readonly chain: string;
  /** Exchanges of the round that the neighbour had done, and those of the member when it took them over or did not. */
  readonly version: number;
  readonly at: number;
  /** Loss on held-out samples of the member's own with its weights and with mixed ones; null where it is not finite. */
  readonly ownLoss: number | null;
  readonly mixedLoss: number | null;
  readonly isTaken: boolean;
}

/** What a late chain brought of an earlier round; its weight is `stalePartWeight`. */
export interface FoldedPart extends Participant {
  /** The round that it was trained in, from the tensors at that round's start, with its learning rate. */
  readonly round: number;
}

/** Whose batches a copy trained that several chains share, in their order, those of dropped chains included. */
export interface Turns {
  readonly copy: CopyId;
  /** Places among the chains that end in the copy, in the plan's order. */
  readonly chains: readonly number[];
  /** Batches that the source of each of those chains had drawn before. */
  readonly first: readonly number[];
}

/** Time that a node held its processor in a round, sleeping included, by kind of program. */
export interface HeldMs {
  readonly forward: number;
  readonly backward: number;
  readonly update: number;
  /** Forward, backward and update in one program: the stage that ends with the loss. */
  readonly step: number;
}

/** Traffic that left under a pace, and how long it took to leave. */
export interface PacedTraffic {
  readonly bytes: number;
  readonly ms: number;
}

/** What has gone between a node and a neighbour of its chains on a link of their own. */
export interface StraightTraffic {
  readonly node: NodeId;
  /** Bytes to and from the neighbour. */
  readonly sent: number;
  readonly received: number;
  /** What of it left under the neighbour's share of the bandwidth. */
  readonly paced: PacedTraffic;
  /** What was achieved towards the neighbour, in bytes per millisecond; null before enough was sent. */
  readonly bytesPerMs: number | null;
  /** Half the least round trip; null before the first. */
  readonly latencyMs: number | null;
}

/** What a node has sent one neighbour on a link of their own since the round before. */
export interface StraightSent {
  readonly to: NodeId;
  readonly bytes: number;
  /** What was achieved towards it lately, in bytes per millisecond; null before enough was sent. */
  readonly bytesPerMs: number | null;
}

/** What a round cost one node. */
export interface NodeRound {
  readonly node: NodeId;
  readonly computeMs: number;
  /** Time it held its processor, sleeping included. */
  readonly busyMs: number;
  /** computeMs / busyMs, to compare with the duty asked; null where nothing was computed. */
  readonly dutyAchieved: number | null;
  /** `busyMs` by kind of program; null in records of version 1. */
  readonly held: HeldMs | null;
  /** Most batches that were between their forward and backward pass here; null outside of the schedule `window`. */
  readonly ahead: number | null;
  /** Bytes that left the node and that came to it, straight or through the coordinator. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  /** Bytes of both that went straight, on links between it and its neighbours. */
  readonly bytesStraight: number;
  /** What it sent straight, by neighbour; empty in records of older releases. */
  readonly straight: readonly StraightSent[];
  /** What its link carried up and down at its pace since the last round; null where none was set. */
  readonly sending: PacedTraffic | null;
  readonly receiving: PacedTraffic | null;
  readonly peakRssBytes: number | null;
}

/** A round that members of an exchange made while no coordinator was there: nothing was merged at its end. */
export interface AloneRound {
  readonly learningRate: number;
  readonly participants: readonly Pick<Participant, "chain" | "joined" | "took">[];
}

/** A committed round: exactly the copies listed were merged, in this order, the folded after the others. */
export interface RoundCommitted {
  readonly type: "round";
  readonly round: number;
  readonly term: number;
  readonly learningRate: number;
  readonly ms: number;
  readonly loss: number | null;
  readonly participants: readonly Participant[];
  /** Rounds that its participants made before it, oldest first, which count as part of it; absent where there are none. */
  readonly alone?: readonly AloneRound[];
  /** Rounds in which every chain of the plan has a part once, where that is more than this one. */
  readonly phases?: number;
  /** Late parts of earlier rounds under the same plan; absent where there are none. */
  readonly folded?: readonly FoldedPart[];
  /** One for each copy with the loss that merges; absent where there is none. */
  readonly turns?: readonly Turns[];
  readonly dropped: readonly { readonly chain: ChainId; readonly reason: string }[];
  readonly nodes: readonly NodeRound[];
}

/** Batches that a chain took in a round by itself, where a log says so; null where it took as many as the plan says. */
export function batchesTaken({
  chain,
  took,
}: {
  readonly chain: string;
  readonly took?: readonly Took[] | undefined;
}): number | null {
  const own = took?.find((one) => one.chain === chain);
  return own === undefined ? null : own.batches.reduce((sum, batches) => sum + batches, 0);
}

/** Batches that a chain trained in a round. @param planned those that the plan has it train */
export const batchesTrained = (
  participant: Pick<Participant, "chain" | "took" | "steps">,
  planned: number,
): number => batchesTaken(participant) ?? participant.steps ?? planned;

/**
 * What a round has trained of the batches of a round of all chains: the share of the chain which trained
 * most, from 0 to 1, and of that its part where chains take rounds one after the other; and one for each round before it
 * that counts as part of it.
 */
export function shareTrained(
  {
    participants,
    phases = 1,
    alone = [],
  }: Pick<RoundCommitted, "participants" | "phases" | "alone">,
  localBatches: number,
): number {
  // Records of older releases name no participants that ended early, and some none at all.
  const steps = participants.map((participant) => participant.steps ?? localBatches);
  const share = steps.length === 0 ? 1 : Math.min(1, Math.max(...steps) / localBatches);
  return alone.length + share / phases;
}

/** The run cannot go on with who is there, and waits for others to come back. */
export interface Waiting {
  readonly type: "waiting";
  readonly reason: string;
}

/**
 * The coordinator was started again on what its predecessor left. Rounds from `round` on that
 * were committed before, and measurements after them, are taken back.
 */
export interface Resumed {
  readonly type: "resumed";
  /** Rounds committed: the run goes on with this one, 0-based. */
  readonly round: number;
  /** Newest term issued before. */
  readonly term: number;
  readonly reason: string;
}

/** A measurement on held-out samples. */
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

/** Work that a node can be seen at; what is none of it is waiting. */
export const spanKinds = [
  "forward",
  "backward",
  "update",
  "step",
  "evaluate",
  "sending",
  "receiving",
] as const;
/** A word of {@link spanKinds}. */
export type SpanKind = (typeof spanKinds)[number];

/** A stretch of work: what, how long before its record it began, how long it lasted. */
export type Span = readonly [kind: SpanKind, agoMs: number, ms: number];

/** What a node did lately, told while somebody watches; it is shown and never stored. */
export interface Activity {
  readonly type: "activity";
  readonly node: NodeId;
  /** In order of their ends; ages are by the node's own clock. */
  readonly spans: readonly Span[];
}

/** The last record of a run, unless it is resumed. */
export interface RunEnded {
  readonly type: "ended";
  readonly reason: "finished" | "interrupted" | "failed";
  readonly text: string;
  readonly rounds: number;
}

/** Anything that a run tells of itself. */
export type RunRecord =
  | Environment
  | RunStarted
  | NodeJoined
  | NodeLeft
  | NodeProfiled
  | LinksMeasured
  | Planned
  | RoundCommitted
  | Waiting
  | Resumed
  | Evaluated
  | Activity
  | RunEnded;

/** A record with the time at which it was emitted, in milliseconds since the run started. */
export interface TimedRecord {
  readonly atMs: number;
  readonly record: RunRecord;
}

/**
 * Items without those that a later resumption has taken back.
 * @param recordOf the record that an item is about
 */
export function standing<T>(items: readonly T[], recordOf: (item: T) => RunRecord): T[] {
  let held: T[] = [];
  for (const item of items) {
    const record = recordOf(item);
    if (record.type === "resumed") {
      held = held.filter((earlier) => !isTakenBack(recordOf(earlier), record));
    }
    held.push(item);
  }
  return held;
}

/** Whether a resumption undoes an earlier record. */
const isTakenBack = (earlier: RunRecord, { round }: Resumed): boolean =>
  (earlier.type === "round" && earlier.round >= round) ||
  (earlier.type === "evaluation" && earlier.round > round);
