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
const sampleBytesMin = 16 * 1024;
const rateWeight = 1 / 4;

/**
 * The rate at which bytes arrive when they are sent back to back. Pauses in between
 * (nothing to send) say nothing about a link, so only acknowledgements within one burst are
 * compared: those of bytes that all waited for the ones before them.
 */
export class AchievedRate {
  /** Smoothed as time per byte, so that it is total bytes over total time. */
  #msPerByte: number | null = null;
  #mark: { readonly bytes: number; readonly atMs: number } | null = null;
  #burstFrom = 0;

  /** Bytes per millisecond; null before the first burst, Infinity where bytes take no time. */
  get bytesPerMs(): number | null {
    return this.#msPerByte === null ? null : 1 / this.#msPerByte;
  }

  /** There was nothing to send; what comes after the `sent` bytes so far is a burst of its own. */
  startBurst(sent: number): void {
    this.#burstFrom = sent;
  }

  /** So many bytes have arrived in all, says an acknowledgement that came now. */
  arrived(bytes: number, nowMs: number): void {
    const mark = this.#mark;
    // The first bytes of a burst took the round trip; the ones after them tell the rate.
    if (mark === null || mark.bytes <= this.#burstFrom) {
      this.#mark = { bytes, atMs: nowMs };
    } else if (bytes - mark.bytes >= sampleBytesMin) {
      const sample = (nowMs - mark.atMs) / (bytes - mark.bytes);
      this.#msPerByte ??= sample;
      this.#msPerByte += rateWeight * (sample - this.#msPerByte);
      this.#mark = { bytes, atMs: nowMs };
    }
  }
}
