/** What a node has been doing, kept for those who watch; nothing is kept while nobody does. */
import type { Span, SpanKind } from "./record.ts";

/** Spans kept between two takings: a node that does more in that time loses the oldest. */
const spansKept = 500;

/** Tenths of a millisecond are all that a picture shows. */
const rounded = (ms: number): number => Math.round(10 * ms) / 10;

export class Timeline {
  #isWatched = false;
  #spans: { kind: SpanKind; fromMs: number; ms: number }[] = [];

  watch(isWatched: boolean): void {
    this.#isWatched = isWatched;
    if (!isWatched) this.#spans = [];
  }

  /** Adds a stretch of work that has just ended. */
  add(kind: SpanKind, fromMs: number, ms: number): void {
    if (!this.#isWatched || ms <= 0) return;
    this.#spans.push({ kind, fromMs, ms });
    if (this.#spans.length > spansKept) this.#spans.shift();
  }

  /** Takes out what was added since the last taking, with ages as of now. */
  take(nowMs: number): Span[] {
    const spans = this.#spans;
    this.#spans = [];
    return spans.map(({ kind, fromMs, ms }) => [kind, rounded(nowMs - fromMs), rounded(ms)]);
  }
}
