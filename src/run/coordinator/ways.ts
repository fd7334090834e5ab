/**
 * How fast the ways between nodes are: for each pair and direction what was measured last, from
 * real traffic or by a probe. Two nodes with a link of their own are as far apart as that says; two
 * without one go through the coordinator, at the rate of the slower of both ends' links and with both
 * delays.
 *
 * Every rate is what one flow achieved on its link. Where flows share a wire (a node in the middle
 * of a chain hears two neighbours by one radio, the coordinator sends weights while data pass)
 * a flow achieves its share of the moment: all of them together may be faster, and none of
 * them can count on what another one was seen to achieve. A flow that keeps to a pace achieves no more
 * than that, however fast its link is.
 *
 * Ways that no data take are measured seldom, and a radio that they all pass changes meanwhile. So of a device's line more is made
 * than the fastest of its ways: see {@link radioRate}. And a way that was about as fast as the slower of the lines at its ends is taken
 * to be as fast as that line is now.
 */
import { present } from "../../base/assert.ts";
import type { NodeId } from "../../base/ids.ts";
import { handOverMs, samplesMax } from "../../plan/hand-over.ts";
import type { FleetLink, FleetNode } from "../../plan/plan.ts";
import type { MeasuredLink } from "../wire/payload.ts";

/** One direction of a way; null stands for the coordinator, and one end is a node. */
export interface Leg {
  readonly from: NodeId | null;
  readonly to: NodeId | null;
}

/** One direction of a way, as it was measured last. */
export interface Rate {
  readonly bytesPerMs: number;
  readonly atMs: number;
}

/** What a worker tells of its links, with its contribution and on the way there. */
export interface WaysTold {
  /** Towards the coordinator. */
  readonly bytesPerMs: number | null;
  readonly straight: readonly {
    readonly node: string;
    readonly sent: number;
    readonly bytesPerMs: number | null;
    readonly latencyMs: number | null;
  }[];
}

/** A node's link to the coordinator, as the coordinator's end of it sees it. */
export interface HomeLink {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly achievedBytesPerMs: number | null;
}

/** One direction: what was measured, and how much had passed by then. */
class Direction {
  readonly #rates: Rate[] = [];
  #bytes = 0;
  /** Whether what was measured is of another link. */
  #isPast = false;
  /** Whether the lines at its ends held it up as it was measured last, or may have with others beside it. */
  #judged: { readonly atMs: number; readonly isHeldUp: boolean } | null = null;
  /** What data achieved last, and a probe, and what data have passed of late. */
  data: Rate | null = null;
  probe: Rate | null = null;
  #passed: readonly { readonly atMs: number; readonly bytes: number }[] = [];
  latencyMs: number | null = null;

  get rate(): Rate | null {
    return this.#rates.at(-1) ?? null;
  }

