/**
 * Which entries of a gradient, or of a change of weights, go to a neighbour, and what becomes of the others:
 * they wait in a residual and are added to what comes next (error feedback: Seide et al., "1-bit stochastic gradient
 * descent", 2014; Stich et al., "Sparsified SGD with memory", 2018). The papers' systems differ in the
 * choice alone, so each is one entry here. Pure, and the same on all machines: comparisons and
 * roundings that IEEE 754 fixes, nothing else.
 */
import { assert } from "../base/assert.ts";
import type { EncodedSparse, SparseValues } from "../base/sparse.ts";
import { lengthOf, type Slice, sliceAt, viewsOf } from "./slices.ts";

/**
 * - `all`: every entry.
 * - `max-n`: of each tensor the entries of at least (1 - N/100) times its largest magnitude, with the one N
 *   for all tensors that the link has room for (Hong and Chandra, "DLion", HPDC 2021), so that layers
 *   count alike, whatever the scale of their gradients. `nMin` is the quality floor, in percent:
 *   N goes no lower, whatever the link carries.
 * - `significant`: entries that would change their weight by more than a share of it, which shrinks with the
 *   root of the exchanges so far (Hsieh et al., "Gaia", NSDI 2017).
 * - `parts`: all entries, one of so many parts of the model after the other (Watcharapichat et al., "Ako", SoCC 2016).
 */
export type Selection =
  | { readonly kind: "all" }
  | { readonly kind: "max-n"; readonly nMin: number }
  | { readonly kind: "significant"; readonly share: number }
  | { readonly kind: "parts"; readonly parts: number };

/** What there is to choose from. */
export interface Candidates {
  /** Entries of each tensor, the residual included. */
  readonly values: readonly Float32Array[];
  /** Exchanges before this one. */
  readonly exchange: number;
  /** What may go, in bytes; null where nothing limits it. Only `max-n` looks at it. */
  readonly bytesMax: number | null;
  /** Bytes that `chosen` of `count` entries take. */
  readonly bytesOf: (count: number, chosen: number) => number;
  /** Weights, and what times an entry is its weight's change: for `significant` alone. */
  readonly weights: readonly Float32Array[] | null;
  readonly changePerValue: number;
}

/** Ascending places for each tensor; null where all entries go. */
export type Chosen = readonly (Int32Array | null)[];

/** Chooses entries of each tensor. */
export function select(selection: Selection, from: Candidates): Chosen {
  switch (selection.kind) {
    case "all":
      return from.values.map(() => null);
    case "max-n":
      return maxN(selection.nMin, from);
    case "significant":
      return significant(selection.share, from);
    case "parts":
      return inTurn(selection.parts, from);
  }
}

/** N is a multiple of a twentieth of a percent. */
const levels = 2000;

/** The lowest level whose entries still go under the quality floor. */
const floorLevel = (nMin: number): number => levels - Math.round((levels * nMin) / 100);

function maxN(nMin: number, { values, bytesMax, bytesOf }: Candidates): Chosen {
  const total = values.reduce((sum, { length }) => sum + bytesOf(length, length), 0);
  if (bytesMax === null || total <= bytesMax) return values.map(() => null);
  const scales = values.map(largestMagnitude);
  const counts = values.map((tensor, i) => countLevels(tensor, scales[i] as number));
  let least = levels;
  const chosen = values.map(() => 0);
  for (let level = levels; level >= 0; level--) {
    counts.forEach((own, i) => {
      chosen[i] = (chosen[i] as number) + (own[level] as number);
    });
    const bytes = values.reduce(
      (sum, { length }, i) => sum + bytesOf(length, chosen[i] as number),
      0,
    );
    if (bytes > bytesMax && level < floorLevel(nMin)) break;
    least = level;
  }
  return values.map((tensor, i) =>
    placesOf(tensor, (value) => levelOf(value, scales[i] as number) >= least),
  );
}

function largestMagnitude(values: Float32Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] as number);
    // Who is sent what is not finite can say so.
    if (!(magnitude <= most)) most = magnitude;
    if (!Number.isFinite(most)) return most;
  }
  return most;
}

/** A value's magnitude beside the largest of its tensor, in levels; zeros are below all of them. */
function levelOf(value: number, largest: number): number {
  if (value === 0) return -1;
  return Number.isFinite(largest) ? Math.floor((levels * Math.abs(value)) / largest) : levels;
}

function countLevels(values: Float32Array, largest: number): Int32Array {
  const counts = new Int32Array(levels + 1);
  for (let i = 0; i < values.length; i++) {
    const level = levelOf(values[i] as number, largest);
    if (level >= 0) counts[level] = (counts[level] as number) + 1;
  }
  return counts;
}

