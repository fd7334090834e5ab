/**
 * Direct knowledge transfer among members of an exchange (Hong and Chandra, "DLion", HPDC 2021): one whose batches lose
 * clearly more than its best neighbour's takes over part of that neighbour's weights. A neighbour may be biased, or lie about
 * what it loses, so its word only makes a member look: what it goes on with is what loses less on
 * samples of its own that nobody trains on.
 */

/** When weights are transferred, and how much of them. */
export interface TransferRules {
  /** Exchanges from one look at the neighbours' losses to the next. */
  readonly every: number;
  /** Share of the way to the neighbour's weights that a member goes, above 0 and at most 1. */
  readonly mix: number;
  /** A neighbour is asked whose loss is less than the member's own by more than this share of it. */
  readonly margin: number;
}

/** Batches that held-out samples come to, at most: they are gone through twice for each transfer. */
const heldOutBatches = 4;
/** The share of a node's samples that are held out. */
const heldOutShare = 0.1;

/** How many of a node's samples are trained on by nobody, for the sake of transfers; 0 where it has one alone. */
export function heldOutOf(samples: number, batch: number): number {
  if (samples < 2) return 0;
  return Math.max(1, Math.min(heldOutBatches * batch, Math.floor(heldOutShare * samples)));
}

/**
 * Whose weights a member asks for: those of the neighbour with the least loss, where that is clearly less than its own.
 * @param own may be no finite number, and is more than any other then
 * @param losses by neighbour, in the plan's order; of equals the first counts
 * @returns null where nobody is better enough
 */
export function bestOf<T>(
  own: number,
  losses: ReadonlyMap<T, number>,
  { margin }: Pick<TransferRules, "margin">,
): T | null {
  let best: readonly [T, number] | null = null;
  for (const entry of losses) if (best === null || entry[1] < best[1]) best = entry;
  if (best === null) return null;
  return Number.isFinite(own) && best[1] >= (1 - margin) * own ? null : best[0];
}

/** Whether a member goes on with mixed weights: they lose less on its held-out samples than its own. */
export const isBetter = (mixed: number, own: number): boolean =>
  Number.isFinite(mixed) && !(own <= mixed);

/** Weights part of the way from a member's own to its neighbour's: w + m (v - w), rounded once. */
export function mixedWeights(
  own: readonly Float32Array[],
  other: readonly Float32Array[],
  { mix }: Pick<TransferRules, "mix">,
): Float32Array[] {
  return own.map((tensor, i) => {
    const to = other[i] as Float32Array;
    return tensor.map((value, k) => value + mix * ((to[k] as number) - value));
  });
}
