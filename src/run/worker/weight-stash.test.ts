import { expect, test } from "vitest";
import { WeightStash } from "./weight-stash.ts";

test("updates happen in place while no batch is under way", () => {
  const stash = new WeightStash();
  for (let i = 0; i < 3; i++) {
    stash.release(stash.take());
    expect(stash.advance()).toBe(0);
  }
});

test("a version that a batch under way needs is left alone, and its place is used again afterwards", () => {
  const stash = new WeightStash();
  const first = stash.take();
  const second = stash.take();
  expect([first, second]).toEqual([0, 0]);
  stash.release(first);
  expect(stash.advance()).toBe(1);
  const third = stash.take();
  expect(third).toBe(1);
  stash.release(second);
  expect(stash.advance()).toBe(0);
  stash.release(third);
  expect(stash.advance()).toBe(0);
  stash.take();
  stash.reset();
  expect(stash.advance()).toBe(0);
});
