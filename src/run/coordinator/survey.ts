/**
 * Measures ways that no data of their own measure, by payloads: those between the nodes that a planner
 * chooses among, once before the first round that could use them, and now and then while others train.
 *
 * A node sends one payload at a time and hears one, so that they do not slow each other down. Before a
 * round they follow one another without a pause, for a few seconds at most; while training, the payloads on
 * a node's own link take no more than 2 % of its time each way, so each way between two nodes does not
 * either, and ways that carry data are left to the data where those are enough to measure them.
 *
 * Heartbeats pass every link, and cost nothing. Where their round trip becomes another one while no data hold them up, the
 * link has probably become another one, too, and it is measured at once.
 */
import type { NodeId } from "../../base/ids.ts";
import {
  firstProbeState,
  nextProbePeriod,
  type ProbeState,
  payloadPauseMs,
  probeShareMax,
} from "../../plan/probe-period.ts";
import type { Cancel, Host } from "../host.ts";
import type { WayProbed } from "../metrics/record.ts";
import { type MeasuredLink, sendPayload, unmeasured } from "../wire/payload.ts";
import { payloadBytes } from "../wire/payload-size.ts";
import type { Roster } from "./roster.ts";
import type { Leg, Ways } from "./ways.ts";

/** A leg that is kept known. */
export interface WatchedLeg extends Leg {
  /** Data pass it while rounds run, and measure it for nothing. */
  readonly isUsed: boolean;
}

/** The first round waits for measurements no longer than this. */
const surveyMsMax = 3_000;
/** A link that did not stand yet is asked for again after so long, while a round waits. */
const againMs = 250;
/** A way that carries data is left alone for so long after they have measured it. */
const usedMsMin = 10_000;
/** A link is made anew with each plan: only who misses so often has none. */
const missesMax = 3;
/** Round trips are looked at so often, as heartbeats come. */
const noticeMs = 1_000;
/** One that is off by this factor, and by so much, is that of another link. */
const otherFactor = 1.5;
const otherMsMin = 5;
/** A link whose round trip is never the same is no news so often. */
const noticeMsMin = 4_000;
/** Who has not answered by then never will. */
const answerMsMax = 20_000;

interface Probe {
  readonly leg: WatchedLeg;
  state: ProbeState;
  /** When it may be sent next. */
  dueMs: number;
  /** Cancels waiting for the answer; null while nothing is under way. */
  underWay: Cancel | null;
  startedMs: number;
  bytes: number;
  /** Answers in a row that nothing was measured. */
  misses: number;
  /** Whether it has been asked since it is watched. */
  isTried: boolean;
  /** The round trip of the link as it was last; null where that is not known, or data hold it up. */
  rttMs: number | null;
  /** When it became another one. */
  noticedMs: number;
}

export class Survey {
  readonly #host: Host;
  readonly #members: Roster;
  readonly #ways: Ways;
  readonly #onSurveyed: () => void;
  #probes = new Map<string, Probe>();
  /** By node and direction: from when on its own link may carry a payload again. */
  readonly #freeAtMs = new Map<string, number>();
  readonly #costs = new Map<string, WayProbed & Leg>();
  /** When the survey before a round ends at the latest; null where none is under way. */
  #untilMs: number | null = null;
  /** Whether the survey under way has found what was not known. */
  #hasNews = false;
  /** When the first payload was sent. */
  #sinceMs: number | null = null;
  #timer: Cancel = () => {};

  /** @param onSurveyed called when what a round waits for is known, or will not be */
  constructor(
    { host, members }: { readonly host: Host; readonly members: Roster },
    ways: Ways,
    onSurveyed: () => void,
  ) {
    this.#host = host;
    this.#members = members;
    this.#ways = ways;
    this.#onSurveyed = onSurveyed;
  }

  /** Keeps these legs known from now on, and no others. */
  watch(legs: readonly WatchedLeg[]): void {
    const before = this.#probes;
    this.#probes = new Map();
    for (const leg of legs) {
      const key = keyOf(leg);
      const known = before.get(key);
      before.delete(key);
      this.#probes.set(key, known === undefined ? this.#fresh(leg) : Object.assign(known, { leg }));
    }
    for (const { underWay } of before.values()) underWay?.();
    this.#advance();
  }

