import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyPipelineRequest,
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { soundPlan } from "../../test/sound-plan.ts";
import { PlanError } from "../base/errors.ts";
import { nodeId } from "../base/ids.ts";
import { trainingBytes } from "./memory.ts";
import { pipeline } from "./pipeline.ts";
import { pipelineForecast } from "./pipeline-forecast.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";

const placesOf = (plan: Plan): [string, number, number][] =>
  plan.copies.map(({ node, from, to }) => [node, from, to]);

const edge = (name: string, segmentMs: number, more: Partial<FleetNode> = {}): FleetNode => ({
  ...edgeServer(evenProfile(6, segmentMs), more),
  id: nodeId(name),
  name,
});
const phone = fleetNode("phone", evenProfile(6, 60));
const segments = [0, 1, 2, 3, 4, 5].map((i) =>
  segmentCost(i, 250, { parameterBytes: 40, stateBytes: 40 }),
);
const request = (nodes: FleetNode[], more: Partial<PlanRequest> = {}): PlanRequest =>
  planRequest(segments, nodes, null, { work: 20, ...more });

describe("pipeline", () => {
  test("forecasts a round as worked out by hand", () => {
    // Two segments: one each. Device 2 + 4 + 1 ms, server's step 3 ms, 1000 B and a head of 200 each way at 100 B/ms, 40 B labels.
    const time = { forwardMs: 2, backwardMs: 4, updateMs: 1 };
    const fast = { forwardMs: 1, backwardMs: 1, updateMs: 1 };
    const device = fleetNode(
      "phone",
      { segments: [time, { forwardMs: 50, backwardMs: 50, updateMs: 0 }], runMs: 0, callMs: 0 },
      { ceilingBytesPerMs: 100, latencyMs: 3 },
    );
    const server = edgeServer({ segments: [fast, fast], runMs: 0, callMs: 0 });
    const two = segments.slice(0, 2);
    const plan = pipeline(planRequest(two, [device, server], null, { work: 5, labelBytes: 40 }));
    expect(placesOf(plan)).toEqual([
      ["phone", 0, 1],
      ["edge", 1, 2],
    ]);
    // T0 = 7 + 3 + 12.4 + 12 + 2 x 3, T* = 12.4 + 0.16, a fifth of 80 B of weights: (3 + 1) T* >= 40.4, and one more
    expect(plan.chains[0]).toMatchObject({ schedule: "window", window: 4, work: 5 });
    expect(plan.forecasts[0]?.roundMs).toBeCloseTo(40.4 + 4 * 12.56, 9);
    expect(plan.links[0]?.bytesPerMs).toBe(100);
    expect(plan.reason).toContain("the link out of phone decides");
  });

  test("takes fast servers, leaves slow and far ones out, and says why", () => {
    const far = edge("far", 1, { latencyMs: 4000 });
    const plan = pipeline(request([phone, edge("near", 10), edge("slow", 300), far]));
    expect(plan.copies.map(({ node }) => node)).toEqual(["phone", "near"]);
    expect(plan.reason).toMatch(/^phone with near, [\d.]+ s a round; a batch every 60 ms/);
    expect(plan.reason).toContain("computing on phone decides");
    expect(plan.reason).toMatch(/phone alone would take 7.2 s, [\d.]+ x as long/);
    expect(plan.reason).toContain("slow is left out: with it a round would take");
    expect(plan.reason).toContain("far is left out: with it a round would take");
  });

  test("shares a model that one server takes too long for between two, fastest where most is", () => {
    const plan = pipeline(request([phone, edge("a", 40), edge("b", 25)]));
    expect(new Set(plan.copies.map(({ node }) => node))).toEqual(new Set(["phone", "a", "b"]));
    const lengthOf = (name: string) => plan.copies.find(({ node }) => node === name);
    const [a, b] = [lengthOf("a"), lengthOf("b")];
    expect((b?.to ?? 0) - (b?.from ?? 0)).toBeGreaterThan((a?.to ?? 0) - (a?.from ?? 0));
  });

  test("trains on the device alone where no server helps", () => {
    const plan = pipeline(request([phone, edge("slow", 900)]));
    expect(placesOf(plan)).toEqual([["phone", 0, 6]]);
    expect(plan.chains[0]).toMatchObject({ schedule: "serial", window: 0 });
    expect(plan.reason).toContain("no server would make it faster");
  });

  test("goes by measured ways: a server without one is out of reach", () => {
    const link = { thereBytesPerMs: 0, backBytesPerMs: 0, latencyMs: 1 };
    const nodes = [phone, edge("near", 10)];
    const lost = { from: nodeId("near"), to: nodeId("phone"), ...link };
    const fleet = { nodes, links: [lost], cellBytesPerMs: null };
    const plan = pipeline({ ...request(nodes), fleet });
    expect(placesOf(plan)).toEqual([["phone", 0, 6]]);
    expect(plan.reason).toContain("near is left out: nothing gets there");
  });

  test("holds fewer batches in flight where memory is short, and says so", () => {
    const heavy = segments.map((cost) => ({ ...cost, savedBytes: 1e6 }));
    const needed = trainingBytes(heavy, 0, 1, { hasLoss: false, recompute: false });
    const near = edge("near", 12, { latencyMs: 60 });
    const small = { ...phone, memoryBytes: needed + 1.5e6 };
    const ask = planRequest(heavy, [small, near], null, { work: 20 });
    const plan = pipeline(ask);
    expect(plan.chains[0]?.window).toBe(1);
    expect(plan.forecasts[0]?.reason).toContain("no memory for more batches in flight");
    const free = pipeline(request([phone, near]));
    expect(free.chains[0]?.window).toBeGreaterThan(1);
    // Replay keeps inputs alone, and the source not even those.
    const replayed = pipeline({ ...ask, pipeline: { ...ask.pipeline, backward: "replay" } });
    expect(replayed.chains[0]?.window).toBeGreaterThan(1);
  });

  test("makes plans that hold together for any fleet, the same each time, no worse than alone", () => {
    fc.assert(
      fc.property(anyPipelineRequest(3, 5), (any) => {
        const plan = soundPlan(pipeline, any);
        if (plan instanceof PlanError) return expect(plan.message).toContain("memory");
        const forecast = pipelineForecast(plan, any);
        expect(forecast?.roundMs).toBeCloseTo(plan.forecasts[0]?.roundMs ?? 0, 6);
        const alone = any.fleet.nodes.filter(({ samples }) => samples > 0);
        try {
          const own = pipeline({ ...any, fleet: { ...any.fleet, nodes: alone, links: [] } });
          const roundMs = plan.forecasts[0]?.roundMs ?? Number.NaN;
          expect(roundMs).toBeLessThanOrEqual(own.forecasts[0]?.roundMs ?? 0);
        } catch (error) {
          expect(error).toBeInstanceOf(PlanError);
        }
      }),
      { numRuns: 60 },
    );
  });
});

test("pipeline refuses data in no place and in two", () => {
  const nobody = { ...phone, samples: 0 };
  expect(() => pipeline(request([nobody]))).toThrow("the fleet has none");
  const other = fleetNode("tablet", evenProfile(6, 60));
  expect(() => pipeline(request([phone, other]))).toThrow(/2 hold some \(phone, tablet\)/);
  expect(() => pipeline(request([{ ...phone, memoryBytes: 5 }]))).toThrow("in its memory of 5 B");
});
