/**
 * How long things stay as they are: what a move saves, it saves for so long. There are two kinds of worlds.
 *
 * Where conditions drift, as past servers on a walk, a change of plan is what tells that they have changed, and the time until
 * the next one is taken to be the mean so far, however long ago the last one was.
 *
 * Where they jump, as from one link to another, they show by themselves: what is measured is another figure at once. Each jump ends an interval, and intervals are alike, so what is left of the present one is the mean residual life, as survival
 * analysis has it: of the intervals that lasted longer than this one has so far, what they lasted beyond. Where none did, it is
 * as long again as this one has lasted. So a move that takes half a minute is made at the beginning of an interval, and
 * not towards its end.
 */
import type { Plan, PlanRequest, Profile } from "./plan.ts";

/** What is taken for the time between two changes before there was any. */
const intervalMsAtFirst = 60_000;

/** Time until the next change where conditions drift: the first guess counts as one interval. */
export const meanIntervalMs = (changes: number, elapsedMs: number): number =>
  (intervalMsAtFirst + elapsedMs) / (1 + changes);

/** What is measured of the nodes and ways that a plan uses: rates, and how fast nodes compute. All above 0. */
export type Figures = readonly number[];

/** Conditions that jump. */
export interface Conditions {
  /** Since when they are as they are. */
  readonly sinceMs: number;
  /** When they were last seen so. */
  readonly seenMs: number;
  readonly figures: Figures;
  /** How long earlier ones lasted, the newest last. */
  readonly lastedMs: readonly number[];
}

/** A figure that is off by this factor says that conditions have changed: estimates of the same link are not. */
const jumpFactor = 1.5;
/** Each end of a link says by itself what it has become; news within so long are of one change. */
const jumpMsMax = 15_000;
/** Intervals that are remembered. */
const intervalsMax = 8;

/** What a request says of the nodes and ways of a plan. */
export function figuresOf({ copies }: Pick<Plan, "copies">, { fleet }: PlanRequest): Figures {
  const used = new Set(copies.map(({ node }) => node));
  const speeds = fleet.nodes.flatMap(({ id, profile }) => (used.has(id) ? [stepMs(profile)] : []));
  const rates = fleet.links.flatMap(({ from, to, thereBytesPerMs, backBytesPerMs }) =>
    used.has(from) && used.has(to)
      ? [thereBytesPerMs ?? Number.POSITIVE_INFINITY, backBytesPerMs ?? Number.POSITIVE_INFINITY]
      : [],
  );
  return [...speeds, ...rates];
}

const stepMs = ({ segments }: Profile): number =>
  segments.reduce((sum, { forwardMs, backwardMs }) => sum + forwardMs + backwardMs, 0);

/** Whether figures speak of other conditions; those of other nodes say nothing of it. */
export const hasJumped = ({ figures: before }: Conditions, figures: Figures): boolean =>
  figures.length === before.length &&
  figures.some((figure, i) => {
    const known = before[i] as number;
    return figure > known * jumpFactor || known > figure * jumpFactor;
  });

/**
 * Takes in what is measured now.
 * @param before null for the first time
 */
export function observed(before: Conditions | null, figures: Figures, nowMs: number): Conditions {
  if (before === null) return { sinceMs: nowMs, seenMs: nowMs, figures, lastedMs: [] };
  if (figures.length !== before.figures.length) return { ...before, figures, seenMs: nowMs };
  if (!hasJumped(before, figures)) return { ...before, seenMs: nowMs };
  // News of a link that has broken down are late, since they wait behind what is under way on it.
  const { seenMs: changedMs, sinceMs, lastedMs } = before;
  const now = { seenMs: nowMs, figures };
  if (changedMs - sinceMs < jumpMsMax) return { ...before, ...now };
  const lasted = [...lastedMs, changedMs - sinceMs].slice(-intervalsMax);
  return { ...now, sinceMs: changedMs, lastedMs: lasted };
}

/** Time until they change again: the mean residual life of intervals, the first guess among them. */
export function residualMs({ sinceMs, lastedMs }: Conditions, nowMs: number): number {
  const ageMs = nowMs - sinceMs;
  const longer = [intervalMsAtFirst, ...lastedMs].filter((ms) => ms > ageMs);
  if (longer.length === 0) return ageMs;
  return longer.reduce((sum, ms) => sum + ms - ageMs, 0) / longer.length;
}
