import { expect, test } from "vitest";
import { copyId } from "../../base/ids.ts";
import { Interims } from "./interims.ts";

const [a, b] = [copyId("a"), copyId("b")];
const opened = () => new Interims<string>([a, b]);

test("is the last batch that all have brought", () => {
  const interims = opened();
  expect(interims.whole.steps).toBe(0);
  interims.add(a, 5, "a5");
  interims.add(a, 10, "a10");
  expect(interims.whole.steps).toBe(0);
  interims.add(b, 5, "b5");
  expect(interims.whole).toEqual({
    steps: 5,
    brought: new Map([
      [a, "a5"],
      [b, "b5"],
    ]),
  });
  interims.add(b, 10, "b10");
  expect(interims.whole.brought).toEqual(
    new Map([
      [a, "a10"],
      [b, "b10"],
    ]),
  );
});

test("takes what is brought once, and nothing that is older than what all have brought", () => {
  const interims = opened();
  interims.add(a, 10, "a10");
  interims.add(a, 10, "again");
  interims.add(b, 10, "b10");
  interims.add(a, 5, "a5");
  interims.add(b, 5, "b5");
  expect(interims.whole).toEqual({
    steps: 10,
    brought: new Map([
      [a, "a10"],
      [b, "b10"],
    ]),
  });
});

test("keeps no more than the newest three of what only some have brought", () => {
  const interims = opened();
  for (const steps of [1, 2, 3, 4]) interims.add(a, steps, `a${steps}`);
  interims.add(b, 1, "b1");
  expect(interims.whole.steps).toBe(0);
  interims.add(b, 2, "b2");
  expect(interims.whole.steps).toBe(2);
});
