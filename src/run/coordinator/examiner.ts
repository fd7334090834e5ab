/**
 * Measures on held-out data: when, by whom, and what came of it. What is measured are committed weights, so a
 * measurement may go on while the next rounds train; one at a time.
 */
import type { Tensor } from "../../base/tensor.ts";
import type { Job } from "../job.ts";
import type { Evaluated } from "../metrics/record.ts";
import type { EvaluationMessage } from "../wire/messages.ts";
import type { Member } from "./members.ts";
import type { Progress } from "./progress.ts";
import type { Roster } from "./roster.ts";

/** How long an evaluation may take, even on a slow node with a large model. */
const evaluationMsMax = 600_000;

/** How far the run was, or will be, when something is measured. */
type Standing = Pick<Progress, "committed" | "isOver">;

export class Examiner {
  readonly #job: Job;
  readonly #members: Roster;
  /** Rounds committed at the newest measurement. */
  #askedAt: number;
  #isFinal = false;
  /** Who has been asked; null while nothing is measured. */
  #judge: Member | null = null;
  #answer: EvaluationMessage | null = null;

  /** @param askedAt rounds committed at the newest measurement; -1 before the first */
  constructor(job: Job, members: Roster, askedAt: number) {
    this.#job = job;
    this.#members = members;
    this.#askedAt = askedAt;
  }

  /** Due at the asked interval and after the last round, once each. */
  isDue({ committed, isOver }: Standing): boolean {
    if (this.#askedAt === committed) return false;
    return isOver || (committed > 0 && committed % this.#job.evaluate.every === 0);
  }

  /** Whether a measurement will be due by then that has to wait for one which is under way. */
  isInTheWay(then: Standing): boolean {
    return this.isAwaited && this.isDue(then);
  }

  /** Asks the judge, where there is one. @returns whether there is */
  ask({ committed, isOver }: Standing, parameters: ReadonlyMap<string, Tensor>): boolean {
    this.#askedAt = committed;
    this.#isFinal = isOver;
    const judge = judgeAmong(this.#members);
    [this.#judge, this.#answer] = [judge ?? null, null];
    if (judge === undefined) return false;
    const samples = isOver ? null : this.#job.evaluate.samples;
    judge.channel.send({ type: "evaluate", round: committed, samples }, parameters);
    this.#members.expect(judge, "evaluation", evaluationMsMax);
    return true;
  }

  /** Takes an answer from who was asked, to what was asked; any other is void. */
  take(from: Member, message: EvaluationMessage): void {
    if (from !== this.#judge || message.round !== this.#askedAt) return;
    this.#answer = message;
    this.#members.answered(from, "evaluation");
  }

  /** False once the answer is there, or will not come because who was asked has left. */
  get isAwaited(): boolean {
    const judge = this.#judge;
    if (judge === null || this.#answer !== null) return false;
    // One that came back is another member, and was not asked.
    return this.#members.get(judge.id) === judge;
  }

  /** The record of the answer, once; null where there is none. */
  result(): Evaluated | null {
    if (this.#answer === null) return null;
    const { round, samples, correct, loss, ms } = this.#answer;
    [this.#judge, this.#answer] = [null, null];
    const accuracy = correct === null ? null : correct / samples;
    return { type: "evaluation", round, samples, accuracy, loss, ms, final: this.#isFinal };
  }
}

/** The first member that holds held-out data. */
const judgeAmong = (members: Iterable<Member>): Member | undefined =>
  [...members].find(({ hello }) => hello.testSamples > 0);
