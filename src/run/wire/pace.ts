/**
 * A pace: what may leave a node, in bytes per millisecond, whichever of its channels it leaves
 * on. Channels that share a pace send in turns, so a share of the bandwidth holds for all of them
 * together. Store-and-forward: a message leaves when a link of this rate would have carried its
 * last byte, after everything that was promised before it.
 */
import { Lateness } from "../lateness.ts";
import type { PacedTraffic } from "../metrics/record.ts";

/** When a message leaves. */
export interface Departure {
  /** From when on its bytes are leaving, and when the last one has left. */
  readonly fromMs: number;
  readonly atMs: number;
  readonly isPaced: boolean;
}

export class Pace {
  readonly #lateness = new Lateness();
  #bytesPerMs: number | null = null;
  /** When the last byte of everything that was promised so far has left. */
  #clearAtMs = 0;
  #bytes = 0;
  #ms = 0;

  /** Null where nothing is held back. */
  get bytesPerMs(): number | null {
    return this.#bytesPerMs;
  }

  /** Everything that has left under the pace so far, and how long it took. */
  get traffic(): PacedTraffic {
    return { bytes: this.#bytes, ms: this.#ms };
  }

  /** Sets the rate, null for none. What has been promised keeps its time. */
  setRate(bytesPerMs: number | null): void {
    this.#bytesPerMs = bytesPerMs;
  }

  /** Promises a message of so many bytes its turn. */
  promise(bytes: number, nowMs: number): Departure {
    const durationMs = this.#bytesPerMs === null ? 0 : bytes / this.#bytesPerMs;
    const fromMs = Math.max(nowMs, this.#clearAtMs);
    this.#clearAtMs = fromMs + this.#lateness.shortened(durationMs);
    return { fromMs, atMs: this.#clearAtMs, isPaced: this.#bytesPerMs !== null };
  }

  /** A timer that waited for a departure fired so many milliseconds after it. */
  late(ms: number): void {
    this.#lateness.add(ms);
  }

  /** A message has left under the pace. */
  left(bytes: number, ms: number): void {
    this.#bytes += bytes;
    this.#ms += ms;
  }
}
