/**
 * How long members that update by themselves compute from one exchange to the next, where each takes as many batches as it
 * manages in that time instead of a number that is dealt out beforehand. So who has become slower holds nobody up, whoever
 * it is and whenever that was, and who has become faster does not stand still: what a plan needs to know is how much the
 * fleet manages together, not who of it.
 */
import type { ExchangePlan } from "./exchange.ts";
import type { MemberTimes } from "./member-times.ts";

/** What an update takes that a member makes by itself, of so many batches. */
export const ownUpdateMs = (
  { batchMs, updateMs }: Pick<MemberTimes, "batchMs" | "updateMs">,
  inner: number,
): number => (inner === 1 ? batchMs : inner * batchMs + updateMs);

/**
 * Updates of its own that each member manages in a time; everybody makes one at least.
 * @param updatesMs what one takes each member
 */
export const managedUpdates = (updatesMs: readonly number[], ms: number): number[] =>
  // What a sum of times is off by in its last bits is no reason to make one less.
  updatesMs.map((own) => Math.max(1, Math.floor((ms / own) * (1 + 1e-9))));

/**
 * The least time in which members make so many updates together, each whole ones.
 * @param updatesMs what one takes each member, above 0
 */
export function paceMs(updatesMs: readonly number[], updates: number): number {
  const madeIn = (ms: number): number => sumOf(managedUpdates(updatesMs, ms));
  // In as long as that the fastest has made all of them.
  let [less, enough] = [0, updates * Math.min(...updatesMs)];
  for (let halvings = 0; halvings < 60; halvings++) {
    const middle = (less + enough) / 2;
    if (madeIn(middle) >= updates) enough = middle;
    else less = middle;
  }
  // The end of the last one that is whole.
  const made = managedUpdates(updatesMs, enough);
  return Math.max(...made.map((own, i) => own * (updatesMs[i] as number)));
}

/**
 * How long members compute for so many updates of a plan, by their number; a planner asks for each one several times.
 * @param total batches to an update, of which each takes `inner` at a time
 */
export function paces(
  members: readonly Pick<MemberTimes, "batchMs" | "updateMs">[],
  { total, inner }: { readonly total: number; readonly inner: number },
): (every: number) => number {
  const updatesMs = members.map((member) => ownUpdateMs(member, inner));
  const known = new Map<number, number>();
  return (every) => {
    const ms = known.get(every) ?? paceMs(updatesMs, (every * total) / inner);
    known.set(every, ms);
    return ms;
  };
}

const sumOf = (all: readonly number[]): number => all.reduce((sum, own) => sum + own, 0);

/** What members compute for an update of a plan, and how many batches they have taken by then. */
export interface Computed {
  readonly computeMs: number;
  readonly managed: number;
  /** Batches that the plan says. */
  readonly planned: number;
  /** What each of them computes to an update. */
  readonly ownMs: readonly number[];
}

/**
 * What an update of an exchange takes members that compute as fast as they do now.
 * @param shares batches of each to an update, as planned
 */
export function computedIn(
  { computeMs, every, inner }: Pick<ExchangePlan, "computeMs" | "every" | "inner">,
  times: readonly Pick<MemberTimes, "batchMs" | "updateMs">[],
  shares: readonly number[],
): Computed {
  const planned = sumOf(shares);
  if (computeMs === undefined) {
    const ownMs = times.map(({ batchMs, updateMs }, i) => (shares[i] ?? 0) * batchMs + updateMs);
    return { computeMs: Math.max(...ownMs), managed: planned, planned, ownMs };
  }
  const updatesMs = times.map((own) => ownUpdateMs(own, inner ?? 1));
  const made = managedUpdates(updatesMs, computeMs);
  const ownMs = made.map((own, i) => (own * (updatesMs[i] as number)) / every);
  // Who makes a single one makes it to the end.
  const longestMs = Math.max(computeMs, ...updatesMs);
  const managed = ((inner ?? 1) * sumOf(made)) / every;
  return { computeMs: longestMs / every, managed, planned, ownMs };
}
