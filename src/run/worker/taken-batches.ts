/**
 * Who took how many batches before which exchange of a round, where that is what members managed: without it nobody could
 * compute again what a member had shared that does not live to tell. So each part says it of its sender, and
 * passes on what the sender's neighbours have said of themselves.
 */
import type { Took } from "../metrics/record.ts";
import type { ExchangeMessage } from "../wire/messages.ts";

type News = NonNullable<ExchangeMessage["took"]>[number];

/** Chains of which anything is kept: neighbours of neighbours are no more. */
const chainsMax = 1024;

export class TakenBatches {
  readonly #taken = new Map<string, number[]>();
  #news: News[] = [];

  /**
   * A chain took so many batches before an exchange; what is said once more, or out of its order, is void.
   * @param isPassedOn whether neighbours are to hear of it: of itself, and what another one says of itself
   */
  note(one: News, isPassedOn: boolean): void {
    const { chain, at, batches } = one;
    if (isPassedOn) this.#news.push(one);
    const known = this.#taken.get(chain) ?? [];
    if (at !== known.length || (known.length === 0 && this.#taken.size >= chainsMax)) return;
    known.push(batches);
    this.#taken.set(chain, known);
  }

  /** What is to be passed on since this was asked last. */
  news(): News[] {
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** All that is known of the round. */
  get all(): Took[] {
    return [...this.#taken].map(([chain, batches]) => ({ chain, batches }));
  }
}
