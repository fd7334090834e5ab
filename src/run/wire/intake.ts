/**
 * The receiving half of a channel's flow control: what has arrived, and what of it has
 * been consumed. What a relay has passed on counts as consumed once it has left to its
 * target, so a slow target makes the sender wait and the relay holds little.
 */

/** So much that is new is acknowledged at once. */
const soonBytes = 512 * 1024;
/** So much is acknowledged within a moment: the smallest window has room for one more chunk beside it. */
const lateBytes = 16 * 1024;

export interface Acknowledgement {
  /** Bytes that have arrived in all. */
  readonly received: number;
  /** Bytes that have been consumed in all. Never goes back. */
  readonly consumed: number;
}

export class Intake {
  #received = 0;
  #held = 0;
  #last: Acknowledgement = { received: 0, consumed: 0 };
  readonly #onReleased: () => void;

  /** @param onReleased called when held bytes have been given free */
  constructor(onReleased: () => void) {
    this.#onReleased = onReleased;
  }

  /** A message of so many bytes has arrived. */
  add(bytes: number): void {
    this.#received += bytes;
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

  /** What to acknowledge; null where nothing is new. From now on it is not new any more. */
  take(): Acknowledgement | null {
    if (this.#news() === 0) return null;
    this.#last = { received: this.#received, consumed: this.#consumed() };
    return this.#last;
  }

  #consumed(): number {
    return Math.max(this.#last.consumed, this.#received - this.#held);
  }

  #news(): number {
    return this.#received - this.#last.received + this.#consumed() - this.#last.consumed;
  }
}
