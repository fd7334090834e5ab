/**
 * The plan: one type for every training scheme. A planner is a pure function
 * from costs and fleet to a plan; peers carry out whatever plan they are given
 * and never ask which scheme it came from.
 *
 * Fields of the full vocabulary that no issue has needed yet (gates, phases)
 * are absent from the types, so a plan cannot name them; `checkPlan`
 * refuses what arrives from outside.
 */
import type { ChainId, CopyId, NodeId } from "../base/ids.ts";
import type { Party } from "../base/party.ts";
import type { LinkCodecName } from "../codec/link-codec.ts";
import type { SegmentCost } from "../compile/segment.ts";
import type { JoinPolicy } from "../sync/policies.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { StreamChoice } from "./exchange-stream.ts";
import type { TopologyName } from "./exchange-topology.ts";

/** One instance of the weights of segments [from, to) on a node. */
export interface CopyPlan {
  readonly id: CopyId;
  readonly node: NodeId;
  readonly from: number;
  readonly to: number;
  readonly mode: "train";
}

/** One stage of a chain. Its input is the stage before it, or the source's data. */
export interface StagePlan {
  readonly copy: CopyId;
  /**
   * - `stored`: activations and the parameters that made them are kept from forward to backward
   *   (weight stashing, Narayanan et al., "PipeDream", 2019)
   * - `replay`: the input alone is kept; backward computes forward once more with the parameters of
   *   the moment (feature replay, Huo et al., "Training neural networks using features replay", 2018)
   * - `none`: the stage holds the loss, and does both at once
   */
  readonly backward: "stored" | "replay" | "none";
  /**
   * Given where the copy may be in several chains: it takes their batches by turns, one at a time, and its
   * parameters move by the mean gradient of so many batches, whichever chains they are of. Once chains
   * have come to such a copy, all their stages to the end are of this kind, and on one node.
   */
  readonly merge?: number;
}

/**
 * In which order a chain's stages work on its batches.
 * - `serial`: one batch at a time: forward, backward, update.
 * - `gpipe`: the batches of one update (`accumulate` of them) go forward one after the other, then
 *   back (Huang et al., "GPipe", 2019).
 * - `1f1b`: the same batches, but each goes back as soon as it can, so that a stage keeps no more of
 *   them than there are stages from it to the last one (Narayanan et al., 2019).
 * - `window`: updates do not hold up the batches after them: a batch goes forward as soon as fewer
 *   than `window + 1` are under way.
 *
 * The first three compute the same to the last bit.
 */
export type ScheduleKind = "serial" | "gpipe" | "1f1b" | "window";

/** How one batch flows. */
export interface ChainPlan {
  readonly id: ChainId;
  /** The node whose data it trains on; it holds the first stage. */
  readonly source: NodeId;
  readonly stages: readonly StagePlan[];
  readonly schedule: ScheduleKind;
  /** Staleness bound of the schedule `window`: so many batches' updates a forward pass may miss. 0 elsewhere. */
  readonly window: number;
  /** Batches per round. */
  readonly work: number;
  /**
   * Where chains of a plan train one after the other: a round is for those whose phase its number leaves when it is
   * divided by how many phases there are. All train in every round where absent.
   */
  readonly phase?: number;
  /** Batches to an update, where members of an exchange take unequally many; else the job's number. */
  readonly microBatches?: number;
}

/**
 * Copies whose weights agree by a policy, against so many liars where it is one for that. Copies of one chain speak
 * with one voice.
 */
export interface GroupPlan extends Omit<JoinPolicy, "kind"> {
  readonly members: readonly CopyId[];
  readonly policy: JoinPolicy["kind"];
  /** After each round, or, in addition, while its members train: by their exchange. */
  readonly when: "round" | "step";
  readonly exchange?: ExchangePlan;
}

/** A chain's share of a link between two nodes, and the codecs on it. */
export interface LinkPlan {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly chain: ChainId;
  /** Pacing rate in bytes per millisecond, each way unless the way back has one of its own; null where nothing limits it (same process). */
  readonly bytesPerMs: number | null;
  /** The rate of the way back where it has one of its own. */
  readonly backBytesPerMs?: number | null;
  readonly codecUp: LinkCodecName;
  readonly codecDown: LinkCodecName;
}

