/**
 * What a worker that has joined is given by a neighbour instead of the coordinator: weights, and what the optimizer
 * keeps where that is the same for all. Its round is ready meanwhile, and starts once they are there.
 *
 * Invariants:
 * 1. Nothing of a neighbour's is taken but what the coordinator's digest is of.
 * 2. Where that does not come, or something else does, the coordinator is asked, once.
 */
import { digestOf } from "../../base/sha256.ts";
import type { Tensor } from "../../base/tensor.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Cancel, Host } from "../host.ts";
import type { Tensors } from "../wire/frame.ts";
import type { BeginMessage, DigestMessage, StateMessage } from "../wire/messages.ts";

/** A neighbour may take so long, at least. */
const patienceMsMin = 10_000;

/** A worker with a round to start. */
export interface GivenStateAround {
  readonly host: Host;
  /** Says that it was not given it. */
  lacks(at: { term: number; round: number }): void;
  /** Takes what it was given, and starts the round. */
  start(round: number, tensors: Tensors): void;
}

interface Awaited {
  readonly term: number;
  readonly round: number;
  readonly given: NonNullable<BeginMessage["given"]>;
  readonly stop: Cancel;
  /** What came, in the order in which it was hashed. */
  tensors: Tensors | null;
  /** Digests of what came and of what was to come; undefined until they are known. */
  found?: string | null;
  told?: string | null;
  isAsked: boolean;
}

export class GivenState {
  readonly #around: GivenStateAround;
  #awaited: Awaited | null = null;

  constructor(around: GivenStateAround) {
    this.#around = around;
  }

  /** Whether a round waits for it. */
  get isAwaited(): boolean {
    return this.#awaited !== null;
  }

  /** A round is ready but for what a neighbour gives; for that it may take as long as a round does. */
  await({ term, round, given }: BeginMessage, { forecasts }: Pick<Plan, "forecasts">): void {
    this.end();
    if (given === undefined) return;
    const patienceMs = Math.max(patienceMsMin, ...forecasts.map(({ roundMs }) => roundMs));
    const stop = this.#around.host.after(patienceMs, () => this.#ask());
    this.#awaited = { term, round, given, stop, tensors: null, isAsked: false };
  }

  /** Nothing is waited for any more. */
  end(): void {
    this.#awaited?.stop();
    this.#awaited = null;
  }

  /** A chain is out of a round: who has gone gives nothing. */
  lost({ term, round, chain }: { term: number; round: number; chain: string }): void {
    const awaited = this.#of({ term, round });
    if (awaited !== null && awaited.given.chain === chain && awaited.tensors === null) this.#ask();
  }

  /** A neighbour gives something. */
  take(message: StateMessage, came: Tensors): void {
    const awaited = this.#of(message);
    if (awaited === null || awaited.tensors !== null || awaited.isAsked) return;
    if (message.chain !== awaited.given.chain) return;
    const tensors = new Map<string, Tensor>();
    for (const name of awaited.given.names) {
      const value = came.get(name);
      if (value === undefined) return this.#ask();
      tensors.set(name, value);
    }
    awaited.tensors = tensors;
    const { host } = this.#around;
    digestOf(
      [...tensors.values()],
      (ms, call) => host.after(ms, call),
      (digest) => {
        awaited.found = digest;
        this.#judge(awaited);
      },
    );
  }

  /** The coordinator says what it must come to. */
  told(message: DigestMessage): void {
    const awaited = this.#of(message);
    if (awaited === null) return;
    awaited.told = message.digest;
    this.#judge(awaited);
  }

  /** The coordinator sends it. */
  sent(message: StateMessage, tensors: Tensors): void {
    const awaited = this.#of(message);
    if (awaited?.isAsked === true) this.#start(awaited, tensors);
  }

  #of({ term, round }: { term: number; round: number }): Awaited | null {
    const awaited = this.#awaited;
    return awaited?.term === term && awaited.round === round ? awaited : null;
  }

  #judge(awaited: Awaited): void {
    const { tensors, found, told, isAsked } = awaited;
    if (this.#awaited !== awaited || isAsked || tensors === null) return;
    if (found === undefined || told === undefined) return;
    if (found === told) this.#start(awaited, tensors);
    else this.#ask();
  }

  #start({ round }: Awaited, tensors: Tensors): void {
    this.end();
    this.#around.start(round, tensors);
  }

  #ask(): void {
    const awaited = this.#awaited;
    if (awaited === null || awaited.isAsked) return;
    awaited.isAsked = true;
    awaited.stop();
    this.#around.lacks({ term: awaited.term, round: awaited.round });
  }
}
