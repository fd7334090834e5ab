/**
 * The receiving half of a channel's flow control: what has arrived, when, and what of it has
 * been consumed. What a relay has passed on counts as consumed once it has left to its
 * target, so a slow target makes the sender wait and the relay holds little.
 */
import type { Arrival } from "./estimates.ts";

/** So much that is new is acknowledged at once. */
const soonBytes = 512 * 1024;
/** So much is acknowledged within a moment: the smallest window has room for one more chunk beside it. */
const lateBytes = 16 * 1024;

/** What an `ack` says. Nothing in it ever goes back from one to the next. */
export interface Acknowledgement {
  /** Bytes that have arrived in all. */
  readonly received: number;
  /** Bytes that have been consumed in all. */
  readonly consumed: number;
  /** When the last of them arrived, in milliseconds since the link opened, by the receiver's clock. */
  readonly arrivedMs: number;
  /** The same of the first message that was not acknowledged before; of the last one where none is new. */
  readonly first: { readonly received: number; readonly arrivedMs: number };
}

/** What is acknowledged of a link that has brought nothing. */
export const nothingArrived: Acknowledgement = {
  received: 0,
  consumed: 0,
  arrivedMs: 0,
  first: { received: 0, arrivedMs: 0 },
};

export class Intake {
  #last: Arrival = { bytes: 0, atMs: 0 };
  /** The first message since the last acknowledgement; null where none has come. */
  #first: Arrival | null = null;
  #held = 0;
  #acknowledged = nothingArrived;
  readonly #onReleased: () => void;

  /** @param onReleased called when held bytes have been given free */
  constructor(onReleased: () => void) {
    this.#onReleased = onReleased;
  }

  /** A message of so many bytes has arrived, so long after the link opened. */
  add(bytes: number, atMs: number): void {
    this.#last = { bytes: this.#last.bytes + bytes, atMs };
    this.#first ??= this.#last;
  }

  /** Holds back the credit of so many bytes until the answer is called; later calls do nothing. */
  hold(bytes: number): () => void {
    let rest = bytes;
    this.#held += bytes;
    return () => {
      this.#held -= rest;
      if (rest > 0) this.#onReleased();
      rest = 0;
    };
  }

  /** How soon to acknowledge what is new. */
  urgency(): "now" | "soon" | "with the heartbeat" {
    const news = this.#news();
    return news >= soonBytes ? "now" : news >= lateBytes ? "soon" : "with the heartbeat";
  }

  /** Whether a message is large enough to be acknowledged by itself, and what is new before it is not. */
  mayHide(bytes: number): boolean {
    const news = this.#news();
    return bytes >= lateBytes && news > 0 && news < lateBytes;
  }

  /** What to acknowledge; null where nothing is new. From now on it is not new any more. */
  take(): Acknowledgement | null {
    if (this.#news() === 0) return null;
    const first = this.#first ?? this.#last;
    this.#first = null;
    this.#acknowledged = {
      received: this.#last.bytes,
      consumed: this.#consumed(),
      arrivedMs: this.#last.atMs,
      first: { received: first.bytes, arrivedMs: first.atMs },
    };
    return this.#acknowledged;
  }

  #consumed(): number {
    return Math.max(this.#acknowledged.consumed, this.#last.bytes - this.#held);
  }

  #news(): number {
    const { received, consumed } = this.#acknowledged;
    return this.#last.bytes - received + this.#consumed() - consumed;
  }
}
