import { describe, expect, test } from "vitest";
import {
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../../test/fleets.ts";
import { present } from "../../base/assert.ts";
import { nodeId } from "../../base/ids.ts";
import { pipeline } from "../../plan/pipeline.ts";
import { pipelineForecast } from "../../plan/pipeline-forecast.ts";
import type { Plan, PlanRequest } from "../../plan/plan.ts";
import { type MoveOption, movingMs } from "../../plan/replan.ts";
import { Lately } from "./lately.ts";

const segments = [0, 1, 2, 3].map((i) => segmentCost(i, 1000));

/** A phone and two servers, of which the one or the other is busy. */
function requestWith(nearMs: number, farMs: number): PlanRequest {
  const server = (name: string, ms: number) =>
    edgeServer(evenProfile(4, ms), { id: nodeId(name), name });
  const phone = fleetNode("phone", evenProfile(4, 20), {});
  return planRequest(segments, [phone, server("near", nearMs), server("far", farMs)], null, {
    work: 100,
  });
}

const onlyNear = (plan: Plan): boolean => !plan.copies.some(({ node }) => node.includes("far"));
const forecastOf = (plan: Plan, request: PlanRequest) =>
  present(pipelineForecast(plan, request), "a forecast");
const optionOf = (from: Plan, to: Plan, request: PlanRequest): MoveOption => ({
  layout: to,
  forecast: forecastOf(to, request),
  movingMs: movingMs(from.copies, to.copies, request),
  toPlan: () => to,
});

/** Plans that have one of the servers alone. */
const planOn = (name: string, request: PlanRequest): Plan => {
  const nodes = request.fleet.nodes.filter(({ name: own }) => own === "phone" || own === name);
  return pipeline({ ...request, fleet: { ...request.fleet, nodes } });
};

describe("what a fleet was like of late", () => {
  const [quiet, busy] = [requestWith(10, 30), requestWith(60, 30)];
  const [near, far] = [planOn("near", quiet), planOn("far", quiet)];

  test("weighs what a plan takes now and what it took at each moment", () => {
    const lately = new Lately(pipelineForecast, 8);
    lately.saw(quiet.fleet, 0);
    lately.saw(busy.fleet, 20_000);
    const then = [quiet, busy].map((request) => forecastOf(near, request));
    const mean = lately.mean(near, busy, forecastOf(near, busy));
    const sum = then.reduce((total, { periodMs }) => total + periodMs, 0);
    expect(mean.periodMs).toBeCloseTo(0.7 * forecastOf(near, busy).periodMs + (0.3 * sum) / 2);
    expect(mean.homeMs).toBe(present(then[1], "a forecast").homeMs);
  });

  test("keeps no moments that are close to each other, and forgets the oldest", () => {
    const lately = new Lately(pipelineForecast, 2);
    lately.saw(busy.fleet, 0);
    lately.saw(busy.fleet, 5_000);
    for (const atMs of [20_000, 40_000]) lately.saw(quiet.fleet, atMs);
    const now = forecastOf(near, quiet);
    expect(lately.mean(near, quiet, now).periodMs).toBeCloseTo(now.periodMs);
  });

  test("weighs a hiccup by its share of the time, and has what was best before come back", () => {
    const lately = new Lately(pipelineForecast, 8);
    const batches = 1000;
    // The near server was the best for a long time, from the far one's point of view.
    for (let atMs = 0; atMs < 120_000; atMs += 20_000) lately.saw(quiet.fleet, atMs);
    const newest = optionOf(far, near, quiet);
    expect(lately.best(far, quiet, { newest, batches })?.layout).toBe(near);
    // Now it is a little slower than the other one: it is still the better one with what it was before.
    const slower = requestWith(22, 30);
    const still = present(lately.best(far, slower, { newest: null, batches }), "an option");
    expect(onlyNear(still.toPlan())).toBe(true);
    expect(forecastOf(near, slower).periodMs).toBeGreaterThan(forecastOf(far, slower).periodMs);
    expect(still.forecast.periodMs).toBeLessThan(forecastOf(far, slower).periodMs);
    // Unless it stays so.
    for (let atMs = 120_000; atMs < 300_000; atMs += 20_000) lately.saw(busy.fleet, atMs);
    const best = present(lately.best(far, busy, { newest: null, batches }), "an option");
    expect(best.forecast.periodMs).toBeGreaterThan(forecastOf(far, busy).periodMs);
  });

  test("does not count where the present is to last", () => {
    const lately = new Lately(pipelineForecast, 0);
    lately.saw(quiet.fleet, 0);
    const now = forecastOf(near, busy);
    expect(lately.mean(near, busy, now).periodMs).toBe(now.periodMs);
    expect(lately.best(far, busy, { newest: null, batches: 100 })).toBeNull();
  });
});
