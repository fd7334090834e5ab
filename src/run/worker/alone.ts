/**
 * A member of an exchange whose coordinator is away: it goes on, round after round, with what it has and the members
 * whose links stand, keeps what it owes, and brings it when the coordinator is back.
 *
 * Invariants:
 * 1. Rounds follow one another by their numbers under one term, each with the learning rate that the coordinator
 *    had announced for it: members who lose the coordinator at different moments do the same.
 * 2. Once the coordinator is back, the round that is under way is the last.
 */
import { present } from "../../base/assert.ts";
import { goesOnAlone } from "../../plan/exchange-members.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Tensors } from "../wire/frame.ts";
import type { BeginMessage, ContributionMessage, WelcomeMessage } from "../wire/messages.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Stages } from "./stages.ts";

/** How what is owed gets home. */
export type Bring = (message: ContributionMessage, tensors: Tensors) => void;

interface Owed {
  readonly message: ContributionMessage;
  readonly tensors: Tensors;
}

export class Alone {
  readonly #plan: Plan;
  readonly #stages: Stages;
  readonly #neighbours: Neighbours;
  /** How the round under way began. */
  #begun: BeginMessage;
  /** Rounds that are done, oldest first: the newest with its tensors. */
  readonly #rounds: { readonly begun: BeginMessage; readonly message: ContributionMessage }[] = [];
  #newest: Owed | null = null;
  #bring: Bring | null = null;
  #isOver = false;

  constructor(plan: Plan, begun: BeginMessage, stages: Stages, neighbours: Neighbours) {
    this.#plan = plan;
    this.#begun = begun;
    this.#stages = stages;
    this.#neighbours = neighbours;
  }

  /** Whether a worker may go on by itself under a plan: its members need nobody else to come to the same. */
  static isPossible(plan: Plan, neighbours: Neighbours): boolean {
    return goesOnAlone(plan) && neighbours.lost.length === 0;
  }

  /** Whether nobody waits for it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The coordinator is gone: what was brought of the round under way may not have come. */
  start(): void {
    this.#stages.goAlone();
  }

  /** A neighbour's link is lost, and nobody else passes anything on. */
  lost(node: string): void {
    const { term, round } = this.#begun;
    for (const { id, source } of this.#plan.chains) {
      if (source === node) this.#stages.lose({ term, round, chain: id });
    }
  }

  /** A round is done: it is kept, and the next one begins unless the coordinator is back. */
  contributed(message: ContributionMessage, tensors: Tensors): void {
    const last = this.#rounds.at(-1)?.message.round ?? -1;
    if (this.#isOver || message.isRest === true || message.round <= last) return;
    this.#rounds.push({ begun: this.#begun, message });
    this.#newest = { message, tensors };
    if (this.#bring !== null) this.#send(this.#bring, true);
    else this.#next();
  }

  #next(): void {
    const { round, first, later = [] } = this.#begun;
    const [learningRate, ...rest] = later;
    if (learningRate === undefined) return;
    const workOf = new Map<string, number>(this.#plan.chains.map(({ id, work }) => [id, work]));
    const last = this.#rounds.at(-1)?.message;
    // Of itself it knows how many batches it took; those of others are not drawn here.
    if (last !== undefined) workOf.set(last.chain, last.steps);
    const own = this.#stages.setups.map(({ copy }) => copy);
    this.#begun = {
      ...{ ...this.#begun, round: round + 1, learningRate, later: rest, keep: own, going: [] },
      first: first.map(({ chain, step }) => {
        return { chain, step: step + present(workOf.get(chain), chain) };
      }),
    };
    const slots = this.#stages.begin(this.#begun, new Map(), new Map(), true);
    // All that the round before left is there.
    if (typeof slots === "string" || slots.size > 0) return this.end();
    this.#neighbours.begin(round + 1);
    this.#stages.start(round + 1);
    for (const node of this.#neighbours.lost) this.lost(node);
  }

  /**
   * The coordinator is back, and says what it waits for: brings what is done, and the round under way once
   * that is.
   * @returns the round that it is in, or has brought last; null where it has nothing to do with what is waited for
   */
  comeHome(awaits: NonNullable<WelcomeMessage["awaits"]>, bring: Bring): number | null {
    const { term, round } = this.#begun;
    if (term !== awaits.term || round < awaits.round) this.end();
    if (this.#isOver) return null;
    while ((this.#rounds[0]?.message.round ?? round) < awaits.round) this.#rounds.shift();
    this.#bring = bring;
    if (this.#rounds.length > 0) this.#send(bring, !this.#isUnderWay);
    return round;
  }

  /** Whether the round that has begun is not done. */
  get #isUnderWay(): boolean {
    return (this.#newest?.message.round ?? -1) < this.#begun.round;
  }

  /** The link to the coordinator is lost once more. */
  goOn(): void {
    this.#bring = null;
    if (!this.#isUnderWay && !this.#isOver) this.#next();
  }

  #send(bring: Bring, isLast: boolean): void {
    const { message, tensors } = present(this.#newest, "what is owed");
    const before = this.#rounds.slice(0, -1).map(({ begun, message: { round, joined, took } }) => ({
      ...{ round, learningRate: begun.learningRate },
      ...(joined !== undefined && { joined }),
      ...(took !== undefined && { took }),
    }));
    const { learningRate } = present(this.#rounds.at(-1), "a round").begun;
    bring({ ...message, alone: { learningRate, before, isLast } }, tensors);
  }

  /** Nobody waits for what it does any more. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stages.abandon();
    this.#neighbours.close();
  }
}
