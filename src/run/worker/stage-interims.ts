/** When a stage brings home what it has come to while its round goes on. */

/** What is brought leaves evenly within so much of the time until the next time, so that it holds up nothing else. */
const shareOfTime = 0.8;

export class StageInterims {
  readonly #every: number | null;
  #lastMs: number;
  #isLeaving = false;

  /** @param every batches from one time to the next; null for none before the end */
  constructor(every: number | null, nowMs: number) {
    this.#every = every;
    this.#lastMs = nowMs;
  }

  /**
   * So many batches have come back. Where what was brought before has not left yet, this time is left out.
   * @returns the time that what is brought now may take to leave; null where nothing is due
   */
  due(batches: number, nowMs: number): number | null {
    if (this.#every === null || batches % this.#every !== 0 || this.#isLeaving) return null;
    const overMs = shareOfTime * (nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#isLeaving = true;
    return overMs;
  }

  /** What was brought has left. */
  left(): void {
    this.#isLeaving = false;
  }
}
