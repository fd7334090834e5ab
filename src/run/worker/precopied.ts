/**
 * Tensors that came ahead of the plan that will need them, and what rounds have changed of them since. They stay
 * beside the engine until the next plan's first round takes them, or goes without.
 */
import type { Tensor } from "../../base/tensor.ts";
import type { UpdateCoding } from "../update-coding.ts";
import type { Tensors } from "../wire/frame.ts";

/** A tensor, and the number of the round that could start with it. */
interface Versioned {
  readonly version: number;
  readonly value: Tensor;
}

export class Precopied {
  #term = -1;
  readonly #tensors = new Map<string, Versioned>();

  /** Takes what came under a plan. */
  take({ term, round }: { term: number; round: number }, tensors: Tensors): void {
    if (term !== this.#term) this.#tensors.clear();
    this.#term = term;
    for (const [name, value] of tensors) this.#tensors.set(name, { version: round, value });
  }

  /**
   * A round has changed some of what came. What is about another plan's is void.
   * @returns the name of a tensor that the update does not fit; null where all is well
   */
  update(
    { term, round }: { term: number; round: number },
    came: Tensors,
    updates: UpdateCoding,
  ): string | null {
    if (term !== this.#term) return null;
    const names = new Set([...came.keys()].map((part) => part.slice(0, part.lastIndexOf("."))));
    for (const name of names) {
      const before = this.#tensors.get(name);
      if (before?.version !== round) return name;
      const base = before.value;
      const value = updates.decode(came, { name, type: base, base });
      if (value === null) return name;
      this.#tensors.set(name, { version: round + 1, value });
    }
    return null;
  }

  /** Gives away what a round of a later plan can start with; all else is of no use any more. */
  takeFor({ term, round }: { term: number; round: number }): Tensors {
    if (term <= this.#term) return new Map();
    const found = [...this.#tensors].filter(([, { version }]) => version === round);
    this.#tensors.clear();
    return new Map(found.map(([name, { value }]) => [name, value]));
  }
}