function placesOf(
  values: Float32Array,
  isChosen: (value: number, at: number) => boolean,
): Int32Array {
  const places = new Int32Array(values.length);
  let found = 0;
  for (let i = 0; i < values.length; i++) {
    if (isChosen(values[i] as number, i)) places[found++] = i;
  }
  return places.slice(0, found);
}

function significant(
  share: number,
  { values, exchange, weights, changePerValue }: Candidates,
): Chosen {
  assert(weights !== null, "significance is a matter of weights");
  const threshold = share / Math.sqrt(exchange + 1);
  return values.map((tensor, i) => {
    const own = weights[i] as Float32Array;
    return placesOf(tensor, (value, at) => {
      if (value === 0) return false;
      return !(Math.abs(changePerValue * value) <= threshold * Math.abs(own[at] as number));
    });
  });
}

function inTurn(parts: number, { values, exchange }: Candidates): Chosen {
  const counts = values.map(({ length }) => length);
  return sliceAt(counts, parts, exchange % parts).map((slice, i) => {
    if (lengthOf(slice) === counts[i]) return null;
    return Int32Array.from({ length: lengthOf(slice) }, (_, at) => slice.from + at);
  });
}

/** What has not gone to a neighbour yet: what was not chosen, and what its codes have lost. */
export class Residual {
  #kept: readonly Float32Array[] | null;

  constructor(kept: readonly Float32Array[] | null = null) {
    this.#kept = kept;
  }

  /** What is kept of some entries of each tensor, which stays part of it all. @param counts entries of each tensor */
  within(counts: readonly number[], slices: readonly Slice[]): Residual {
    this.#kept ??= counts.map((count) => new Float32Array(count));
    return new Residual(viewsOf(this.#kept, slices));
  }

  /**
   * Adds what is new, and takes out what is chosen of it all. What arrives of that and what is kept are together what
   * there was: to the last bit where it travels as it is, and but for rounding where it travels in codes.
   */
  pass(
    values: readonly Float32Array[],
    choose: (all: readonly Float32Array[]) => Chosen,
    encode: (taken: readonly SparseValues[]) => EncodedSparse,
  ): EncodedSparse {
    const all = this.#add(values);
    const chosen = choose(all);
    const taken = all.map((tensor, i) => takenOut(tensor, chosen[i] as Int32Array | null));
    const encoded = encode(taken);
    for (const [i, { indices, values: whole }] of taken.entries()) {
      const arrived = encoded.arrived[i]?.values as Float32Array;
      if (arrived === whole) continue;
      const kept = all[i] as Float32Array;
      for (let k = 0; k < whole.length; k++) {
        const at = indices === null ? k : (indices[k] as number);
        kept[at] = (whole[k] as number) - (arrived[k] as number);
      }
    }
    return encoded;
  }

  #add(values: readonly Float32Array[]): readonly Float32Array[] {
    const kept = this.#kept;
    if (kept === null) {
      this.#kept = values.map((tensor) => tensor.slice());
      return this.#kept;
    }
    values.forEach((tensor, i) => {
      const own = kept[i] as Float32Array;
      for (let k = 0; k < own.length; k++) own[k] = (own[k] as number) + (tensor[k] as number);
    });
    return kept;
  }
}

/** Entries of a tensor, with zeros left in their places. @param indices null for all */
function takenOut(tensor: Float32Array, indices: Int32Array | null): SparseValues {
  const count = tensor.length;
  if (indices === null) {
    const values = tensor.slice();
    tensor.fill(0);
    return { count, indices, values };
  }
  const values = new Float32Array(indices.length);
  indices.forEach((at, k) => {
    values[k] = tensor[at] as number;
    tensor[at] = 0;
  });
  return { count, indices, values };
}

/**
 * How many of a tensor's entries go where there are no values to look at: as many as one share of every tensor
 * has room for, and at least one.
 */
export function chosenUnseen(
  selection: Selection,
  counts: readonly number[],
  { exchange, bytesMax, bytesOf }: Pick<Candidates, "exchange" | "bytesMax" | "bytesOf">,
): number[] {
  if (selection.kind === "parts") {
    const turned = inTurn(selection.parts, {
      values: counts.map((count) => new Float32Array(count)),
      ...{ exchange, bytesMax, bytesOf, weights: null, changePerValue: 0 },
    });
    return turned.map((indices, i) => indices?.length ?? (counts[i] as number));
  }
  const bytes = (chosen: readonly number[]): number =>
    counts.reduce((sum, count, i) => sum + bytesOf(count, chosen[i] as number), 0);
  if (selection.kind !== "max-n" || bytesMax === null || bytes(counts) <= bytesMax)
    return [...counts];
  let [low, high] = [0, 1];
  const of = (share: number) => counts.map((count) => Math.max(1, Math.floor(share * count)));
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    if (bytes(of(middle)) <= bytesMax) low = middle;
    else high = middle;
  }
  return of(low);
}
