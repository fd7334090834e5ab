import { expect, test } from "vitest";
import { TakenBatches } from "./taken-batches.ts";

const one = (chain: string, at: number, batches: number) => ({ chain, at, batches });

test("what each took is known in the order of exchanges; what comes twice or out of order is void", () => {
  const taken = new TakenBatches();
  taken.note(one("a", 0, 5), true);
  taken.note(one("b", 0, 3), true);
  taken.note(one("a", 1, 4), true);
  taken.note(one("a", 1, 9), true);
  taken.note(one("b", 2, 9), true);
  expect(taken.all).toEqual([
    { chain: "a", batches: [5, 4] },
    { chain: "b", batches: [3] },
  ]);
});

test("what a member says of itself is passed on once, and what it has heard of others is not", () => {
  const taken = new TakenBatches();
  taken.note(one("a", 0, 5), true);
  taken.note(one("b", 0, 3), false);
  expect(taken.news()).toEqual([one("a", 0, 5)]);
  expect(taken.news()).toEqual([]);
  expect(taken.all.map(({ chain }) => chain)).toEqual(["a", "b"]);
  // Its own word comes later than a neighbour's, and others have to hear it all the same.
  taken.note(one("b", 0, 3), true);
  expect(taken.news()).toEqual([one("b", 0, 3)]);
});

test("nobody can have a member remember more chains than there are in reach", () => {
  const taken = new TakenBatches();
  for (let i = 0; i < 2000; i++) taken.note(one(`chain ${i}`, 0, 1), false);
  expect(taken.all).toHaveLength(1024);
  taken.note(one("chain 0", 1, 2), false);
  expect(taken.all[0]).toEqual({ chain: "chain 0", batches: [1, 2] });
});
