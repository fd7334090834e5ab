/** What a round cost each member: from its contributions, and its link's counters. */
import type { NodeId } from "../../base/ids.ts";
import type {
  HeldMs,
  NodeRound,
  PacedTraffic,
  StraightSent,
  StraightTraffic,
} from "../metrics/record.ts";
import type { ContributionMessage } from "../wire/messages.ts";
import type { Member } from "./members.ts";

/** From here on a member's traffic counts for the next round. */
export function markTraffic(member: Member): void {
  member.mark = { up: member.channel.bytesReceived, down: member.channel.bytesSent };
}

/**
 * What the round that is over cost each member. Its counters are read from here on for the next
 * one.
 */
export function roundCosts(
  members: Iterable<Member>,
  contributions: readonly { node: NodeId; message: ContributionMessage }[],
): NodeRound[] {
  const sent = new Map<NodeId, ContributionMessage[]>();
  for (const { node, message } of contributions) {
    const own = sent.get(node);
    if (own === undefined) sent.set(node, [message]);
    else own.push(message);
  }
  const all = [...members];
  const straight = straightCosts(all, sent);
  return all.map((member) => costsOf(member, sent.get(member.id) ?? [], straight(member.id)));
}

function costsOf(
  member: Member,
  own: readonly ContributionMessage[],
  straight: StraightCosts,
): NodeRound {
  const { id, channel, mark } = member;
  const computeMs = own.reduce((sum, message) => sum + message.computeMs, 0);
  const held = { forward: 0, backward: 0, update: 0, step: 0 };
  for (const message of own) {
    for (const kind of workKinds) held[kind] += message.held[kind];
  }
  const busyMs = workKinds.reduce((sum, kind) => sum + held[kind], 0);
  const before = member.paced;
  // Counters only grow, so the largest is the newest.
  const up = own.reduce((most, { paced }) => (paced.ms > most.ms ? paced : most), before.up);
  member.paced = { up, down: channel.paced };
  markTraffic(member);
  return {
    node: id,
    computeMs,
    busyMs,
    dutyAchieved: busyMs > 0 ? computeMs / busyMs : null,
    held,
    ahead: aheadIn(own),
    bytesUp: channel.bytesReceived - mark.up + straight.bytesUp,
    bytesDown: channel.bytesSent - mark.down + straight.bytesDown,
    bytesStraight: straight.bytesUp + straight.bytesDown,
    straight: straight.sent,
    sending: since(before.up, member.paced.up),
    receiving: sum(since(before.down, member.paced.down), straight.paced),
    peakRssBytes: own.reduce<number | null>((most, { peakRssBytes }) => {
      return peakRssBytes === null ? most : Math.max(most ?? 0, peakRssBytes);
    }, null),
  };
}

/** Most batches that were under way at once at a node, all its stages together; null where nobody noted the passes. */
function aheadIn(own: readonly ContributionMessage[]): number | null {
  const noted = own.filter(({ passes }) => passes !== "");
  if (noted.length === 0) return null;
  return noted.reduce((sum, { passes }) => sum + mostUnderWay(passes), 0);
}

function mostUnderWay(passes: string): number {
  let [now, most] = [0, 0];
  for (const pass of passes) {
    now += pass === "F" ? 1 : -1;
    most = Math.max(most, now);
  }
  return most;
}

const workKinds = ["forward", "backward", "update", "step"] as const satisfies (keyof HeldMs)[];

/** What a member exchanged straight with its neighbours in a round, and what they paced for it. */
interface StraightCosts {
  bytesUp: number;
  bytesDown: number;
  readonly sent: StraightSent[];
  paced: PacedTraffic | null;
}

/** What neighbours say of the links between them, which the coordinator does not see. */
function straightCosts(
  members: readonly Member[],
  sent: ReadonlyMap<NodeId, readonly ContributionMessage[]>,
): (node: NodeId) => StraightCosts {
  const costs = new Map<NodeId, StraightCosts>();
  const of = (node: NodeId): StraightCosts => {
    const known = costs.get(node) ?? { bytesUp: 0, bytesDown: 0, sent: [], paced: null };
    costs.set(node, known);
    return known;
  };
  for (const member of members) {
    const before = member.straight;
    const now = new Map(before);
    for (const { straight } of sent.get(member.id) ?? []) {
      for (const traffic of straight) {
        const node = traffic.node as NodeId;
        now.set(node, newest(now.get(node), { ...traffic, node }));
      }
    }
    member.straight = now;
    for (const [node, traffic] of now) {
      const old = before.get(node);
      const own = of(member.id);
      const bytes = traffic.sent - (old?.sent ?? 0);
      own.bytesUp += bytes;
      own.bytesDown += traffic.received - (old?.received ?? 0);
      if (bytes > 0) own.sent.push({ to: node, bytes, bytesPerMs: traffic.bytesPerMs });
      const paced = since(old?.paced ?? { bytes: 0, ms: 0 }, traffic.paced);
      of(node).paced = sum(of(node).paced, paced);
    }
  }
  return of;
}

/** Counters only grow, so of two readings the larger is the newer. */
const newest = (a: StraightTraffic | undefined, b: StraightTraffic): StraightTraffic => ({
  node: b.node,
  sent: Math.max(a?.sent ?? 0, b.sent),
  received: Math.max(a?.received ?? 0, b.received),
  paced: a !== undefined && a.paced.ms >= b.paced.ms ? a.paced : b.paced,
  bytesPerMs: b.bytesPerMs,
  latencyMs: b.latencyMs,
});

/** What was carried between two readings; null where nothing was. */
function since(before: PacedTraffic, now: PacedTraffic): PacedTraffic | null {
  const ms = now.ms - before.ms;
  return ms > 0 ? { bytes: Math.max(0, now.bytes - before.bytes), ms } : null;
}

/** Null where both are. */
const sum = (a: PacedTraffic | null, b: PacedTraffic | null): PacedTraffic | null =>
  a === null || b === null ? (a ?? b) : { bytes: a.bytes + b.bytes, ms: a.ms + b.ms };
