/** What a replay keeps of how rounds began: late parts of them come with later rounds. */
import { present } from "../base/assert.ts";
import type { Tensor } from "../base/tensor.ts";
import type { FoldedPart, RoundCommitted, RunRecord } from "../run/metrics/record.ts";

/** How a round began. */
export interface RoundStart {
  readonly record: RoundCommitted;
  readonly trained: ReadonlyMap<string, Tensor>;
}

/** Keeps how rounds began whose late parts were folded into later ones. */
export class Starts {
  readonly #wanted: ReadonlySet<number>;
  readonly #starts = new Map<number, RoundStart>();

  constructor(log: readonly RunRecord[]) {
    const folded = log.flatMap((record) => (record.type === "round" ? (record.folded ?? []) : []));
    this.#wanted = new Set(folded.map(({ round }) => round));
  }

  begin(record: RoundCommitted, trained: ReadonlyMap<string, Tensor>): void {
    if (!this.#wanted.has(record.round)) return;
    this.#starts.set(record.round, { record, trained: new Map(trained) });
  }

  of({ round }: FoldedPart): RoundStart {
    return present(this.#starts.get(round), `the start of round ${round}`);
  }
}
