/**
 * Ratings as data sets: who rated what, and how. A label is a rating in steps of the scale, a whole
 * number as all labels are; the loss knows what a step is worth (`labelUnit`).
 */
import { InputError } from "../base/errors.ts";
import { groupBy } from "../base/group.ts";
import { random } from "../base/random.ts";
import { type Dataset, datasetOf } from "./dataset.ts";

/** A user's rating of an item; users and items are numbered from 0. */
export interface Rating {
  readonly user: number;
  readonly item: number;
  /** Steps of the scale: 7 for three and a half of five stars. */
  readonly steps: number;
  /** When, on any scale. */
  readonly time: number;
  /** Its place in the data as they are published, by which those know it who have one of its columns only. */
  readonly row: number;
}

/**
 * How ratings are held out.
 * - `random`: one in ten of all, drawn by a fixed seed, as most figures of the literature are
 * - `newest`: of each user the newest fifth, which is what a recommender really has to tell
 */
export type RatingSplit = "random" | "newest";

/** Ratings in two parts. */
export interface RatingParts {
  readonly train: readonly Rating[];
  readonly test: readonly Rating[];
}

/** Splits ratings; the same ratings are split alike everywhere. */
export function splitRatings(ratings: readonly Rating[], split: RatingSplit): RatingParts {
  const [train, test]: [Rating[], Rating[]] = [[], []];
  if (split === "random") {
    const order = Int32Array.from(ratings, (_, i) => i);
    random(1).fork("held-out ratings").shuffle(order);
    const held = new Set(order.subarray(0, Math.round(ratings.length / 10)));
    for (const [i, rating] of ratings.entries()) (held.has(i) ? test : train).push(rating);
    return { train, test };
  }
  const byUser = groupBy(ratings, ({ user }) => user);
  for (const own of byUser.values()) {
    const sorted = [...own].sort((a, b) => a.time - b.time || a.item - b.item);
    const first = Math.ceil(0.8 * sorted.length);
    train.push(...sorted.slice(0, first));
    test.push(...sorted.slice(first));
  }
  return { train, test };
}

/**
 * Ratings as samples: float32 [2], user and item.
 * @param stepsMax the best rating
 * @throws InputError without ratings, or for one beyond the scale
 */
export function pairDataset(ratings: readonly Rating[], stepsMax: number): Dataset {
  return datasetOf({
    kind: "ratings",
    inputShape: [2],
    classes: stepsMax + 1,
    labels: stepsOf(ratings),
    keys: ratings.map(({ row }) => String(row)),
    copySample(index, target, offset) {
      const rating = ratings[index];
      target[offset] = rating?.user ?? 0;
      target[offset + 1] = rating?.item ?? 0;
    },
  });
}

/** What {@link historyDataset} needs to know beside the ratings. */
export interface HistoryOptions {
  readonly stepsMax: number;
  /** Items of the history. */
  readonly length: number;
  /** Ratings that histories are made of: those for training. */
  readonly known: readonly Rating[];
}

/**
 * Ratings as samples float32 [1 + length]: the item, and what the user liked most of what is known,
 * without the item itself. Items have the numbers from 1, 0 is none.
 * @throws InputError as {@link pairDataset}
 */
export function historyDataset(
  ratings: readonly Rating[],
  { stepsMax, length, known }: HistoryOptions,
): Dataset {
  const liked = new Map<number, number[]>();
  for (const [user, own] of groupBy(known, (rating) => rating.user)) {
    const best = [...own].sort((a, b) => b.steps - a.steps || b.time - a.time || a.item - b.item);
    liked.set(
      user,
      best.map(({ item }) => item),
    );
  }
  return datasetOf({
    kind: "ratings",
    inputShape: [1 + length],
    classes: stepsMax + 1,
    labels: stepsOf(ratings),
    copySample(index, target, offset) {
      const { user, item } = ratings[index] as Rating;
      target[offset] = 1 + item;
      let place = 1;
      for (const other of liked.get(user) ?? []) {
        if (place > length) break;
        if (other !== item) target[offset + place++] = 1 + other;
      }
    },
  });
}

function stepsOf(ratings: readonly Rating[]): Int32Array {
  if (ratings.length > 0) return Int32Array.from(ratings, ({ steps }) => steps);
  throw new InputError({ what: "ratings", received: "none", allowed: "at least one" });
}
