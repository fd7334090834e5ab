import { describe, expect, test } from "vitest";
import { historyDataset, pairDataset, type Rating, splitRatings } from "./ratings.ts";

/** Five users who rated ten items each, one after the other. */
const ratings: readonly Rating[] = Array.from({ length: 50 }, (_, i) => ({
  user: i % 5,
  item: (3 * i) % 17,
  steps: 1 + (i % 10),
  time: 1000 + 7 * i,
  row: i,
}));

const features = (dataset: ReturnType<typeof pairDataset>, indices: number[]): number[] => [
  ...(dataset.gather(indices).features.data as Float32Array),
];

describe("splitting ratings", () => {
  test.each(["random", "newest"] as const)("%s loses none and gives none twice", (split) => {
    const { train, test: held } = splitRatings(ratings, split);
    expect(new Set([...train, ...held])).toEqual(new Set(ratings));
    expect(train.length + held.length).toBe(ratings.length);
    expect(splitRatings(ratings, split)).toEqual({ train, test: held });
  });

  test("random holds out one in ten, newest of each user the last fifth", () => {
    expect(splitRatings(ratings, "random").test).toHaveLength(5);
    const { train, test: held } = splitRatings(ratings, "newest");
    for (let user = 0; user < 5; user++) {
      const own = held.filter((rating) => rating.user === user);
      expect(own).toHaveLength(2);
      const before = train.filter((rating) => rating.user === user).map(({ time }) => time);
      expect(Math.min(...own.map(({ time }) => time))).toBeGreaterThan(Math.max(...before));
    }
  });
});

test("a sample is user and item, its label the rating in steps", () => {
  const data = pairDataset(ratings, 10);
  expect(features(data, [7, 0])).toEqual([2, 4, 0, 0]);
  expect(data.gather([7]).labels.data).toEqual(BigInt64Array.of(8n));
  expect(data.classes).toBe(11);
  expect(() => pairDataset(ratings, 9)).toThrow(/label of sample 9/);
});

test("a history is what the user liked most of what is known, without the item itself", () => {
  const known: Rating[] = [
    { user: 0, item: 4, steps: 9, time: 1, row: 1 },
    { user: 0, item: 2, steps: 10, time: 2, row: 2 },
    { user: 0, item: 8, steps: 9, time: 3, row: 3 },
    { user: 1, item: 5, steps: 10, time: 4, row: 4 },
  ];
  const asked: Rating[] = [
    { user: 0, item: 6, steps: 3, time: 5, row: 5 },
    { user: 0, item: 2, steps: 10, time: 2, row: 2 },
    { user: 2, item: 1, steps: 5, time: 6, row: 6 },
  ];
  const data = historyDataset(asked, { stepsMax: 10, length: 2, known });
  expect(features(data, [0, 1, 2])).toEqual([7, 3, 9, 3, 9, 5, 2, 0, 0]);
});
