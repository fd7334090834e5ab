/**
 * What a chain's copies have brought on the way through a round: as of the last batch that all of them have brought, the
 * round may end with that, should a node be lost.
 */
import type { CopyId } from "../../base/ids.ts";

/** So many batches that not all have brought are waited for; of older ones nobody will bring the rest. */
const openMax = 3;

/** What all copies brought as of a batch; of none where that is 0. */
interface Whole<Brought> {
  readonly steps: number;
  readonly brought: ReadonlyMap<CopyId, Brought>;
}

export class Interims<Brought> {
  readonly #copies: readonly CopyId[];
  #whole: Whole<Brought> = { steps: 0, brought: new Map() };
  /** By batch, what some have brought since, oldest first. */
  #open = new Map<number, Map<CopyId, Brought>>();

  constructor(copies: readonly CopyId[]) {
    this.#copies = copies;
  }

  /** The last batch that all have brought, with that. */
  get whole(): Whole<Brought> {
    return this.#whole;
  }

  /** A copy brings what it has come to after so many batches; what it brought before of the same counts. */
  add(copy: CopyId, steps: number, brought: Brought): void {
    if (steps <= this.#whole.steps) return;
    const own = this.#open.get(steps) ?? new Map<CopyId, Brought>();
    if (!own.has(copy)) own.set(copy, brought);
    this.#open.set(steps, own);
    if (own.size === this.#copies.length) this.#whole = { steps, brought: own };
    const since = [...this.#open].filter(([other]) => other > this.#whole.steps);
    since.sort(([a], [b]) => a - b);
    this.#open = new Map(since.slice(-openMax));
  }
}
