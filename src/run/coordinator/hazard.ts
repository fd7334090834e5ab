/**
 * How often nodes are lost without notice: once in an hour of each, for what nobody has seen yet, and more and more as this run
 * has shown.
 */
const priorMs = 3_600_000;

export class Hazard {
  #losses = 1;
  #nodeMs = priorMs;
  #nodes = 0;
  #atMs = 0;

  /** So many nodes are there from now on. */
  are(nodes: number, nowMs: number): void {
    this.#nodeMs += this.#nodes * (nowMs - this.#atMs);
    this.#nodes = nodes;
    this.#atMs = nowMs;
  }

  /** One of them has been lost. */
  lost(): void {
    this.#losses++;
  }

  /** Losses of one node in a millisecond. */
  get perMs(): number {
    return this.#losses / this.#nodeMs;
  }
}
