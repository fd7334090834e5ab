/**
 * A member of a group that agrees while it trains: what it shares with each neighbour, and what it goes on with
 * once it has theirs. Without clock or network; a worker and the replay of its log step it alike.
 *
 * What it remembers (residuals, the outer step's momentum), it remembers for a round: whatever
 * that was cut short by, the next one begins the same everywhere.
 */
import { present } from "../base/assert.ts";
import { densified, type EncodedSparse, type SparseValues } from "../base/sparse.ts";
import { joinParts, type OuterStep, outerStep, type SharedPart } from "./joining.ts";
import type { JoinPolicy } from "./policies.ts";
import { type Chosen, Residual, type Selection, select } from "./selection.ts";
import { type Slice, sliceAt, viewsOf } from "./slices.ts";
import { fragmentSlices, type StreamRules } from "./streaming.ts";
import { mixedWeights } from "./transfer.ts";

/** By which rules members agree: see `ExchangePlan`. */
export interface MemberRules {
  readonly every: number;
  readonly select: Selection;
  readonly staleness: number;
  readonly reduce: "each" | "scatter";
  readonly join: JoinPolicy;
  readonly outer: OuterStep;
  readonly stream?: StreamRules;
}

/** A neighbour that is sent something, by its chain. */
export interface Outgoing {
  readonly chain: string;
  readonly bytes: number | null;
  /** Its place among the members. */
  readonly place: number;
}

/** A member as it begins a round. */
export interface MemberStart {
  readonly rules: MemberRules;
  readonly outgoing: readonly Outgoing[];
  /** Batches that it sums up to an update. */
  readonly microBatches: number;
  /** Batches that it and those who send to it sum up together. */
  readonly jointBatches: number;
  /** Members that take part in that, itself included. */
  readonly voices: number;
  /** Its place among those; where each joins a slice for all, that of its own. */
  readonly place: number;
  readonly learningRate: number;
  readonly coding: PartCoding;
}

/** How parts travel. */
export interface PartCoding {
  /** Bytes that `chosen` of `count` entries take. */
  bytesOf(count: number, chosen: number): number;
  encode(all: readonly SparseValues[]): EncodedSparse;
}

/** Chooses all entries. */
const everything = (all: readonly Float32Array[]): Chosen => all.map(() => null);

export class ExchangeMember {
  readonly #start: MemberStart;
  /** Of what each neighbour is sent; of what all are sent alike; and of what came of the own slice. */
  readonly #residuals: readonly Residual[];
  readonly #residual = new Residual();
  readonly #reduced = new Residual();
  #agreed: Float32Array[] | null = null;
  #velocity: Float32Array[] = [];
  #exchanges = 0;
  /** Entries that each tensor has, those of them that the exchange under way is of, and what was shared of them. */
  #counts: readonly number[] = [];
  #within: readonly Slice[] = [];
  #shared: readonly Float32Array[] = [];

  constructor(start: MemberStart) {
    this.#start = start;
    this.#residuals = start.outgoing.map(() => new Residual());
  }

  /** Weights that all members begin with, where they share changes of weights. */
  begin(weights: readonly Float32Array[]): void {
    this.#agreed = weights.map((tensor) => tensor.slice());
    this.#velocity = weights.map(({ length }) => new Float32Array(length));
  }

  /** Batches that a part of a member stands for; of changes, each member's counts as much. */
  static weightOf({ every }: Pick<MemberRules, "every">, microBatches: number): number {
    return every === 1 ? microBatches : 1;
  }

  /**
   * The next exchange: what it joins as its own part, and what each neighbour is sent.
   * @param values sums of gradients since the last one, or the weights of the moment
   * @param weights where `significant` chooses among gradients
   * @param fragment of which it is, of those of `stream`; null for all entries
   */
  share(
    values: readonly Float32Array[],
    weights: readonly Float32Array[] | null,
    fragment: number | null = null,
  ): { own: SharedPart; sent: readonly EncodedSparse[] } {
    const { rules, outgoing, microBatches, jointBatches, learningRate, coding } = this.#start;
    const isGradient = rules.every === 1;
    this.#counts = (this.#agreed ?? values).map(({ length }) => length);
    this.#within = fragmentSlices(this.#counts, rules.stream, fragment);
    const shared = isGradient ? values : this.#changes(values);
    this.#shared = shared;
    const batches = ExchangeMember.weightOf(rules, microBatches);
    if (rules.reduce === "scatter") return this.#scatter(batches);
    if (rules.select.kind === "all") {
      // All have the same of it, itself included, so that they come to the same.
      const residual = this.#residual.within(this.#counts, this.#within);
      const all = residual.pass(shared, everything, coding.encode);
      return { own: { batches, tensors: all.arrived }, sent: outgoing.map(() => all) };
    }
    const changePerValue = isGradient ? learningRate / jointBatches : 1;
    const exchange = this.#exchanges++;
    const sent = outgoing.map(({ bytes: bytesMax }, i) =>
      present(this.#residuals[i], "a residual").pass(
        shared,
        (all) =>
          select(rules.select, {
            ...{ values: all, exchange, bytesMax, bytesOf: coding.bytesOf, changePerValue },
            weights: isGradient ? weights : this.#agreed,
          }),
        coding.encode,
      ),
    );
    const tensors = shared.map((own) => ({ count: own.length, indices: null, values: own }));
    return { own: { batches, tensors }, sent };
  }

