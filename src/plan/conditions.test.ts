import { describe, expect, test } from "vitest";
import { evenProfile, fleetNode } from "../../test/fleets.ts";
import { nodeId } from "../base/ids.ts";
import {
  type Conditions,
  figuresOf,
  hasJumped,
  meanIntervalMs,
  observed,
  residualMs,
} from "./conditions.ts";
import type { CopyPlan, PlanRequest } from "./plan.ts";

test("where conditions drift, the next change is as far as changes were apart, the first guess among them", () => {
  expect(meanIntervalMs(0, 0)).toBe(60_000);
  expect(meanIntervalMs(0, 60_000)).toBe(120_000);
  expect(meanIntervalMs(5, 60_000)).toBe(20_000);
});

/** What is measured, by second. */
const seenAt = (...seen: readonly (readonly [s: number, rate: number])[]): Conditions =>
  seen.reduce<Conditions | null>(
    (before, [s, rate]) => observed(before, [7, rate], 1000 * s),
    null,
  ) as Conditions;

describe("conditions that jump", () => {
  test("last from when the ones before were seen last", () => {
    const now = seenAt([0, 100], [50, 90], [58, 30]);
    expect(now).toMatchObject({ sinceMs: 50_000, lastedMs: [50_000], figures: [7, 30] });
    expect(hasJumped(now, [7, 44])).toBe(false);
    expect(hasJumped(now, [7, 46])).toBe(true);
    expect(hasJumped(now, [7, 19])).toBe(true);
  });

  test("jump once where news of one change come one after the other", () => {
    const now = seenAt([0, 100], [50, 100], [58, 30], [62, 10]);
    expect(now).toMatchObject({ sinceMs: 50_000, lastedMs: [50_000], figures: [7, 10] });
    expect(seenAt([0, 100], [50, 100], [58, 30], [66, 30], [70, 10]).lastedMs).toEqual([
      50_000, 16_000,
    ]);
  });

  test("do not jump because another plan uses other nodes", () => {
    const now = observed(seenAt([0, 100]), [7], 90_000);
    expect(now).toMatchObject({ sinceMs: 0, lastedMs: [], figures: [7] });
  });

  test("are expected to last as long as others that lasted longer than they have", () => {
    const now = seenAt([0, 100], [40, 100], [41, 10], [140, 10], [141, 100]);
    expect(now).toMatchObject({ sinceMs: 140_000, lastedMs: [40_000, 100_000] });
    // The first guess is 60 s.
    expect(residualMs(now, 140_000)).toBeCloseTo((40_000 + 60_000 + 100_000) / 3);
    expect(residualMs(now, 190_000)).toBeCloseTo((10_000 + 50_000) / 2);
    expect(residualMs(now, 230_000)).toBe(10_000);
    expect(residualMs(now, 340_000)).toBe(200_000);
  });
});

test("figures are of the nodes that a plan uses, and of the ways between them", () => {
  const nodes = ["phone", "near", "far"].map((name, i) => fleetNode(name, evenProfile(2, i + 1)));
  const way = (from: string, to: string, rate: number) => ({
    ...{ from: nodeId(from), to: nodeId(to), latencyMs: 1 },
    ...{ thereBytesPerMs: rate, backBytesPerMs: null },
  });
  const links = [way("phone", "near", 5), way("phone", "far", 6), way("near", "far", 7)];
  const request = { fleet: { nodes, links, cellBytesPerMs: null } } as unknown as PlanRequest;
  const copies = ["phone", "far"].map((name) => ({ node: nodeId(name) }) as CopyPlan);
  const [phone, far, ...rates] = figuresOf({ copies }, request);
  expect(rates).toEqual([6, Number.POSITIVE_INFINITY]);
  expect(far).toBeCloseTo(3 * (phone ?? 0));
});
