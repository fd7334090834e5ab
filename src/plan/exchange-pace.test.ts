import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { computedIn, managedUpdates, ownUpdateMs, paceMs } from "./exchange-pace.ts";

const sumOf = (all: readonly number[]): number => all.reduce((sum, own) => sum + own, 0);

/** What a batch takes on machines with 24/24/12/12/4/4 parts of compute. */
const fleet = [24, 24, 12, 12, 4, 4].map((part) => 240 / part);

describe("a pace", () => {
  it("is the least time in which members make so many updates, and all of those are whole", () => {
    const times = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(times, fc.nat(60), (updatesMs, more) => {
        const updates = updatesMs.length + more;
        const ms = paceMs(updatesMs, updates);
        expect(sumOf(managedUpdates(updatesMs, ms))).toBeGreaterThanOrEqual(updates);
        // With a little less somebody makes one less, and that is too few; but everybody makes one.
        const least = Math.max(...updatesMs);
        const less = sumOf(managedUpdates(updatesMs, ms - 0.001));
        expect(ms === least || less < updates).toBe(true);
      }),
    );
  });

  it("has more batches than are dealt out to single updates, as fewer are cut off", () => {
    // 60 ms: six, six, three, three, one and one. Dealt out update by update, it takes 210 ms.
    expect(paceMs(fleet, 20)).toBe(60);
    expect(paceMs(fleet, 60)).toBe(180);
    expect(managedUpdates(fleet, 180)).toEqual([18, 18, 9, 9, 3, 3]);
  });

  it("counts what an update takes beside its batches where it is of several", () => {
    const times = { batchMs: 10, updateMs: 3 };
    expect(ownUpdateMs(times, 1)).toBe(10);
    expect(ownUpdateMs(times, 4)).toBe(43);
  });
});

describe("what an update of a plan takes", () => {
  const timesOf = (updatesMs: readonly number[]) =>
    updatesMs.map((batchMs) => ({ batchMs, updateMs: 0 }));
  const paced = { every: 3, inner: 1, computeMs: 180 };
  const dealt = { every: 3, inner: 1 };
  const shares = [6, 6, 3, 3, 1, 1];

  it("is the same whoever of a paced fleet is slow, and as slow as the slowest where batches are dealt out", () => {
    const swapped = timesOf(fleet.toReversed());
    expect(computedIn(paced, timesOf(fleet), shares)).toMatchObject({ computeMs: 60, managed: 20 });
    expect(computedIn(paced, swapped, shares)).toMatchObject({ computeMs: 60, managed: 20 });
    expect(computedIn(dealt, timesOf(fleet), shares)).toMatchObject({ computeMs: 60 });
    expect(computedIn(dealt, swapped, shares)).toMatchObject({ computeMs: 360, managed: 20 });
  });

  it("has fewer batches where the fleet becomes slow, and ends with the first update of everybody", () => {
    const halved = timesOf(fleet.map((ms) => 2 * ms));
    const { computeMs, managed, planned } = computedIn(paced, halved, shares);
    expect([computeMs, planned]).toEqual([60, 20]);
    // Nine, nine, four, four, one and one in three updates' time.
    expect(managed).toBeCloseTo(28 / 3);
    const stuck = timesOf([10, 10, 20, 20, 60, 900]);
    expect(computedIn(paced, stuck, shares).computeMs).toBe(300);
  });
});
