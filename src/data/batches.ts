/**
 * Which samples make up a batch. A batch is a pure function of (seed, node,
 * step), by integer arithmetic alone, so every machine and every replay draws
 * the same one.
 *
 * A node's samples form an endless sequence: one permutation of all of them per
 * epoch, one after the other. Batch `step` is the run of positions from
 * `step * batch`, so every batch is full, and it may span a border of epochs.
 */
import { assert } from "../base/assert.ts";
import { random } from "../base/random.ts";

/** Draws batches of one node and keeps the last permutations, so that a step costs a batch. */
export class BatchSampler {
  readonly #samples: number;
  readonly #seed: number;
  readonly #node: string;
  /** Permutations by epoch; a batch seldom spans more than two. */
  readonly #orders = new Map<number, Int32Array>();

  /**
   * @param samples number of samples that the node holds, at least 1.
   * @param node the node's name: nodes with equal shards still draw different batches.
   */
  constructor(samples: number, seed: number, node: string) {
    assert(Number.isSafeInteger(samples) && samples > 0, `batches of ${samples} samples`);
    this.#samples = samples;
    this.#seed = seed;
    this.#node = node;
  }

  /**
   * Positions of the samples of batch `step`, in the order in which they are fed.
   * @param batch number of samples, at least 1; may exceed the number that the node holds.
   * @param step batches drawn before this one, from 0.
   */
  indices(batch: number, step: number): Int32Array {
    assert(Number.isSafeInteger(batch) && batch > 0, `a batch of ${batch}`);
    assert(Number.isSafeInteger(step) && step >= 0, `step ${step}`);
    const from = step * batch;
    return Int32Array.from({ length: batch }, (_, i) => {
      const epoch = Math.floor((from + i) / this.#samples);
      return this.#order(epoch)[(from + i) % this.#samples] as number;
    });
  }

  #order(epoch: number): Int32Array {
    const kept = this.#orders.get(epoch);
    if (kept !== undefined) return kept;
    if (this.#orders.size >= 2) this.#orders.delete(this.#orders.keys().next().value as number);
    const order = Int32Array.from({ length: this.#samples }, (_, i) => i);
    random(this.#seed).fork(`batches of ${this.#node}`).fork(`epoch ${epoch}`).shuffle(order);
    this.#orders.set(epoch, order);
    return order;
  }
}

/** The batch that a fresh {@link BatchSampler} would give; for single questions. */
export const batchIndices = (
  samples: number,
  batch: number,
  seed: number,
  node: string,
  step: number,
): Int32Array => new BatchSampler(samples, seed, node).indices(batch, step);
