/**
 * How far a run is. A job asks for so many rounds of so many batches. A round that was ended early, for
 * another plan or for a node that had to go, counts for the share of its batches that were trained, and the
 * run goes on until all have been: so it may have more rounds than were asked for, and never fewer batches.
 */
import { grownRate } from "../growth.ts";
import type { Job } from "../job.ts";
import { type RoundCommitted, shareTrained, standing } from "../metrics/record.ts";
import { learningRateAt } from "../schedule.ts";
import { laterMax } from "../wire/data-messages.ts";
import type { Past } from "./journal.ts";

/** Shares are sums of fractions. */
const rounding = 1e-9;

export class Progress {
  readonly #job: Job;
  #committed = 0;
  /** Rounds' worth of batches. */
  #trained = 0;

  /** @param past what a coordinator that is no more has decided; a run begins where absent */
  constructor(job: Job, past?: Pick<Past, "decisions" | "committed">) {
    this.#job = job;
    if (past === undefined) return;
    for (const record of standing(past.decisions, (decision) => decision)) {
      if (record.type === "round" && record.round < past.committed) this.add(record);
    }
  }

  /** Rounds committed so far; also the number of the next one. */
  get committed(): number {
    return this.#committed;
  }

  add(round: Pick<RoundCommitted, "participants" | "phases" | "alone">): void {
    this.#committed++;
    this.#trained += shareTrained(round, this.#job.localBatches);
  }

  /** How far the run will be with a round of so many batches more. */
  after(batches: number): Progress {
    const next = new Progress(this.#job);
    next.#committed = this.#committed + 1;
    next.#trained = this.#trained + Math.min(1, batches / this.#job.localBatches);
    return next;
  }

  /** Whether all batches that the job asks for have been trained. */
  get isOver(): boolean {
    return this.#trained >= this.#job.rounds - rounding;
  }

  /** Batches that a chain still has to train. */
  get batchesLeft(): number {
    return Math.max(0, this.#job.rounds - this.#trained) * this.#job.localBatches;
  }

  /** Learning rates of the rounds after the next one, for who trains them under its plan: global batches stay as they are. */
  get later(): number[] {
    const grown = grownRate(this.#job, this.#committed);
    const rates: number[] = [];
    let next = this.after(this.#job.localBatches);
    for (; rates.length < laterMax && !next.isOver; next = next.after(this.#job.localBatches)) {
      rates.push(next.#scheduledRate * grown);
    }
    return rates;
  }

  /** The learning rate of the next round. */
  get learningRate(): number {
    return this.#scheduledRate * grownRate(this.#job, this.#committed);
  }

  /** The schedule follows the batches, not the rounds as global batches do. */
  get #scheduledRate(): number {
    const round = Math.floor(this.#trained + rounding);
    return learningRateAt(this.#job, Math.min(round, this.#job.rounds - 1));
  }
}
