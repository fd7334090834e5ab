import { expect, test } from "vitest";
import { Hazard } from "./hazard.ts";

const hour = 3_600_000;

test("is once an hour of each node at first, and then what is seen", () => {
  const hazard = new Hazard();
  expect(hazard.perMs).toBe(1 / hour);
  hazard.are(3, 0);
  hazard.lost();
  hazard.are(2, hour);
  // An hour of three nodes beside the one that was assumed.
  expect(hazard.perMs).toBe(2 / (4 * hour));
  hazard.are(2, 2 * hour);
  expect(hazard.perMs).toBe(2 / (6 * hour));
});