/** What a node may use. */
export interface LimitPlan {
  readonly node: NodeId;
  /** Share of one core's time, above 0 and at most 1. */
  readonly duty: number;
}

/** What the planner expects of one chain, with its reason: a row of the plan's table. */
export interface Forecast {
  readonly chain: ChainId;
  readonly roundMs: number;
  readonly computeMs: number;
  readonly transferMs: number;
  readonly reason: string;
}

/** Who trains which layers on whose data, over which share of which link, and why. */
export interface Plan {
  /** Version of the plan; grows by one with each change. */
  readonly term: number;
  /** Name of the planner. */
  readonly planner: string;
  readonly objective: "round time";
  readonly copies: readonly CopyPlan[];
  readonly chains: readonly ChainPlan[];
  readonly groups: readonly GroupPlan[];
  readonly links: readonly LinkPlan[];
  readonly limits: readonly LimitPlan[];
  readonly forecasts: readonly Forecast[];
  readonly reason: string;
}

/** Measured milliseconds of one segment for one batch at full speed (duty 1); the last one's include the loss. */
export interface SegmentTime {
  readonly forwardMs: number;
  readonly backwardMs: number;
  readonly updateMs: number;
}

/** How fast a node runs the model, measured by a probe. */
export interface Profile {
  readonly segments: readonly SegmentTime[];
  /** What any run computes beside its segments: starting a program, binding its tensors. */
  readonly runMs: number;
  /** Handing a run over to the engine and back; it waits rather than computes. */
  readonly callMs: number;
}

/** A machine as planners see it. */
export interface FleetNode {
  readonly id: NodeId;
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly memoryBytes: number | null;
  /** Training samples it holds; 0 where it holds none. */
  readonly samples: number;
  /** Batches that it trains a round, where they are not as many as everybody's. */
  readonly work?: number;
  readonly profile: Profile;
  /** Ceiling of its own link in bytes per millisecond each way; null where unlimited. */
  readonly ceilingBytesPerMs: number | null;
  /** The ceiling of what it receives, where that is another one. */
  readonly ceilingDownBytesPerMs?: number | null;
  /** One-way delay to the coordinator. */
  readonly latencyMs: number;
  /** What its way to the coordinator carries, which weights take; absent before anything was measured. */
  readonly coordinatorBytesPerMs?: { readonly up: number; readonly down: number };
  /** What its own line carries out and in, which all its ways share, however fast each is; absent as above. */
  readonly lineBytesPerMs?: { readonly up: number; readonly down: number };
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  /** Which columns of its samples it has, where another party has the rest; absent where it has all. */
  readonly party?: Party;
}

/** A node's energy: what computing and its radio take, and what a round may take. */
export interface EnergyLimit {
  /** While it computes, beyond what it takes when idle. */
  readonly computeWatts: number;
  /** Sent or received. */
  readonly joulesPerByte: number;
  readonly joulesPerRound: number;
}

/** What is known of the way between two nodes, where it is not what their own links say. */
export interface FleetLink {
  readonly from: NodeId;
  readonly to: NodeId;
  /** Bytes per millisecond from `from` to `to`, and back; null where nothing limits it. */
  readonly thereBytesPerMs: number | null;
  readonly backBytesPerMs: number | null;
  /** One-way delay. */
  readonly latencyMs: number;
}

/** Machines and what they share. */
export interface Fleet {
  readonly nodes: readonly FleetNode[];
  /** Ways that were measured, at most one for a pair; any other takes the slower link and both delays. */
  readonly links: readonly FleetLink[];
  /** The radio cell that all devices share, in bytes per millisecond; null where there is none. */
  readonly cellBytesPerMs: number | null;
  /** What the cell carries towards devices, where that is another rate. */
  readonly cellDownBytesPerMs?: number | null;
}

