/**
 * Sends weights ahead to where a plan will need them, while training goes on under the one before (pre-copy,
 * as live migration of virtual machines does it: Clark et al., NSDI 2005). What has changed by the time
 * of the move follows as it came home, coded, and the receiver adds it up: the same bits, and a
 * fraction of the bytes that the move waits for.
 *
 * Each tensor has a version, the number of the round that would start with it. An update of round r takes
 * it from version r to r + 1; what is of the version that a round begins with does not come with `begin`.
 */
import { present } from "../../base/assert.ts";
import { groupBy } from "../../base/group.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { CopyPlan, Plan } from "../../plan/plan.ts";
import type { Tensors } from "../wire/frame.ts";
import { partsOf, putParts } from "../wire/parts.ts";
import type { Segments } from "./kept.ts";
import type { Member } from "./members.ts";
import type { TrainingState } from "./training-state.ts";

/** What a member will lack. */
export interface Lack {
  readonly member: Member;
  readonly lacking: readonly Segments[];
}

/** A tensor as the coordinator has it now. */
export interface Versioned {
  readonly version: number;
  readonly value: Tensor;
}

/** A member on its way to what it will need. */
interface Receiver {
  readonly member: Member;
  /** Versions of what was sent, by name. */
  readonly versions: Map<string, number>;
  /** Frames that it has not consumed yet: whatever else is said of the same tensors waits. */
  awaited: number;
  readonly waiting: { readonly round: number; readonly parts: Tensors }[];
}

export class Precopy {
  /** What it is for. */
  readonly plan: Plan;
  /** Of the plan in force while it is sent. */
  readonly term: number;
  readonly #state: TrainingState;
  readonly #onReady: () => void;
  readonly #receivers: Receiver[];

  /**
   * Begins to send.
   * @param to the plan to come, the term of the one in force, and what will be lacking
   * @param now a tensor as it is here
   * @param onReady called, not before this returns, when everybody has what was sent
   */
  constructor(
    to: { plan: Plan; term: number; lacks: readonly Lack[] },
    state: TrainingState,
    now: (name: string) => Versioned,
    onReady: () => void,
  ) {
    this.plan = to.plan;
    this.term = to.term;
    this.#state = state;
    this.#onReady = onReady;
    this.#receivers = to.lacks.flatMap(({ member, lacking }) => {
      const names = state.movedIn(lacking);
      const receiver = { member, versions: new Map<string, number>(), awaited: 0, waiting: [] };
      const tensors = names.map((name) => [name, now(name)] as const);
      for (const [name, { version }] of tensors) receiver.versions.set(name, version);
      const byVersion = groupBy(tensors, ([, { version }]) => version);
      for (const [round, some] of byVersion) {
        this.#send(receiver, round, new Map(some.map(([name, { value }]) => [name, value])));
      }
      return names.length === 0 ? [] : [receiver];
    });
  }

  /** Whether there is nothing to send ahead. */
  get isEmpty(): boolean {
    return this.#receivers.length === 0;
  }

  #send(receiver: Receiver, round: number, tensors: Tensors): void {
    receiver.awaited++;
    const onConsumed = (): void => {
      receiver.awaited--;
      if (receiver.awaited > 0) return;
      for (const { round, parts } of receiver.waiting.splice(0)) this.#pass(receiver, round, parts);
      if (this.#receivers.every(({ awaited }) => awaited === 0)) this.#onReady();
    };
    const message = { type: "precopy", term: this.term, round } as const;
    receiver.member.channel.send(message, tensors, { isBackground: true, onConsumed });
  }

  /** A copy has brought what a round has changed of its tensors: as it came, it goes on to who will need it. */
  follow(copy: CopyPlan, round: number, came: Tensors): void {
    const names = this.#state.movedIn([copy]);
    for (const receiver of this.#receivers) {
      const parts = new Map<string, Tensor>();
      for (const name of names) {
        if (receiver.versions.get(name) !== round) continue;
        putParts(parts, name, partsOf(came, name));
        receiver.versions.set(name, round + 1);
      }
      if (parts.size === 0) continue;
      // A frame in the background would be overtaken.
      if (receiver.awaited > 0) receiver.waiting.push({ round, parts });
      else this.#pass(receiver, round, parts);
    }
  }

  #pass({ member }: Receiver, round: number, parts: Tensors): void {
    member.channel.send({ type: "update", term: this.term, round }, parts);
  }

  /** Of what a member is to begin a round with, what it has not. */
  without(member: Member, round: number, tensors: ReadonlyMap<string, Tensor>): Tensors {
    const receiver = this.#receivers.find((one) => one.member === member);
    if (receiver === undefined || receiver.awaited > 0) return tensors;
    return new Map([...tensors].filter(([name]) => receiver.versions.get(name) !== round));
  }
}

/** The tensor of a map, or of the version before it. */
export const newest =
  (version: number, newer: Tensors, older: (name: string) => Tensor | null) =>
  (name: string): Versioned => {
    const value = newer.get(name);
    return value === undefined
      ? { version, value: present(older(name), name) }
      : { version: version + 1, value };
  };