  /** To each neighbour the slice that it joins for all, and its own one for itself. */
  #scatter(batches: number): { own: SharedPart; sent: readonly EncodedSparse[] } {
    const { outgoing, place, coding } = this.#start;
    const sliceOf = (at: number) => viewsOf(this.#shared, this.#slicesAt(at));
    const sent = outgoing.map(({ place: at }) =>
      this.#residual
        .within(this.#counts, this.#entriesAt(at))
        .pass(sliceOf(at), everything, coding.encode),
    );
    const own = sliceOf(place).map((values) => ({
      ...{ count: values.length, indices: null, values },
    }));
    return { own: { batches, tensors: own }, sent };
  }

  /** Of what is shared of each tensor, what the member at a place joins for all. */
  #slicesAt(place: number): Slice[] {
    const counts = this.#shared.map(({ length }) => length);
    return sliceAt(counts, this.#start.voices, place);
  }

  /** The same as entries of the tensor. */
  #entriesAt(place: number): Slice[] {
    return this.#slicesAt(place).map(({ from, to }, i) => {
      const { from: first } = this.#within[i] as Slice;
      return { from: first + from, to: first + to };
    });
  }

  /** What came of the own slice, to be sent to everybody; it goes on with what arrives of it, as all do. */
  reduce(parts: readonly SharedPart[]): EncodedSparse {
    const { rules, coding, place } = this.#start;
    const joint = joinParts(parts, { policy: rules.join });
    const residual = this.#reduced.within(this.#counts, this.#entriesAt(place));
    return residual.pass(joint, everything, coding.encode);
  }

  /**
   * Puts together what came of all slices.
   * @param reduced by place; of one that did not come the own part stands alone
   * @returns as `join` does
   */
  gather(reduced: readonly (readonly SparseValues[] | null)[]): Float32Array[] {
    const { rules, microBatches } = this.#start;
    const own = ExchangeMember.weightOf(rules, microBatches);
    const joint = this.#shared.map(({ length }) => new Float32Array(length));
    for (const [place, slice] of reduced.entries()) {
      for (const [i, { from, to }] of this.#slicesAt(place).entries()) {
        const shared = this.#shared[i] as Float32Array;
        const sent = slice?.[i];
        const values = sent ? densified(sent) : shared.slice(from, to).map((sum) => sum / own);
        (joint[i] as Float32Array).set(values, from);
      }
    }
    return this.#goOn(joint);
  }

  #changes(values: readonly Float32Array[]): Float32Array[] {
    const agreed = present(this.#agreed, "weights that were agreed upon");
    const before = viewsOf(agreed, this.#within);
    return viewsOf(values, this.#within).map((tensor, i) => {
      const own = before[i] as Float32Array;
      return tensor.map((value, k) => value - (own[k] as number));
    });
  }

  /**
   * Joins parts, its own among them, in the order of the plan's members.
   * @returns the mean gradient, or the weights to go on with; those that the exchange was of
   */
  join(parts: readonly SharedPart[]): Float32Array[] {
    const { rules, jointBatches, voices } = this.#start;
    const { every, staleness, join: policy } = rules;
    // Where some are late, each part counts as it would in time.
    const batches = every === 1 ? jointBatches : voices;
    return this.#goOn(joinParts(parts, { policy, ...(staleness > 0 && { batches }) }));
  }

  /** It goes on from other weights than came of the last exchange: what it shares next is how far it has come from there. */
  moved(weights: readonly Float32Array[]): void {
    if (this.#start.rules.every > 1) this.#agreed = weights.map((tensor) => tensor.slice());
  }

  /** With the joint gradient as it is, or the weights that the joint change leads to. */
  #goOn(joint: Float32Array[]): Float32Array[] {
    const { every, outer } = this.#start.rules;
    if (every === 1) return joint;
    const agreed = viewsOf(present(this.#agreed, "agreed weights"), this.#within);
    const velocity = viewsOf(this.#velocity, this.#within);
    return joint.map((change, i) => {
      const own = agreed[i] as Float32Array;
      const next = outerStep(own, change, velocity[i] as Float32Array, outer);
      own.set(next);
      return next;
    });
  }

  /**
   * Where a member goes on that has trained while a fragment was under way: there from what came of it, with a share of
   * what it has come to by itself, and elsewhere from what it has.
   * @param agreed what came of the fragment
   * @param values weights of the moment; those of which the fragment has nothing may be empty
   */
  mixed(agreed: readonly Float32Array[], values: readonly Float32Array[]): Float32Array[] {
    const { mix } = present(this.#start.rules.stream, "rules of a stream");
    const own = viewsOf(values, this.#within);
    const next = mixedWeights(agreed, own, { mix });
    return values.map((tensor, i) => {
      const whole = tensor.slice();
      if (whole.length > 0) whole.set(next[i] as Float32Array, this.#within[i]?.from);
      return whole;
    });
  }
}
