import { expect, test } from "vitest";
import { staleRate, updatesMissed } from "./staleness.ts";

test("a batch misses the updates of those that came back while it was under way", () => {
  expect(updatesMissed({ backThen: 4, backNow: 4, accumulate: 1 })).toBe(0);
  expect(updatesMissed({ backThen: 4, backNow: 9, accumulate: 1 })).toBe(5);
  // With four batches to an update, those of 0 to 3 and 4 to 7.
  expect(updatesMissed({ backThen: 3, backNow: 7, accumulate: 4 })).toBe(1);
  expect(updatesMissed({ backThen: 3, backNow: 8, accumulate: 4 })).toBe(2);
});

test("the learning rate is divided by the updates missed, of which there is always one in a pipeline", () => {
  expect([0, 1, 2, 5].map((missed) => staleRate(0.1, missed))).toEqual([0.1, 0.1, 0.05, 0.02]);
});
