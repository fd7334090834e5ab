/**
 * When in a round members that make updates by themselves exchange how far they have come, and of which entries. At once of
 * all of them; or of one fragment of the model after the other, each at its own offset, while training goes on, so that a
 * link carries a little all the time instead of everything at times, and nobody waits for it (Douillard et al., "Streaming
 * DiLoCo with overlapping communication", 2025). All fragments are slices of about equal length, whatever the borders
 * between tensors, and one is under way at a time. A round ends with an exchange of all entries, so that all members may end it with the
 * same weights.
 */

import { present } from "../base/assert.ts";
import { type Slice, sliceAt } from "./slices.ts";

/** How a model is exchanged by fragments. */
export interface StreamRules {
  /** Fragments of the model; each is exchanged once in the updates from one exchange to the next. */
  readonly fragments: number;
  /** Updates that a member makes while a fragment is under way, before it goes on from what came of it. */
  readonly delay: number;
  /** Of those updates' moves of the fragment, the share that a member keeps: from 0 to below 1. */
  readonly mix: number;
}

/** One exchange of a round. */
export interface ExchangeTime {
  /** Place of the fragment; null where it is of all entries. */
  readonly fragment: number | null;
  /** Updates of the round after which it is shared, and after which members go on from what came of it. */
  readonly sharedAt: number;
  readonly joinedAt: number;
}

/** Updates from the first of so many to the one after which a fragment is shared. */
const offsetOf = (fragment: number, { fragments }: StreamRules, every: number): number =>
  Math.floor(((fragment + 1) * every) / fragments);

/** The longest delay with which one fragment at most is under way. */
export const delayMax = (every: number, fragments: number): number => Math.floor(every / fragments);

/**
 * The exchanges of a round in their order, where changes of weights are exchanged.
 * @param updates of the round, a multiple of `every`
 */
export function exchangeTimes(
  { every, stream }: { readonly every: number; readonly stream?: StreamRules | undefined },
  updates: number,
): ExchangeTime[] {
  const { fragments, delay } = stream ?? { fragments: 1, delay: 0 };
  const rules = { fragments, delay, mix: 0 };
  return Array.from({ length: (updates / every) * fragments }, (_, i): ExchangeTime => {
    const [period, fragment] = [Math.floor(i / fragments), i % fragments];
    const sharedAt = period * every + offsetOf(fragment, rules, every);
    const isWhole = stream === undefined || sharedAt === updates;
    const joinedAt = Math.min(updates, sharedAt + delay);
    return { fragment: isWhole ? null : fragment, sharedAt, joinedAt };
  });
}

/** Of each tensor the entries of a fragment; all of them where it is null. */
export function fragmentSlices(
  counts: readonly number[],
  stream: StreamRules | undefined,
  fragment: number | null,
): Slice[] {
  if (fragment === null) return counts.map((to) => ({ from: 0, to }));
  return sliceAt(counts, present(stream, "rules of a stream").fragments, fragment);
}
