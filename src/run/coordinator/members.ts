/** Workers that have joined, as the coordinator and its planner see them. */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import type { FleetNode, Profile } from "../../plan/plan.ts";
import type { Cancel } from "../host.ts";
import type {
  Activity,
  NodeJoined,
  NodeProfiled,
  PacedTraffic,
  Span,
  StraightTraffic,
} from "../metrics/record.ts";
import { Timeline } from "../metrics/timeline.ts";
import type { Channel } from "../wire/channel.ts";
import type { Hello, WorkerMessage } from "../wire/messages.ts";

/** What a member may be asked for, as one reads it that does not answer. */
export type Asked = "profile" | "programs loaded" | "evaluation";

export interface Member {
  readonly id: NodeId;
  readonly hello: Hello;
  readonly channel: Channel<WorkerMessage>;
  isProbing: boolean;
  probeStartedMs: number;
  profile: Profile | null;
  /** Cancels the moments by which it must have answered, by what it was asked for. */
  readonly deadlines: Map<Asked, Cancel>;
  /** It has given notice: it is in no further plan. */
  isLeaving: boolean;
  /** Rounds in a row whose deadline it missed. */
  lateRounds: number;
  /** Term of the plan that it was sent last. */
  plannedTerm: number;
  /** Bytes received from and sent to it by the time from which the round's traffic counts. */
  mark: { up: number; down: number };
  /** What its link had carried at its pace, each way, when its last round was counted. */
  paced: { up: PacedTraffic; down: PacedTraffic };
  /** What it had exchanged straight with its neighbours by then. */
  straight: ReadonlyMap<NodeId, StraightTraffic>;
  /** When it was being sent paced frames. */
  readonly receiving: Timeline;
}

export const newMember = (id: NodeId, hello: Hello, channel: Channel<WorkerMessage>): Member => ({
  id,
  hello,
  channel,
  isProbing: false,
  probeStartedMs: 0,
  profile: null,
  deadlines: new Map(),
  isLeaving: false,
  lateRounds: 0,
  plannedTerm: -1,
  mark: { up: 0, down: 0 },
  paced: { up: noTraffic, down: noTraffic },
  straight: new Map(),
  receiving: new Timeline(),
});

/** Lets a member go that has given notice. */
export function release({ channel }: Member): void {
  const text = "its work is done";
  channel.send({ type: "stop", reason: "released", text });
  channel.close(`it gave notice, and ${text}`);
}

const noTraffic: PacedTraffic = { bytes: 0, ms: 0 };

/** The record of a member's joining. */
export function joined({ id: node, hello }: Member): NodeJoined {
  const { name, kind, duty, memoryBytes, ceilingBytesPerMs, energy, samples, party, engine } =
    hello;
  return {
    type: "joined",
    node,
    name,
    kind,
    duty,
    memoryBytes,
    ceilingBytesPerMs,
    ...(energy === undefined ? {} : { energy }),
    samples,
    ...(party === undefined ? {} : { party }),
    engine,
  };
}

/** The record of what a member's probe measured. */
export const profiled = (member: Member, profile: Profile, nowMs: number): NodeProfiled => ({
  type: "profiled",
  node: member.id,
  name: member.hello.name,
  profile,
  latencyMs: latencyOf(member),
  probeMs: nowMs - member.probeStartedMs,
});

/** Asks a member to tell what it does, or to stop telling. */
export function watchMember({ channel, receiving }: Member, isWatched: boolean): void {
  receiving.watch(isWatched);
  channel.send({ type: "watch", isWatched });
}

/** What a member says it did, with what it was being sent meanwhile. */
export const activityOf = (
  { id, receiving }: Member,
  spans: readonly Span[],
  nowMs: number,
): Activity => ({ type: "activity", node: id, spans: [...spans, ...receiving.take(nowMs)] });

/** Members to probe now: one per machine at a time, so that they do not slow each other. */
export function nextToProbe(members: readonly Member[]): Member[] {
  if (members.every(({ profile, isProbing }) => profile !== null || isProbing)) return [];
  const busy = new Set(members.filter((m) => m.isProbing).map((m) => m.hello.machine));
  return members.filter(({ profile, hello }) => {
    if (profile !== null || busy.has(hello.machine)) return false;
    busy.add(hello.machine);
    return true;
  });
}

/**
 * Members by id. Plans list chains in this order and merges follow it, so the same
 * nodes give the same weights in whatever order they arrived.
 */
export const inNodeOrder = (members: Iterable<Member>): Member[] =>
  [...members].sort((a, b) => (a.id < b.id ? -1 : 1));

/** One-way delay to a member: half the smallest round trip seen. */
const latencyOf = ({ channel }: Member): number => (channel.rttMs ?? 0) / 2;

/** A member as planners see it; it has been probed. */
export function fleetNode(member: Member): FleetNode {
  const { name, kind, duty, memoryBytes, samples, ceilingBytesPerMs, energy, party } = member.hello;
  return {
    id: member.id,
    name,
    kind,
    duty,
    memoryBytes,
    samples,
    profile: present(member.profile, "a profile"),
    ceilingBytesPerMs,
    latencyMs: latencyOf(member),
    ...(energy === undefined ? {} : { energy }),
    ...(party === undefined ? {} : { party }),
  };
}
