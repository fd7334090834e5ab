/** Measures on held-out data: when, by whom, and what came of it. */
import type { NodeId } from "../../base/ids.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { Job } from "../job.ts";
import type { Evaluated } from "../metrics/record.ts";
import type { EvaluationMessage } from "../wire/messages.ts";
import type { Member } from "./members.ts";
import type { Progress } from "./progress.ts";

/** How long an evaluation may take, even on a slow node with a large model. */
export const evaluationMsMax = 600_000;

export class Examiner {
  readonly #job: Job;
  /** Rounds committed at the newest measurement. */
  #askedAt: number;
  #judge: NodeId | null = null;
  #answer: EvaluationMessage | null = null;

  /** @param askedAt rounds committed at the newest measurement; -1 before the first */
  constructor(job: Job, askedAt: number) {
    this.#job = job;
    this.#askedAt = askedAt;
  }

  /** Due at the asked interval and after the last round, once each. */
  isDue({ committed, isOver }: Pick<Progress, "committed" | "isOver">): boolean {
    if (this.#askedAt === committed) return false;
    return isOver || (committed > 0 && committed % this.#job.evaluate.every === 0);
  }

  /** Whether a measurement is due by then, and somebody there to be asked. */
  asks(then: Pick<Progress, "committed" | "isOver">, members: Iterable<Member>): boolean {
    return this.isDue(then) && judgeAmong(members) !== undefined;
  }

  /** Asks the judge, and says whom; null where there is none. */
  ask(
    members: Iterable<Member>,
    { committed, isOver }: Pick<Progress, "committed" | "isOver">,
    parameters: ReadonlyMap<string, Tensor>,
  ): Member | null {
    this.#askedAt = committed;
    this.#answer = null;
    const judge = judgeAmong(members);
    this.#judge = judge?.id ?? null;
    const samples = isOver ? null : this.#job.evaluate.samples;
    judge?.channel.send({ type: "evaluate", round: committed, samples }, parameters);
    return judge ?? null;
  }

  /** Takes an answer from who was asked, to what was asked; any other is void, which `false` says. */
  take(from: NodeId, message: EvaluationMessage): boolean {
    const isAsked = from === this.#judge && message.round === this.#askedAt;
    if (isAsked) this.#answer = message;
    return isAsked;
  }

  /** False once the answer is there, or will not come because who was asked has left. */
  isAwaited(members: { has(node: NodeId): boolean }): boolean {
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

/** The first member that holds held-out data. */
const judgeAmong = (members: Iterable<Member>): Member | undefined =>
  [...members].find(({ hello }) => hello.testSamples > 0);
