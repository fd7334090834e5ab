import { expect, test } from "vitest";
import { Stint } from "./stint.ts";

/** Updates of one stint that take so long each, until it is over. */
function made(stint: Stint, tookMs: readonly number[], fromMs = 0): number {
  let nowMs = fromMs;
  stint.begin(nowMs);
  for (const [i, ms] of tookMs.entries()) {
    nowMs += ms;
    if (stint.updated(nowMs)) return i + 1;
  }
  return Number.POSITIVE_INFINITY;
}

const times = (count: number, ms: number): number[] => Array.from({ length: count }, () => ms);

test("a stint ends with the last update that is done in its time", () => {
  const pace = { ms: 180, updates: 60 };
  expect(made(new Stint(pace), times(100, 10))).toBe(18);
  expect(made(new Stint(pace), times(100, 50))).toBe(3);
  // Each stint counts from where it begins.
  const stint = new Stint(pace);
  expect(made(stint, times(100, 60))).toBe(3);
  expect(made(stint, times(100, 60), 1000)).toBe(3);
});

test("a stint has one update at least, however long that takes", () => {
  expect(made(new Stint({ ms: 180, updates: 60 }), [900, 900])).toBe(1);
});

test("a stint may be longer by what the fleet takes for one update: it is worth no more", () => {
  expect(made(new Stint({ ms: 180, updates: 60 }), times(9, 60.9))).toBe(3);
  expect(made(new Stint({ ms: 180, updates: 60 }), times(9, 61.1))).toBe(2);
});

test("a stint goes by how long the last update took: who becomes slow in it ends sooner, who becomes fast makes more", () => {
  const pace = { ms: 180, updates: 60 };
  expect(made(new Stint(pace), [...times(9, 10), ...times(9, 60)])).toBe(10);
  expect(made(new Stint(pace), [60, ...times(99, 10)])).toBe(13);
});
