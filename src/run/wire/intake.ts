/**
 * The receiving half of a channel's flow control: what has arrived, and what of it has
 * been consumed. What a relay has passed on counts as consumed once it has left to its
 * target, so a slow target makes the sender wait and the relay holds little.
 */
import { chunkBytesMin } from "./chunks.ts";

/**
 * Acknowledgements are sent when so many bytes are new, less after a while without one, and with
 * each heartbeat. The smallest window has room for another chunk beside what is not acknowledged.
 */
const ackBytes = 3 * chunkBytesMin;
const lateAckBytes = chunkBytesMin;
const lateMs = 50;

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
  #lastMs = Number.NEGATIVE_INFINITY;
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

  /** What to acknowledge now; null while little is new, or nothing where `isHeartbeat`. */
  due(nowMs: number, isHeartbeat: boolean): Acknowledgement | null {
    const consumed = Math.max(this.#last.consumed, this.#received - this.#held);
    const news = this.#received - this.#last.received + consumed - this.#last.consumed;
    const enough = nowMs - this.#lastMs >= lateMs ? lateAckBytes : ackBytes;
    if (news < (isHeartbeat ? 1 : enough)) return null;
    this.#last = { received: this.#received, consumed };
    this.#lastMs = nowMs;
    return this.#last;
  }
}
