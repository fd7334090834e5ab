/** Measures on held-out data: when, by whom, and what came of it. */
import type { NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { Job } from "../job.ts";
import type { Evaluated } from "../metrics/record.ts";
import type { EvaluationMessage } from "../wire/messages.ts";
import type { Member } from "./members.ts";

export class Examiner {
  readonly #job: Job;
  /** Rounds committed at the newest measurement. */
  #askedAt = -1;
  #judge: NodeId | null = null;
  #answer: EvaluationMessage | null = null;

  constructor(job: Job) {
    this.#job = job;
  }

  /** Due at the asked interval and after the last round, once each. */
  isDue(committed: number): boolean {
    const { rounds, evaluate } = this.#job;
    if (this.#askedAt === committed) return false;
    return committed === rounds || (committed > 0 && committed % evaluate.every === 0);
  }

  /** Asks the first member that holds held-out data; false where nobody does. */
  ask(
    members: Iterable<Member>,
    committed: number,
    parameters: ReadonlyMap<string, Tensor>,
  ): boolean {
    this.#askedAt = committed;
    this.#answer = null;
    const judge = [...members].find(({ hello }) => hello.testSamples > 0);
    this.#judge = judge?.id ?? null;
    const samples = committed === this.#job.rounds ? null : this.#job.evaluate.samples;
    judge?.channel.send({ type: "evaluate", round: committed, samples }, parameters);
    return judge !== undefined;
  }

  /** Takes an answer from who was asked, to what was asked; any other is void. */
  take(from: NodeId, message: EvaluationMessage): void {
    if (from === this.#judge && message.round === this.#askedAt) this.#answer = message;
  }

  /** False once the answer is there, or will not come because who was asked has left. */
  isAwaited(members: ReadonlyMap<NodeId, Member>): boolean {
    return this.#answer === null && this.#judge !== null && members.has(this.#judge);
  }

  /** The record of the answer; null where there is none. */
  result(final: boolean): Evaluated | null {
    if (this.#answer === null) return null;
    const { round, samples, correct, loss, ms } = this.#answer;
    const accuracy = correct === null ? null : correct / samples;
    return { type: "evaluation", round, samples, accuracy, loss, ms, final };
  }
}
