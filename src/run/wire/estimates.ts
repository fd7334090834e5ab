/**
 * What a channel learns of its link from its own traffic. Clocks of two machines are never
 * compared: round trips are differences of the sender's clock, rates are bytes over differences of
 * the receiver's, because acknowledgements wait behind what is sent the other way.
 */

/** Share of a new value in a smoothed one: what TCP takes for round trips (RFC 6298). */
const rttWeight = 1 / 8;

/** How long a message and its answer take. */
export class RoundTrip {
  #leastMs: number | null = null;
  #smoothedMs: number | null = null;
  #newestMs: number | null = null;
  #lateMs: number | null = null;

  /** The least seen: the link's own delay, without queues. */
  get leastMs(): number | null {
    return this.#leastMs;
  }

  /** What it takes lately, queues included. */
  get smoothedMs(): number | null {
    return this.#smoothedMs;
  }

  /** The lesser of the newest two, so that one that was held up says nothing; null before there were two. */
  get lateMs(): number | null {
    return this.#lateMs;
  }

  add(ms: number): void {
    this.#lateMs = this.#newestMs === null ? null : Math.min(this.#newestMs, ms);
    this.#newestMs = ms;
    this.#leastMs = Math.min(this.#leastMs ?? ms, ms);
    this.#smoothedMs ??= ms;
    this.#smoothedMs += rttWeight * (ms - this.#smoothedMs);
  }
}

/** A count of the receiver's, and when it was reached, by the receiver's clock. */
export interface Arrival {
  readonly bytes: number;
  readonly atMs: number;
}

/** Fewest bytes that tell a rate: below, the grain of clocks and timers would. */
export const sampleBytesMin = 16 * 1024;
/** Bytes that arrive without a pause give a sample for each such part of their time. */
const sampleMs = 50;
/** Samples so much older than the newest one, by the receiver's clock, tell nothing of the link as it is. */
const windowMs = 500;
/** More are not kept, whatever times a receiver tells. */
const samplesMax = 32;
/** A rate that was measured so long ago may have changed. */
const freshMs = 250;
/** A delay that was seen so long ago may have changed; clocks drift apart by less than a millisecond meanwhile. */
const promptMs = 10_000;
/** No link is faster (a terabyte a second): what takes no measurable time is taken for this. */
const bytesPerMsMax = 1e9;

/** Bytes that left at one time. */
interface Departed {
  endBytes: number;
  readonly atMs: number;
  readonly isHeldBack: boolean;
}

/** Bytes that arrived without a pause, how long that took, and when the last of them did. */
interface Sample {
  readonly bytes: number;
  readonly ms: number;
  readonly atMs: number;
}

/** A stretch of arrivals between which the link was never idle. */
interface Run {
  readonly from: Arrival;
  readonly to: Arrival;
}

/**
 * The rate at which bytes arrive when they are sent back to back: what this one flow achieved, on a
 * link that others may have used at the same time. Pauses in between (nothing to send) say nothing
 * about a link, so time counts from one arrival to the next only where the link was busy all the while:
 * where what arrived last had left before what arrived first was there. (Delivery rates of BBR, Cardwell
 * et al. 2016, keep to the same by taking the longer of two times, that of sending and that of arriving.)
 *
 * Of the samples of the last half second the median by time is taken: what comes in a heap, because
 * the receiver was busy, gives a high rate for a short time, and so counts for little.
 */
export class AchievedRate {
  #bytesPerMs: number | null = null;
  /** What has left and is not known to have arrived, in order. */
  readonly #departed: Departed[] = [];
  #samples: readonly Sample[] = [];
  #run: Run | null = null;
  /** The bytes that were under way for the shortest time lately: when they left, and arrived by the other clock. */
  #prompt: { readonly departedMs: number; readonly arrivedMs: number } | null = null;
  #sampledMs = Number.NEGATIVE_INFINITY;

  /** Bytes per millisecond, at most {@link bytesPerMsMax}; null before the first burst that was long enough. */
  get bytesPerMs(): number | null {
    return this.#bytesPerMs;
  }

