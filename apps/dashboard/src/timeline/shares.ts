/** Where a node's time went: shares of rounds that are over, and of the last seconds. */
import { type RoundPoint, type SpanKind, type TimedSpan, waitingMs } from "edgeloom";
import type { NodeId } from "../run-model.ts";

/** Parts of a node's time in the order in which bars show them. */
export const timeParts = [
  "forward",
  "backward",
  "step",
  "update",
  "computing",
  "sending",
  "receiving",
  "waiting",
] as const;
/** `computing` is what is not known by kind: runs of older versions. */
export type TimePart = (typeof timeParts)[number];

export type TimeSums = Readonly<Record<TimePart, number>> & {
  /** Time of all rounds that it took part in. */
  readonly totalMs: number;
};

type OpenSums = Record<TimePart, number> & { totalMs: number };

const noSums = (): OpenSums => ({
  forward: 0,
  backward: 0,
  step: 0,
  update: 0,
  computing: 0,
  sending: 0,
  receiving: 0,
  waiting: 0,
  totalMs: 0,
});

/** Sums of all rounds by node, added to as rounds come. */
export class RoundTimes {
  readonly byNode = new Map<NodeId, TimeSums>();
  #count = 0;

  /** Takes the rounds that came since. */
  update(rounds: readonly RoundPoint[]): void {
    for (const { ms, nodes } of rounds.slice(this.#count)) {
      for (const cost of nodes) {
        const { node, held, busyMs, sending, receiving } = cost;
        const sums = (this.byNode.get(node) as OpenSums | undefined) ?? noSums();
        this.byNode.set(node, sums);
        sums.totalMs += ms;
        if (held === null) sums.computing += busyMs;
        else
          for (const kind of ["forward", "backward", "step", "update"] as const) {
            sums[kind] += held[kind];
          }
        sums.sending += sending?.ms ?? 0;
        sums.receiving += receiving?.ms ?? 0;
        sums.waiting += waitingMs(ms, cost);
      }
    }
    this.#count = rounds.length;
  }
}

/** Time at work of each kind between two times, and time at none of it. */
export interface RecentTimes {
  readonly working: number;
  readonly sending: number;
  readonly receiving: number;
  readonly waiting: number;
}

const isTraffic = (kind: SpanKind): kind is "sending" | "receiving" =>
  kind === "sending" || kind === "receiving";

/** Shares of the time from `fromMs` to `toMs`, each 0 to 1. Work of different kinds may overlap. */
export function recentTimes(
  spans: readonly TimedSpan[],
  fromMs: number,
  toMs: number,
): RecentTimes {
  const windowMs = Math.max(toMs - fromMs, 1);
  const sums = { working: 0, sending: 0, receiving: 0 };
  const stretches: { from: number; to: number }[] = [];
  // Spans come in order of their ends, so the newest stand last.
  for (let i = spans.length - 1; i >= 0; i--) {
    const span = spans[i];
    if (span === undefined || span.toMs <= fromMs) break;
    const from = Math.max(span.fromMs, fromMs);
    const to = Math.min(span.toMs, toMs);
    if (to <= from) continue;
    sums[isTraffic(span.kind) ? span.kind : "working"] += to - from;
    stretches.push({ from, to });
  }
  const share = (ms: number): number => Math.min(1, ms / windowMs);
  return {
    working: share(sums.working),
    sending: share(sums.sending),
    receiving: share(sums.receiving),
    waiting: 1 - share(covered(stretches)),
  };
}

/** Length of the union of stretches. */
function covered(stretches: { from: number; to: number }[]): number {
  let sum = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { from, to } of stretches.sort((a, b) => a.from - b.from)) {
    if (to <= end) continue;
    sum += to - Math.max(from, end);
    end = to;
  }
  return sum;
}