  #fresh(leg: WatchedLeg): Probe {
    const state = firstProbeState;
    const never = { underWay: null, startedMs: 0, bytes: 0, misses: 0, isTried: false };
    const still = { rttMs: null, noticedMs: Number.NEGATIVE_INFINITY };
    return { leg, state, dueMs: this.#host.now(), ...never, ...still };
  }

  /**
   * Measures what has not been tried yet, for a round that waits. Where that takes time, its end will
   * be told.
   * @returns `news` once, where something has been measured that was not known
   */
  survey(): "waiting" | "news" | "done" {
    const now = this.#host.now();
    const isMissing = [...this.#probes.values()].some(({ isTried }) => !isTried);
    if (isMissing && (this.#untilMs === null || now < this.#untilMs)) {
      if (this.#untilMs === null) this.#host.after(surveyMsMax, this.#onSurveyed);
      this.#untilMs ??= now + surveyMsMax;
      this.#advance();
      return "waiting";
    }
    if (this.#untilMs === null) return "done";
    this.#untilMs = null;
    for (const probe of this.#probes.values()) probe.isTried = true;
    this.#advance();
    const hasNews = this.#hasNews;
    this.#hasNews = false;
    return hasNews ? "news" : "done";
  }

  /** A node has left. */
  left(node: NodeId): void {
    const legs = [...this.#probes.values()].map(({ leg }) => leg);
    this.watch(legs.filter(({ from, to }) => from !== node && to !== node));
  }

  /** A worker says what its payload showed. */
  measured(from: NodeId, to: NodeId | null, measured: MeasuredLink): void {
    const probe = this.#probes.get(keyOf({ from, to }));
    if (probe !== undefined && probe.underWay !== null) this.#answered(probe, measured);
  }

  /** What payloads have cost so far, by leg. */
  get costs(): WayProbed[] {
    const forMs = Math.max(1, this.#host.now() - (this.#sinceMs ?? 0));
    return [...this.#costs.values()].map((cost) => ({ ...cost, share: cost.ms / forMs }));
  }

  /** The run is over. */
  stop(): void {
    this.watch([]);
  }

  /** Sends whatever may be sent now, and waits for what may be sent later. */
  #advance(): void {
    this.#timer();
    const now = this.#host.now();
    let nextMs = Infinity;
    const waiting = [...this.#probes.values()]
      .filter(({ underWay }) => underWay === null)
      .sort((a, b) => a.dueMs - b.dueMs);
    for (const probe of waiting) {
      // A round waits for what has not been tried, and for nothing else.
      if (probe.isTried === (this.#untilMs !== null)) continue;
      if (this.#notice(probe, now)) nextMs = Math.min(nextMs, now + noticeMs);
      const dueMs = this.#dueMs(probe);
      if (dueMs <= now) this.#send(probe);
      else nextMs = Math.min(nextMs, dueMs);
    }
    this.#timer =
      nextMs === Infinity ? () => {} : this.#host.after(nextMs - now, () => this.#advance());
  }

  /**
   * Looks whether a link that is left to payloads has become another one.
   * @returns whether its heartbeats tell that
   */
  #notice(probe: Probe, now: number): boolean {
    const { from, to, isUsed } = probe.leg;
    const node = from === null || to === null ? (from ?? to) : null;
    const rttMs = node === null ? undefined : this.#members.get(node)?.channel.lateRttMs;
    if (rttMs === undefined || isUsed) {
      probe.rttMs = null;
      return false;
    }
    const before = probe.rttMs;
    if (before === null || rttMs === null) probe.rttMs = rttMs;
    else if (isOther(before, rttMs) && now >= probe.noticedMs + noticeMsMin) {
      Object.assign(probe, { rttMs, noticedMs: now, state: firstProbeState, dueMs: now });
      // What is owed for payloads is owed to a link that is no more.
      for (const wire of wiresOf(probe.leg)) this.#freeAtMs.delete(wire);
      this.#ways.changed(probe.leg);
    }
    return true;
  }

  /** When a probe may be sent; never while another one would spoil it. */
  #dueMs({ leg, dueMs }: Probe): number {
    for (const { leg: other, underWay } of this.#probes.values()) {
      if (underWay !== null && spoils(leg, other)) return Infinity;
    }
    if (this.#untilMs !== null) return dueMs;
    // Data measure what they pass, unless they are too few.
    const knownMs = leg.isUsed ? (this.#ways.rate(leg)?.atMs ?? 0) + usedMsMin : 0;
    return Math.max(dueMs, knownMs, ...wiresOf(leg).map((wire) => this.#freeAtMs.get(wire) ?? 0));
  }

  #send(probe: Probe): void {
    const { from, to } = probe.leg;
    const sender = from === null ? null : this.#members.get(from);
    const receiver = to === null ? null : this.#members.get(to);
    if (sender === undefined || receiver === undefined) return;
    probe.startedMs = this.#host.now();
    this.#sinceMs ??= probe.startedMs;
    probe.bytes = payloadBytes(this.#ways.rate(probe.leg)?.bytesPerMs ?? null);
    const giveUp = (): void => this.#answered(probe, unmeasured);
    probe.underWay = this.#host.after(answerMsMax, giveUp);
    const { bytes } = probe;
    if (sender !== null) sender.channel.send({ type: "measure", to, bytes });
    else if (receiver !== null) {
      const isHollow = this.#host.engine.isHollow === true;
      sendPayload(receiver.channel, { bytes, isHollow }, (measured) => {
        if (probe.underWay !== null) this.#answered(probe, measured);
      });
    }
  }

  #answered(probe: Probe, measured: MeasuredLink): void {
    probe.underWay?.();
    probe.underWay = null;
    if (this.#probes.get(keyOf(probe.leg)) !== probe) return;
    const now = this.#host.now();
    const before = this.#ways.rate(probe.leg);
    this.#ways.measured(probe.leg, measured, now);
    const { bytesPerMs } = measured;
    // A link that does not stand may do so in a moment; a round waits for that only at first.
    const isEarly = this.#untilMs !== null && now < this.#untilMs - surveyMsMax / 2;
    probe.isTried ||= bytesPerMs !== null || !isEarly;
    probe.misses = bytesPerMs === null ? probe.misses + 1 : 0;
    if (probe.misses >= missesMax) this.#ways.lost(probe.leg);
    if (bytesPerMs === null) {
      probe.dueMs = now + (probe.isTried ? probe.state.periodMs : againMs);
    } else {
      const ms = probe.bytes / bytesPerMs;
      this.#count(probe, ms);
      if (before === null) this.#hasNews ||= this.#untilMs !== null;
      else {
        const predictedMs = probe.bytes / before.bytesPerMs;
        probe.state = nextProbePeriod(probe.state, { measuredMs: ms, predictedMs }).state;
      }
      // What a round waited for took time from no data, and nothing is owed for it.
      const heldMs = this.#untilMs === null ? ms : 0;
      probe.dueMs = probe.startedMs + payloadPauseMs(probe.state, heldMs);
      for (const wire of wiresOf(probe.leg)) {
        this.#freeAtMs.set(wire, probe.startedMs + heldMs / probeShareMax);
      }
    }
    this.#advance();
    if (this.#untilMs !== null) this.#onSurveyed();
  }

  #count({ leg, bytes }: Probe, ms: number): void {
    const key = keyOf(leg);
    const { from, to } = leg;
    const cost = this.#costs.get(key) ?? { from, to, payloads: 0, bytes: 0, ms: 0, share: 0 };
    this.#costs.set(key, {
      ...cost,
      payloads: cost.payloads + 1,
      bytes: cost.bytes + bytes,
      ms: cost.ms + ms,
    });
  }
}

/** Whether two round trips are of different links. */
const isOther = (a: number, b: number): boolean =>
  Math.abs(a - b) > otherMsMin && Math.max(a, b) > otherFactor * Math.min(a, b);

const keyOf = ({ from, to }: Leg): string => `${from ?? ""} ${to ?? ""}`;

/**
 * Whether two payloads at once would measure each other: two that one node sends, or hears; and one each
 * way of a link, where the acknowledgements of each wait behind the other.
 */
const spoils = (a: Leg, b: Leg): boolean =>
  a.from === b.from || a.to === b.to || (a.from === b.to && a.to === b.from);

/** Own links of the two ends, in the direction that is used; the coordinator's is not counted. */
const wiresOf = ({ from, to }: Leg): string[] => [
  ...(from === null ? [] : [`up ${from}`]),
  ...(to === null ? [] : [`down ${to}`]),
];