  /** Whether what leaves next should be cut so that it tells the rate: the one known is old. */
  isAwaited(nowMs: number): boolean {
    return nowMs - this.#sampledMs > freshMs;
  }

  /**
   * So many bytes have left in all.
   * @param isHeldBack whether the last of them would have left earlier but for their share of the bandwidth
   */
  departed(bytes: number, nowMs: number, isHeldBack: boolean): void {
    const last = this.#departed.at(-1);
    if (last?.atMs === nowMs && last.isHeldBack === isHeldBack) last.endBytes = bytes;
    else this.#departed.push({ endBytes: bytes, atMs: nowMs, isHeldBack });
  }

  /** An acknowledgement that came now tells of an arrival; they come in order. */
  arrived(arrival: Arrival, nowMs: number): void {
    const run = this.#run;
    if (run !== null && arrival.bytes <= run.to.bytes) return;
    const { departedMs, isHeldBack } = this.#departureOf(arrival.bytes);
    const isBusy = run !== null && (isHeldBack || this.#hadLeft(departedMs, run.to.atMs));
    this.#notePrompt(departedMs, arrival.atMs);
    if (!isBusy) return this.#begin(arrival);
    this.#run = { from: run.from, to: arrival };
    const sample = sampleOf(this.#run);
    if (sample === null) return;
    this.#sampledMs = nowMs;
    this.#bytesPerMs = Math.min(bytesPerMsMax, medianRate(recent(this.#samples, sample)));
    if (sample.ms >= sampleMs) this.#begin(arrival);
  }

  /** A new run begins with an arrival; the one before is a sample, where it was long enough. */
  #begin(arrival: Arrival): void {
    const sample = this.#run === null ? null : sampleOf(this.#run);
    if (sample !== null) this.#samples = recent(this.#samples, sample);
    this.#run = { from: arrival, to: arrival };
  }

  /** When the last of the bytes up to a count left, and whether all that are new were held back. */
  #departureOf(bytes: number): { departedMs: number; isHeldBack: boolean } {
    let [departedMs, isHeldBack] = [Number.NEGATIVE_INFINITY, true];
    for (let isMore = true; isMore; ) {
      const first = this.#departed[0];
      if (first === undefined) break;
      departedMs = first.atMs;
      isHeldBack &&= first.isHeldBack;
      isMore = first.endBytes < bytes;
      if (first.endBytes <= bytes) this.#departed.shift();
    }
    return { departedMs, isHeldBack };
  }

  /**
   * Whether bytes had left before others arrived. Each clock is compared with itself alone: since the
   * promptest bytes left no more time has passed here than there since they arrived.
   */
  #hadLeft(departedMs: number, arrivedMs: number): boolean {
    const prompt = this.#prompt;
    return prompt !== null && departedMs - prompt.departedMs <= arrivedMs - prompt.arrivedMs;
  }

  #notePrompt(departedMs: number, arrivedMs: number): void {
    const isOld = this.#prompt !== null && departedMs - this.#prompt.departedMs > promptMs;
    if (isOld || !this.#hadLeft(departedMs, arrivedMs)) this.#prompt = { departedMs, arrivedMs };
  }
}

function sampleOf({ from, to }: Run): Sample | null {
  const bytes = to.bytes - from.bytes;
  return bytes < sampleBytesMin ? null : { bytes, ms: to.atMs - from.atMs, atMs: to.atMs };
}

/** Samples of late with one more. */
const recent = (samples: readonly Sample[], newest: Sample): Sample[] => [
  ...samples.filter(({ atMs }) => atMs >= newest.atMs - windowMs).slice(1 - samplesMax),
  newest,
];

/** The rate that half of the time was kept or exceeded; infinite where all of it took no time. */
function medianRate(samples: readonly Sample[]): number {
  const fastest = samples.toSorted((a, b) => b.bytes * a.ms - a.bytes * b.ms);
  let restMs = samples.reduce((sum, { ms }) => sum + ms, 0) / 2;
  for (const { bytes, ms } of fastest) {
    restMs -= ms;
    if (restMs <= 0) return bytes / ms;
  }
  return Number.POSITIVE_INFINITY;
}
