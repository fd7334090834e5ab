/**
 * Real timers fire late. Who paces by them (a link's share, a node's duty) would
 * be a little slower at every wait, and much slower where waits are short. So what
 * one wait lost the next ones make up for, and the pace is kept on average.
 */

/** So much is made up for: enough for a busy machine, too little for a burst. */
const lateMsMax = 10;

export class Lateness {
  #ms = 0;

  /** A wait of so many milliseconds, shortened by what is to be made up for. */
  shortened(waitMs: number): number {
    const savedMs = Math.min(this.#ms, waitMs);
    this.#ms -= savedMs;
    return waitMs - savedMs;
  }

  /** A wait has ended so many milliseconds too late. */
  add(lateMs: number): void {
    this.#ms = Math.min(this.#ms + Math.max(0, lateMs), lateMsMax);
  }
}