  /**
   * What to plan with: the middle one of the last three rates, since single ones are off at times, or half
   * of it where the trend says that it will have come down to that by the time that a move takes.
   */
  get expected(): Rate | null {
    const last = this.#rates.slice(-3);
    if (last.length === 0) return null;
    const byRate = last.toSorted((a, b) => a.bytesPerMs - b.bytesPerMs);
    const rate = present(byRate[Math.floor((byRate.length - 1) / 2)], "a rate");
    const halfBytesPerMs = rate.bytesPerMs / 2;
    const untilMs = handOverMs(this.#rates, halfBytesPerMs);
    return untilMs !== null && untilMs <= foreseenMs
      ? { ...rate, bytesPerMs: halfBytesPerMs }
      : rate;
  }

  /**
   * The same by what the slower of the lines at its ends carries now. To be asked now and then, since what it carried as the way was
   * measured is what it carries when this is asked for the first time after that.
   */
  expectedOver(lineBytesPerMs: number): Rate | null {
    const [expected, last] = [this.expected, this.rate];
    if (expected === null || last === null || !Number.isFinite(lineBytesPerMs)) return expected;
    if (this.#judged?.atMs !== last.atMs) {
      const isHeldUp = last.bytesPerMs >= heldUpShare * lineBytesPerMs;
      this.#judged = { atMs: last.atMs, isHeldUp };
    }
    // A line of which nothing else tells is as fast as this way, and no news.
    if (!this.#judged.isHeldUp || last.bytesPerMs === lineBytesPerMs) return expected;
    const share = Math.min(1, expected.bytesPerMs / last.bytesPerMs);
    return { ...expected, bytesPerMs: share * lineBytesPerMs };
  }

  /** Share of the time of late for which data were on their way. */
  get busy(): number {
    const [first, last] = [this.#passed[0], this.#passed.at(-1)];
    if (this.data === null || first === undefined || last === undefined) return 0;
    const ms = last.atMs - first.atMs;
    return ms < busyMsMin ? 0 : (last.bytes - first.bytes) / ms / this.data.bytesPerMs;
  }

  /**
   * Takes what one end says. It says the same again while nothing passes, which is no news.
   * @param bytes what has passed in all
   */
  take(bytesPerMs: number | null, bytes: number, nowMs: number): void {
    if (bytesPerMs === null || bytes - this.#bytes < newsBytesMin) return;
    this.#bytes = bytes;
    const since = this.#passed.filter(({ atMs }) => atMs >= nowMs - radioMs);
    this.#passed = [...since, { atMs: nowMs, bytes }];
    this.data = this.#add({ bytesPerMs, atMs: nowMs });
  }

  /** Takes a measurement that was asked for. */
  measured(bytesPerMs: number, nowMs: number): void {
    this.probe = this.#add({ bytesPerMs, atMs: nowMs });
  }

  #add(rate: Rate): Rate {
    if (this.#isPast) this.#rates.length = 0;
    this.#isPast = false;
    this.#rates.push(rate);
    if (this.#rates.length > samplesMax) this.#rates.shift();
    return rate;
  }

  /** The link has become another one: what is measured next counts alone. */
  changed(): void {
    this.#isPast = true;
  }
}

/** A way that achieved so much of what a line carries was held up by it, if need be with another flow beside it. */
const heldUpShare = 0.4;

/** Of a radio only what was measured so shortly before the newest measurement counts. */
const radioMs = 15_000;

/** Data that were on their way for so much of the time shared the line with any probe, as far as can be told after so long. */
const busyShare = 0.7;
const busyMsMin = 3000;

/** How far ahead plans look: about as long as a move takes. */
const foreseenMs = 10_000;

/** So much has to pass before a rate is measured anew: heartbeats measure none. */
const newsBytesMin = 32 * 1024;

export class Ways {
  /** Straight ways, by who sends and who receives. */
  readonly #straight = new Map<NodeId, Map<NodeId, Direction>>();
  /** To the coordinator and back. */
  readonly #home = new Map<NodeId, { readonly up: Direction; readonly down: Direction }>();

  /** A node has told what its links achieve. */
  take(node: NodeId, { bytesPerMs, straight }: WaysTold, link: HomeLink, nowMs: number): void {
    const { up, down } = this.#homeOf(node);
    up.take(bytesPerMs, link.bytesReceived, nowMs);
    down.take(link.achievedBytesPerMs, link.bytesSent, nowMs);
    for (const traffic of straight) {
      const to = traffic.node as NodeId;
      // Where no link stands now, data go through the coordinator.
      if (traffic.latencyMs === null) this.#straight.get(node)?.delete(to);
      else {
        const direction = this.#straightOf(node, to);
        direction.latencyMs = traffic.latencyMs;
        direction.take(traffic.bytesPerMs, traffic.sent, nowMs);
      }
    }
  }

  /** Two nodes have no link of their own any more: what passes goes through the coordinator. */
  lost({ from, to }: Leg): void {
    if (from !== null && to !== null) this.#straight.get(from)?.delete(to);
  }

  /** A payload has shown what one direction of a way achieves, if it has. */
  measured({ from, to }: Leg, { bytesPerMs, latencyMs }: MeasuredLink, nowMs: number): void {
    if (bytesPerMs === null) return;
    const direction = this.#direction({ from, to });
    direction.latencyMs = latencyMs;
    direction.measured(bytesPerMs, nowMs);
  }

  /** A way has become another one, of which earlier measurements say nothing. */
  changed(leg: Leg): void {
    this.#direction(leg).changed();
  }

  /** The newest measurement of one direction of a way; null where there is none. */
  rate({ from, to }: Leg): Rate | null {
    if (from !== null && to !== null) return this.#straight.get(from)?.get(to)?.rate ?? null;
    return (
      (from === null ? this.#home.get(to as NodeId)?.down : this.#home.get(from)?.up)?.rate ?? null
    );
  }

  /** What data between two nodes have achieved lately, straight or through the coordinator; null before. */
  achieved(from: NodeId, to: NodeId): Rate | null {
    return (
      this.rate({ from, to }) ??
      slower(this.rate({ from, to: null }), this.rate({ from: null, to }))
    );
  }

  #direction({ from, to }: Leg): Direction {
    if (from !== null && to !== null) return this.#straightOf(from, to);
    return from === null ? this.#homeOf(to as NodeId).down : this.#homeOf(from).up;
  }

  /** A node has left: when it comes back it may be somewhere else. */
  forget(node: NodeId): void {
    this.#home.delete(node);
    this.#straight.delete(node);
    for (const directions of this.#straight.values()) directions.delete(node);
  }

  /**
   * What is known of the ways between some nodes, each pair once; nothing at all before the first
   * measurement. A pair of which nothing is known is taken to be as slow as the slowest that was
   * measured: what is not known must not look better than what is, or plans would flee to it.
   * @param nodes with what their own lines carry ({@link ratesOfNodes}), as far as that is known
   */
  links(nodes: readonly FleetNode[]): FleetLink[] {
    const pairs = nodes.flatMap((from, i) => nodes.slice(i + 1).map((to) => ({ from, to })));
    const known = pairs.map(
      ({ from, to }) => this.#straightLink(from, to) ?? this.#relayed(from, to),
    );
    const rates = known.flatMap((link) =>
      link === null ? [] : [link.thereBytesPerMs, link.backBytesPerMs],
    );
    if (rates.length === 0) return [];
    const slowest = Math.min(...rates.map((rate) => rate ?? Infinity));
    const guess = { thereBytesPerMs: slowest, backBytesPerMs: slowest };
    return pairs.map(({ from, to }, i) => {
      const latencyMs = from.latencyMs + to.latencyMs;
      return known[i] ?? { from: from.id, to: to.id, ...guess, latencyMs };
    });
  }

  /**
   * What nodes' own lines carry, for planning: the fastest that any of their ways was seen to be, for all
   * pass the line; where none was measured, as between nodes, the slowest that was. Of a device's, which may be a radio, only
   * what was seen of late counts; a server's that no way fills any more has not become slower. The way to the coordinator
   * is taken to be as fast: what weights achieve on it they achieve beside batches, and says too little.
   * Nothing before the first measurement.
   */
  ratesOfNodes(): (node: FleetNode) => Pick<FleetNode, "coordinatorBytesPerMs" | "lineBytesPerMs"> {
    const straight = [...this.#straight.values()].flatMap((directions) => [...directions.values()]);
    const homes = [...this.#home.values()].flatMap(({ up, down }) => [up, down]);
    const rates = [...straight, ...homes].flatMap(({ rate }) =>
      rate === null ? [] : [rate.bytesPerMs],
    );
    if (rates.length === 0) return () => ({});
    const slowest = rates.reduce((least, rate) => Math.min(least, rate));
    const fastest = (all: readonly Direction[]): number => {
      const known = all.flatMap(({ rate }) => (rate === null ? [] : [rate.bytesPerMs]));
      return known.length === 0 ? slowest : Math.max(...known);
    };
    return ({ id, kind }) => {
      const from = [...(this.#straight.get(id)?.values() ?? [])];
      const to = [...this.#straight.values()].flatMap((directions) => directions.get(id) ?? []);
      const { up, down } = this.#home.get(id) ?? {};
      const rateOf =
        kind === "device" ? (all: readonly Direction[]) => radioRate(all) ?? fastest(all) : fastest;
      const line = {
        up: rateOf(up === undefined ? from : [up, ...from]),
        down: rateOf(down === undefined ? to : [down, ...to]),
      };
      return { coordinatorBytesPerMs: line, lineBytesPerMs: line };
    };
  }

  #straightLink(a: FleetNode, b: FleetNode): FleetLink | null {
    const [from, to] = [a.id, b.id];
    const there = this.#straight.get(from)?.get(to);
    const back = this.#straight.get(to)?.get(from);
    const lineOver = (up = Infinity, down = Infinity): number => Math.min(up, down);
    const rates = bothWays(
      there?.expectedOver(lineOver(a.lineBytesPerMs?.up, b.lineBytesPerMs?.down)) ?? null,
      back?.expectedOver(lineOver(b.lineBytesPerMs?.up, a.lineBytesPerMs?.down)) ?? null,
    );
    if (rates === null) return null;
    const latencyMs = Math.min(there?.latencyMs ?? Infinity, back?.latencyMs ?? Infinity);
    return { from, to, ...rates, latencyMs: Number.isFinite(latencyMs) ? latencyMs : 0 };
  }

  #relayed(from: FleetNode, to: FleetNode): FleetLink | null {
    const [up, down] = [
      (id: NodeId) => this.rate({ from: id, to: null }),
      (id: NodeId) => this.rate({ from: null, to: id }),
    ];
    const there = slower(up(from.id), down(to.id));
    const rates = bothWays(there, slower(up(to.id), down(from.id)));
    if (rates === null) return null;
    return { from: from.id, to: to.id, ...rates, latencyMs: from.latencyMs + to.latencyMs };
  }

  #straightOf(from: NodeId, to: NodeId): Direction {
    const directions = this.#straight.get(from) ?? new Map<NodeId, Direction>();
    this.#straight.set(from, directions);
    const direction = directions.get(to) ?? new Direction();
    directions.set(to, direction);
    return direction;
  }

  #homeOf(node: NodeId): { readonly up: Direction; readonly down: Direction } {
    const home = this.#home.get(node) ?? { up: new Direction(), down: new Direction() };
    this.#home.set(node, home);
    return home;
  }
}

/**
 * What a radio carries one way, by what was measured of late of the ways that pass it; null where nothing was. Data may be held up
 * at the other end, which shares its own line among neighbours, and so tell too little of the radio. A probe to somebody else tells more: beside data that are
 * always on their way it gets half of the radio where both want more (max-min fairness), and what they leave of it where they do not. So the radio carries twice what
 * the probe got, or what both got together, whichever is less.
 */
function radioRate(all: readonly Direction[]): number | null {
  const newestMs = Math.max(...all.map(({ rate }) => rate?.atMs ?? 0));
  const isLate = (rate: Rate | null): rate is Rate =>
    rate !== null && rate.atMs >= newestMs - radioMs;
  const rateOf = (rates: readonly (Rate | null)[]): number =>
    Math.max(0, ...rates.filter(isLate).map(({ bytesPerMs }) => bytesPerMs));
  const data = rateOf(all.map((direction) => direction.data));
  const probe = rateOf(all.map((direction) => direction.probe));
  const isBusy = all.some((direction) => isLate(direction.data) && direction.busy >= busyShare);
  const rate = Math.max(data, isBusy ? Math.min(2 * probe, data + probe) : probe);
  return rate === 0 ? null : rate;
}

/** Data pass both links one after the other; what is not known does not hold them up. */
const slower = (a: Rate | null, b: Rate | null): Rate | null =>
  a === null || b === null ? (a ?? b) : a.bytesPerMs <= b.bytesPerMs ? a : b;

/** A direction that nothing was sent in yet is taken to be like the other one; null where both are. */
function bothWays(
  there: Rate | null,
  back: Rate | null,
): Pick<FleetLink, "thereBytesPerMs" | "backBytesPerMs"> | null {
  const known = there ?? back;
  if (known === null) return null;
  return {
    thereBytesPerMs: (there ?? known).bytesPerMs,
    backBytesPerMs: (back ?? known).bytesPerMs,
  };
}
