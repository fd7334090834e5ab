import { expect, test } from "vitest";
import { edgeServer, evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { nodeId } from "../base/ids.ts";
import { interimBatches, mayEndEarly } from "./interim.ts";
import { pipeline } from "./pipeline.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";

const hour = 3_600_000;
const megabyte = 1e6;

/** Two segments of two megabytes with their state, one on each of two nodes, and lines of so many bytes a millisecond. */
function question(line: number | null, more: Partial<PlanRequest> = {}) {
  const segments = [0, 1].map((i) =>
    segmentCost(i, 25_000, { parameterBytes: megabyte, stateBytes: megabyte }),
  );
  const rates = { up: line ?? 0, down: line ?? 0 };
  const known = line === null ? {} : { coordinatorBytesPerMs: rates, lineBytesPerMs: rates };
  const phone: FleetNode = { ...fleetNode("phone", evenProfile(2, 400)), ...known };
  const server: FleetNode = { ...edgeServer(evenProfile(2, 20)), id: nodeId("server"), ...known };
  const request = planRequest(segments, [phone, server], null, { work: 1000, ...more });
  const plan = pipeline(request);
  const periodMs = (plan.forecasts[0]?.roundMs ?? 0) / 1000;
  return { plan, request, periodMs };
}

test("is Young's square root where links have nothing to spare", () => {
  // 100 KB of features in the 400 ms of a batch fill a line of 250 B/ms; two megabytes hold it for 8 s.
  const { plan, request, periodMs } = question(250);
  const betweenMs = Math.sqrt((2 * 2 * megabyte * (hour / 2)) / 250);
  expect(interimBatches(plan, request, 1 / hour)).toBe(Math.ceil(betweenMs / periodMs));
  // Four times as many losses: twice as often.
  expect(interimBatches(plan, request, 4 / hour)).toBe(Math.ceil(betweenMs / 2 / periodMs));
});

test("is as often as idle links carry it, where that is oftener", () => {
  const { plan, request, periodMs } = question(500);
  const idle = 0.5 * (1 - 200.4 / periodMs);
  expect(interimBatches(plan, request, 1 / hour)).toBe(
    Math.ceil((2 * megabyte) / 500 / idle / periodMs),
  );
});

test("is no oftener than what is read is worth, nor than a loss is noticed", () => {
  const { plan, request, periodMs } = question(null);
  const readMs = (2 * megabyte) / 100_000;
  expect(interimBatches(plan, request, 1 / hour)).toBe(
    Math.ceil(Math.max(10_000, Math.sqrt(2 * readMs * (hour / 2))) / periodMs),
  );
  expect(interimBatches(plan, request, 1000 / hour)).toBe(Math.ceil(10_000 / periodMs));
});

test("is after whole updates, and never where rounds are shorter", () => {
  const three = question(null, { accumulate: 3, work: 999 });
  expect((interimBatches(three.plan, three.request, 1000 / hour) ?? 1) % 3).toBe(0);
  const short = question(null, { work: 20 });
  expect(interimBatches(short.plan, short.request, 1 / hour)).toBeNull();
});

test("is never where copies share tensors", () => {
  const { plan, request } = question(null);
  const members = plan.copies.map(({ id }) => id);
  const shared = { ...plan, groups: [{ members, policy: "average", when: "round" } as const] };
  expect([mayEndEarly(plan), mayEndEarly(shared)]).toEqual([true, false]);
  expect(interimBatches(shared, request, 1 / hour)).toBeNull();
});
