import { describe, expect, it } from "vitest";
import {
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../../test/fleets.ts";
import { nodeId } from "../../base/ids.ts";
import { parallelSplit } from "../../plan/parallel-split.ts";
import { CarriedRates } from "./carried-rates.ts";

const segments = [segmentCost(0, 100), segmentCost(1, 50), segmentCost(2, 10)];
const nodes = [edgeServer(evenProfile(3, 1)), fleetNode("phone", evenProfile(3, 4))];
const plan = parallelSplit(planRequest(segments, nodes, 100));
const phone = nodeId("phone");

/** Limits after rounds in which so much came through each way. */
function afterRounds(...rounds: readonly (readonly [up: number, down: number])[]): CarriedRates {
  const carried = new CarriedRates();
  for (const [atMs, [up, down]] of rounds.entries()) {
    carried.observe(plan, (from) => ({ bytesPerMs: from === phone ? up : down, atMs }));
  }
  return carried;
}

const upOf = (carried: CarriedRates): number | null =>
  carried.links(nodes)[0]?.thereBytesPerMs ?? null;

describe("what links carry of their shares", () => {
  it("is unknown while shares are carried, but for what estimates are off by", () => {
    expect(afterRounds([100, 100], [80, 120]).links(nodes)).toEqual([]);
  });

  it("is what came through where that was less, on that way alone", () => {
    expect(afterRounds([50, 100]).links(nodes)).toEqual([
      { from: phone, to: nodeId("edge"), thereBytesPerMs: 50, backBytesPerMs: null, latencyMs: 0 },
    ]);
  });

  it("is tried beyond that once it carries what it is given, and less boldly after each failure", () => {
    expect(upOf(afterRounds([50, 100], [100, 100]))).toBe(100);
    expect(upOf(afterRounds([50, 100], [100, 100], [100, 100]))).toBeCloseTo(105);
    expect(upOf(afterRounds([50, 100], [100, 100], [50, 100], [100, 100], [100, 100]))).toBeCloseTo(
      102.5,
    );
  });

  it("takes no measurement twice, and forgets who has left", () => {
    const carried = afterRounds([50, 100]);
    carried.observe(plan, () => ({ bytesPerMs: 100, atMs: 0 }));
    expect(upOf(carried)).toBe(50);
    carried.forget(phone);
    expect(carried.links(nodes)).toEqual([]);
  });
});
