/** The oracle on walks of a minute that are reckoned by hand. */
import { describe, expect, it } from "vitest";
import type { Conditions } from "../../bench/pipeline-conditions.ts";
import { longRunPlan, oracleOf, periodMs } from "../../bench/pipeline-oracle.ts";
import type { Fleet } from "../../src/plan/plan.ts";
import { edgeServer, evenProfile, fleetNode, planRequest, segmentCost } from "../fleets.ts";

/** 50 ms a segment on the device and a tenth of that on the server; 4 kB with a head cross in 1 ms each way. */
const costs = [segmentCost(0, 1000), segmentCost(1, 10)];
const device = fleetNode("device", evenProfile(2, 50));
const server = (segmentMs: number) => edgeServer(evenProfile(2, segmentMs));
const link = { thereBytesPerMs: 4200, backBytesPerMs: 4200, latencyMs: 0 };
const fleetWith = (segmentMs: number): Fleet => ({
  nodes: [device, server(segmentMs)],
  links: [{ from: device.id, to: server(1).id, ...link }],
  cellBytesPerMs: null,
});
const request = { ...planRequest(costs, [device], null), fleet: fleetWith(5) };

/** Only what the oracle asks for. */
const conditions = (between: (fromMs: number, toMs: number) => Fleet): Conditions =>
  ({ between }) as unknown as Conditions;

describe("the oracle", () => {
  it("trains on the device alone where nobody helps", () => {
    const alone = { nodes: [device], links: [], cellBytesPerMs: null };
    const walk = conditions(() => alone);
    const batches = oracleOf(walk, request, { fromMs: 5000, toMs: 65_000 }).batches;
    expect(batches).toBeCloseTo(60_000 / 100, 6);
  });

  it("keeps to the best plan where nothing changes: the device's segment decides", () => {
    // One batch takes 50 + 1 + 5 + 1 ms.
    expect(periodMs(longRunPlan(request))).toBeCloseTo((57 + 9999 * 50) / 10_000, 9);
    const walk = conditions(() => fleetWith(5));
    expect(oracleOf(walk, request, { fromMs: 0, toMs: 60_000 }).batches).toBeCloseTo(1200, 6);
  });

  it("leaves a server when it gets too slow, and pays for what is in the pipeline", () => {
    const walk = conditions((fromMs) => fleetWith(fromMs < 30_000 ? 5 : 5000));
    // The pipeline empties: the last batch takes 7 ms longer than a period.
    const batches = 30_000 / 50 + (30_000 - 7) / 100;
    expect(oracleOf(walk, request, { fromMs: 0, toMs: 60_000 }).batches).toBeCloseTo(batches, 6);
  });

  it("stays where leaving and coming back would cost more than it gains", () => {
    // For one stretch of 10 s the server is a little slower than the device alone.
    const slower = (ms: number) => conditions((at) => fleetWith(at === 20_000 ? ms : 5));
    const total = (ms: number) =>
      oracleOf(slower(ms), request, { fromMs: 0, toMs: 60_000 }).batches;
    expect(total(100.05)).toBeCloseTo(50_000 / 50 + 10_000 / 100.05, 6);
    // Twice as slow: it leaves, 7 ms each time.
    expect(total(200)).toBeCloseTo(50_000 / 50 - 7 / 50 + (10_000 - 7) / 100, 6);
  });
});
