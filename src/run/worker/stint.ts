/**
 * What a member of an exchange computes from one exchange to the next, where the plan says for how long and not how much. It
 * makes another update while that is worth more to all than what they wait for it.
 */

/** How long a stint is meant to be. */
export interface Pace {
  readonly ms: number;
  /** Updates that all who exchange were planned to make in that time together. */
  readonly updates: number;
}

export class Stint {
  readonly #untilMs: number;
  #startedMs = 0;
  #updatedMs = 0;

  constructor({ ms, updates }: Pace) {
    // One update more is worth as much as all computing for as long as the fleet takes for one.
    this.#untilMs = ms * (1 + 1 / updates);
  }

  /** It begins, as an exchange has ended or a round begins. */
  begin(nowMs: number): void {
    this.#startedMs = nowMs;
    this.#updatedMs = nowMs;
  }

  /** An update is made. @returns whether it is over: whether another one, if it took as long as this, would end too late */
  updated(nowMs: number): boolean {
    const tookMs = nowMs - this.#updatedMs;
    this.#updatedMs = nowMs;
    return nowMs - this.#startedMs + tookMs > this.#untilMs;
  }
}
