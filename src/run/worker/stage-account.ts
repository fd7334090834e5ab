/** What a stage's round has cost so far, and what came of it: told with the contribution, and on the way there. */
import type { ProgramKind } from "../../compile/program.ts";
import type { HeldMs } from "../metrics/record.ts";

/** A copy tells its progress so often, at most. */
export const progressMs = 1000;

export class StageAccount {
  readonly #held = { forward: 0, backward: 0, update: 0, step: 0 };
  #computeMs = 0;
  #lossSum: number | null = 0;
  #losses = 0;
  #passes = "";

  /** A program has run. */
  ran(kind: ProgramKind, computeMs: number, busyMs: number): void {
    this.#computeMs += computeMs;
    if (kind !== "evaluate") this.#held[kind] += busyMs;
  }

  /** A batch's loss; null where nothing is computed. */
  lost(loss: number | null): void {
    this.#lossSum = this.#lossSum === null || loss === null ? null : this.#lossSum + loss;
    this.#losses++;
  }

  /** A pass is done whose place in the order decides what is computed. */
  passed(pass: "F" | "B"): void {
    this.#passes += pass;
  }

  get computeMs(): number {
    return this.#computeMs;
  }

  /** Time that the stage held the processor, by kind of program. */
  get held(): HeldMs {
    return { ...this.#held };
  }

  /** Mean over the batches; null where the stage has no loss, or nothing is computed. */
  get meanLoss(): number | null {
    return this.#losses === 0 || this.#lossSum === null ? null : this.#lossSum / this.#losses;
  }

  get passes(): string {
    return this.#passes;
  }
}
