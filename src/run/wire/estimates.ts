/**
 * What a channel learns of its link from its own traffic. Times are differences of one
 * clock, the sender's: heartbeats come back with their sending time, and the bytes
 * that arrive between two acknowledgements tell the rate.
 */

/** Share of a new value in a smoothed one: what TCP takes for round trips (RFC 6298). */
const rttWeight = 1 / 8;

/** How long a message and its answer take. */
export class RoundTrip {
  #leastMs: number | null = null;
  #smoothedMs: number | null = null;

  /** The least seen: the link's own delay, without queues. */
  get leastMs(): number | null {
    return this.#leastMs;
  }

  /** What it takes lately, queues included. */
  get smoothedMs(): number | null {
    return this.#smoothedMs;
  }

  add(ms: number): void {
    this.#leastMs = Math.min(this.#leastMs ?? ms, ms);
    this.#smoothedMs ??= ms;
    this.#smoothedMs += rttWeight * (ms - this.#smoothedMs);
  }
}

/** Fewest bytes that tell a rate: below, the grain of clocks and timers would. */
export const sampleBytesMin = 16 * 1024;
/** So much at once tells that a link of which nothing is known is at least so fast. */
const boundBytesMin = 60 * 1024;
/** Receivers acknowledge no more often than this; what comes closer together has been held back on its way. */
const acknowledgedMsMin = 4;
/** A sample spans so much of a burst, or all of one that is shorter. */
const sampleMs = 250;
/** Share of a new value, where the one before is not older than {@link freshMs}; the older, the larger. */
const rateWeight = 1 / 4;
/** A rate that was measured so long ago may have changed. */
const freshMs = 250;
/** No link is faster (a terabyte a second): what takes no measurable time is taken for this. */
const bytesPerMsMax = 1e9;

/**
 * The rate at which bytes arrive when they are sent back to back: what this one flow achieved, on a
 * link that others may have used at the same time. Pauses in between (nothing to send) say
 * nothing about a link, so only acknowledgements within one burst are compared: those of bytes
 * that all waited for the ones before them.
 */
export class AchievedRate {
  /** Smoothed as time per byte, so that it is total bytes over total time. */
  #msPerByte: number | null = null;
  #sampledMs = Number.NEGATIVE_INFINITY;
  #mark: { readonly bytes: number; readonly atMs: number } | null = null;
  #burst = { from: 0, atMs: 0 };
  /** The sample under way. */
  #pending: Sample | null = null;

  /** Bytes per millisecond, at most {@link bytesPerMsMax}; null before the first burst that was long enough. */
  get bytesPerMs(): number | null {
    const msPerByte = this.#pending === null ? this.#msPerByte : this.#with(this.#pending);
    return msPerByte === null ? null : Math.min(bytesPerMsMax, 1 / msPerByte);
  }

  /** There was nothing to send; what comes after the `sent` bytes so far is a burst of its own. */
  startBurst(sent: number, nowMs: number): void {
    this.#settle();
    this.#burst = { from: sent, atMs: nowMs };
  }

  /** Whether the burst that begins should be cut so that it tells the rate: the one known is old. */
  isAwaited(sent: number, nowMs: number): boolean {
    return sent === this.#burst.from && nowMs - this.#sampledMs > freshMs;
  }

  /** So many bytes have arrived in all, says an acknowledgement that came now. */
  arrived(bytes: number, nowMs: number): void {
    const mark = this.#mark;
    const { from, atMs } = this.#burst;
    if (mark === null || mark.bytes <= from) {
      // The first bytes of a burst took the round trip, so they only tell how slow the link is at
      // most: better than nothing where it is too fast for acknowledgements to come in between.
      this.#mark = { bytes, atMs: nowMs };
      const known = this.#msPerByte ?? (bytes - from >= boundBytesMin ? Infinity : null);
      if (known !== null && bytes > from) {
        this.#msPerByte = Math.min(known, (nowMs - atMs) / (bytes - from));
      }
    } else if (bytes - mark.bytes >= sampleBytesMin && nowMs - mark.atMs >= acknowledgedMsMin) {
      // Acknowledgements wait behind what is sent the other way, and then come close together: one
      // interval says little, many of them what was carried.
      this.#pending = { msPerByte: (nowMs - mark.atMs) / (bytes - mark.bytes), atMs: nowMs };
      if (nowMs - mark.atMs < sampleMs) return;
      this.#settle();
      this.#mark = { bytes, atMs: nowMs };
    }
  }

  #settle(): void {
    if (this.#pending === null) return;
    this.#msPerByte = this.#with(this.#pending);
    this.#sampledMs = this.#pending.atMs;
    this.#pending = null;
  }

  /** The estimate with one sample more. */
  #with({ msPerByte, atMs }: Sample): number {
    const ageMs = Math.max(freshMs, atMs - this.#sampledMs);
    const kept = (1 - rateWeight) ** (ageMs / freshMs);
    return kept * (this.#msPerByte ?? msPerByte) + (1 - kept) * msPerByte;
  }
}

interface Sample {
  readonly msPerByte: number;
  readonly atMs: number;
}
