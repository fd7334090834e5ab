/** Chains that end on the device where they began. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { PlanError } from "../base/errors.ts";
import { checkPlan } from "./check.ts";
import { uShaped } from "./u-shaped.ts";

/** Features of so many values behind each segment, all of which are trained. */
const segmentsOf = (...values: readonly number[]) =>
  values.map((count, i) => segmentCost(i, count, { parameterBytes: 80, stateBytes: 80 }));
const server = edgeServer(evenProfile(5, 0.1));

describe("u-shaped", () => {
  test("gives the server what lies between the two narrowest borders that leave it work", () => {
    const device = fleetNode("phone", evenProfile(5, 10));
    const request = planRequest(segmentsOf(50, 5000, 5000, 40, 10), [server, device], 10);
    const plan = uShaped(request);
    checkPlan(plan, 5, request.fleet);
    expect(plan.copies.map(({ node, from, to }) => [node, from, to])).toEqual([
      [device.id, 0, 1],
      [server.id, 1, 4],
      [device.id, 4, 5],
    ]);
    expect(plan.forecasts[0]?.reason).toMatch(
      /^phone keeps segments 0 to 0 and 4 to 4, and its labels: a batch takes/,
    );
  });

  test("says why there is no plan", () => {
    const device = fleetNode("phone", evenProfile(2, 10));
    const short = planRequest(segmentsOf(50, 10), [edgeServer(evenProfile(2, 1)), device], 10);
    expect(() => uShaped(short)).toThrow(
      "u-shaped has no plan for phone: the model cannot be cut twice behind a trained segment",
    );
    const small = fleetNode("watch", evenProfile(5, 10), { memoryBytes: 1000 });
    const tight = planRequest(segmentsOf(50, 50, 50, 50, 10), [server, small], 10);
    expect(() => uShaped(tight)).toThrow(
      "u-shaped has no plan for watch: its memory and energy allow no two cuts",
    );
  });

  test("keeps to a device's own number of batches, and to its energy", () => {
    const segments = segmentsOf(50, 5000, 5000, 40, 10);
    const device = fleetNode("phone", evenProfile(5, 10), { work: 3 });
    const energy = { computeWatts: 10, joulesPerByte: 0, joulesPerRound: 0 };
    const planned = uShaped(planRequest(segments, [server, device], 10));
    const [chain, forecast] = [planned.chains[0], planned.forecasts[0]];
    expect(chain?.work).toBe(3);
    const batchJoules = (joulesPerRound: number): (() => unknown) => {
      const limited = { ...device, energy: { ...energy, joulesPerRound } };
      return () => uShaped(planRequest(segments, [server, limited], 10));
    };
    // The device computes for most of the round; a thousandth of it is not enough for any cut.
    const joulesPerRound = (10 * (forecast?.computeMs ?? 0)) / 1000;
    expect(batchJoules(joulesPerRound)).not.toThrow();
    expect(batchJoules(joulesPerRound / 1000)).toThrow("its memory and energy allow no two cuts");
  });

  test("its plans make sense for any fleet, and every chain ends where it began", () => {
    fc.assert(
      fc.property(anyRequest(4, 6), (request) => {
        if (request.segments.length < 3) {
          expect(() => uShaped(request)).toThrow(PlanError);
          return;
        }
        const plan = uShaped(request);
        checkPlan(plan, request.segments.length, request.fleet);
        const nodes = new Map(plan.copies.map(({ id, node }) => [id, node]));
        for (const { source, stages } of plan.chains) {
          expect(stages).toHaveLength(3);
          expect(nodes.get(stages[2]?.copy as never)).toBe(source);
        }
        for (const { roundMs, computeMs, transferMs } of plan.forecasts) {
          expect(roundMs).toBeCloseTo(computeMs + transferMs, 6);
        }
      }),
    );
  });
});