/** How a job wants its model split between devices and servers. */
export interface SplitChoice {
  /** The least number of segments that stay on a device: what leaves it has passed through so many. */
  readonly cutMin?: number;
  /** Whether a device may train the whole model, so that nothing but weights leaves it. */
  readonly mayKeepAll?: boolean;
  /**
   * Whether devices may do without shares of the cell, because the network divides it evenly among those
   * who send at a moment. Where nothing but shares holds devices to the cell, they may not.
   */
  readonly mayShareFreely?: boolean;
  /**
   * Where labels are: they go to the server with the features (`at-server`, the default), or they stay on the device,
   * which has the last segments as well (`at-home`).
   */
  readonly labels?: "at-server" | "at-home";
  /** Codecs that features and gradients of a device may have, the most exact first; the request's where absent. */
  readonly up?: readonly LinkCodecName[] | null;
  readonly down?: readonly LinkCodecName[] | null;
  /**
   * What a server trains with: a copy of its part of the model for each device, merged with the
   * others after each round (`each`, SplitFed v1), or one for all of them (`shared`, SplitFed v2; Thapa et
   * al., "SplitFed: when federated learning meets split learning", AAAI 2022). `each` where absent.
   */
  readonly serverCopies?: "each" | "shared";
  /**
   * Batches, of whichever devices, to an update of a shared copy; one of each device where absent.
   * 1 is SplitFed v2 as published.
   */
  readonly merge?: number | null;
}

/** How a job wants its pipeline; other planners than `pipeline` have no use for it. */
export interface PipelineChoice {
  readonly schedule: Exclude<ScheduleKind, "serial">;
  /** Staleness bound for the schedule `window`; null for the least that keeps the pipeline full. */
  readonly window: number | null;
  readonly backward: "stored" | "replay";
}

/** How a job wants features and gradients to travel between one device and one server; for `feature-replay`. */
export interface FeatureReplayChoice {
  /** Codecs that accuracy allows, each way. */
  readonly up: readonly LinkCodecName[];
  readonly down: readonly LinkCodecName[];
  /** What a megabyte less on the link is worth, in milliseconds that a batch may take longer; nothing where absent. */
  readonly msPerMB?: number;
  /** The same for a joule less on the device. */
  readonly msPerJoule?: number;
}

/** How a job wants its workers to agree from node to node; null for what links carry best. */
export interface ExchangeChoice
  extends Pick<ExchangePlan, "staleness" | "backups" | "join" | "transfer"> {
  readonly every: number | null;
  readonly inner: number | null;
  /** Parts without a number are as many as links need. */
  readonly select: ExchangePlan["select"] | { readonly kind: "parts"; readonly parts: null } | null;
  readonly codec: ExchangePlan["codec"] | null;
  readonly reduce: ExchangePlan["reduce"] | null;
  readonly outer: ExchangePlan["outer"] | null;
  /** Where changes go by fragments while members train on. */
  readonly stream?: StreamChoice;
  /** Who exchanges with whom; what fits number and links where absent. */
  readonly topology?: TopologyName;
  /**
   * Batches to an update: as many as each manages in the time of the others, by its speed when the plan was made where that cannot
   * be left to itself, or where they are to be dealt out; or as many for all.
   */
  readonly batches: "proportional" | "dealt" | "equal";
  /** So many times the request's batches make an update; 1 where absent. */
  readonly growth?: number;
}

/** What a planner is given. */
export interface PlanRequest {
  readonly term: number;
  readonly segments: readonly SegmentCost[];
  readonly fleet: Fleet;
  /** Whether stages before the last compute activations once more in backward instead of saving them. */
  readonly recompute: boolean;
  /** Local batches per round, of nodes that do not have their own number. */
  readonly work: number;
  /** Bytes of one batch's labels. */
  readonly labelBytes: number;
  readonly codecUp: LinkCodecName;
  readonly codecDown: LinkCodecName;
  /** Of how many samples codecs of features remember something on devices; the link alone remembers where null or absent. */
  readonly codecSamples?: number | null;
  /**
   * Bytes that a round brings home of each segment; null or absent where parameters and optimizer
   * state travel as they are.
   */
  readonly homeBytes?: readonly number[] | null;
  readonly pipeline: PipelineChoice;
  /** Wishes for planners that split between devices and servers; none where absent. */
  readonly split?: SplitChoice;
  /** Where absent, features and gradients may have any codec that has lost no accuracy so far. */
  readonly featureReplay?: FeatureReplayChoice;
  /** How copies agree at a round's end, as the job says; the plain average where absent. */
  readonly join?: JoinPolicy;
  /** Wishes for planners whose workers agree from node to node; none where absent. */
  readonly exchange?: ExchangeChoice;
  /** Batches to an update. */
  readonly accumulate: number;
}

/**
 * A scheme. Pure: the same request gives the same plan.
 * @throws PlanError when no plan satisfies the constraints.
 */
export type Planner = (request: PlanRequest) => Plan;
