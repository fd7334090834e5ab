/** The schemes that parallel split learning is compared with, their one judge, and the bound on all of them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  cutsOf,
  devicesWith,
  edgeServer,
  evenProfile,
  fleetNode,
  judgedMs,
  narrowingSegments,
  planRequest,
} from "../../test/fleets.ts";
import { alternatingSplit } from "./alternating-split.ts";
import { checkPlan } from "./check.ts";
import { perDeviceCut, splitFed } from "./equal-shares.ts";
import { federatedAveraging } from "./federated-averaging.ts";
import { parallelSplit } from "./parallel-split.ts";
import { inRound, phasesOf } from "./phases.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { sequentialSplit } from "./sequential-split.ts";
import { splitBoundMs } from "./split-bound.ts";
import { splitForecast } from "./split-judge.ts";

const roundMs = (plan: Plan): number => Math.max(...plan.forecasts.map((one) => one.roundMs));

// Features of 4000, 2000, 400, 40 bytes.
const narrowing = narrowingSegments(1000, 500, 100, 10);
const quick = evenProfile(4, 0.1);
const two = [
  edgeServer(quick),
  fleetNode("fast", evenProfile(4, 1)),
  fleetNode("slow", evenProfile(4, 20)),
];

describe("federated averaging", () => {
  test("trains all segments on every device, with more of the cell for who computes longer", () => {
    const request = planRequest(narrowing, two, 100, { work: 2 });
    const plan = federatedAveraging(request);
    checkPlan(plan, 4, request.fleet);
    expect(cutsOf(plan)).toEqual([4, 4]);
    const [fast, slow] = plan.links.map(({ bytesPerMs }) => bytesPerMs ?? 0);
    // 8 ms and 160 ms of computing, 640 bytes each way: 1280 / (T - 8) + 1280 / (T - 160) = 100.
    expect(fast).toBeLessThan(10);
    expect(slow).toBeGreaterThan(90);
    expect(roundMs(plan)).toBeCloseTo(160 + 1280 / (slow ?? 1), 6);
    expect(plan.reason).toMatch(
      /^federated averaging: every device trains all segments; 2 devices,/,
    );
  });

  test("needs no server, but memory for the whole model", () => {
    const devices = two.slice(1);
    expect(federatedAveraging(planRequest(narrowing, devices, 100)).links).toEqual([]);
    const small = devices.map((node) => ({ ...node, memoryBytes: 10 }));
    expect(() => federatedAveraging(planRequest(narrowing, small, 100))).toThrow(
      "fast has 10 B of memory, and training the whole model takes 35.0 MB",
    );
  });
});

describe("SplitFed", () => {
  test("gives every device the same cut and an equal share, the best of all cuts", () => {
    const request = planRequest(narrowing, two, 100, { work: 2 });
    const plan = splitFed(request);
    checkPlan(plan, 4, request.fleet);
    expect(plan.links.map(({ bytesPerMs }) => bytesPerMs)).toEqual([50, 50]);
    // The slow one: 40 c + 2 (features and gradients) / 50. Cut 3 takes 120 + 2 x 800 / 50 and weights.
    expect(cutsOf(plan)).toEqual([3, 3]);
    expect(cutsOf(splitFed(planRequest(narrowing, two, 1e6, { work: 2 })))).toEqual([1, 1]);
  });

  test("keeps to a cut that the memory of every device allows", () => {
    const heavy = narrowing.map((cost) => ({ ...cost, savedBytes: 3e6 }));
    const nodes = two.map((node, i) => (i === 1 ? { ...node, memoryBytes: 60e6 } : node));
    expect(cutsOf(splitFed(planRequest(heavy, nodes, 1)))).toEqual([2, 2]);
  });
});

test("per-device cuts are each the fastest for an equal share", () => {
  const request = planRequest(narrowing, two, 500, { work: 2 });
  const plan = perDeviceCut(request);
  checkPlan(plan, 4, request.fleet);
  expect(plan.links.map(({ bytesPerMs }) => bytesPerMs)).toEqual([250, 250]);
  // A batch at cut 1, 2, 3: 32, 16, 3.2 ms of transfer and 1 ms a segment, or 20 on the slow one.
  expect(cutsOf(plan)).toEqual([3, 1]);
});

describe("the alternating method", () => {
  test("comes to the same where all devices are done together in the end", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const byTurns = alternatingSplit(request);
        checkPlan(byTurns, request.segments.length, request.fleet);
        expect(judgedMs(byTurns, request)).toBeGreaterThanOrEqual(
          splitBoundMs(request) * (1 - 1e-6),
        );
      }),
      { numRuns: 100 },
    );
    const request = planRequest(narrowing, two, 100, { work: 2 });
    expect(roundMs(alternatingSplit(request))).toBeCloseTo(roundMs(parallelSplit(request)), 3);
  });

  test("is worse where the server is full, which it takes for free", () => {
    const devices = devicesWith(8, () => evenProfile(4, 8));
    const request = planRequest(narrowing, [edgeServer(evenProfile(4, 4)), ...devices], 1e4, {
      work: 5,
    });
    const ms = roundMs(parallelSplit(request));
    expect(roundMs(alternatingSplit(request))).toBeGreaterThan(1.5 * ms);
  });
});

describe("vanilla split learning", () => {
  test("has devices train one after the other, at one cut, with the whole cell for each", () => {
    const request = planRequest(narrowing, two, 100, { work: 2 });
    const plan = sequentialSplit(request);
    checkPlan(plan, 4, request.fleet);
    expect(phasesOf(plan)).toBe(2);
    expect([0, 1, 2].map((round) => inRound(plan, round).chains[0]?.source)).toEqual([
      "fast",
      "slow",
      "fast",
    ]);
    expect(plan.links.map(({ bytesPerMs }) => bytesPerMs)).toEqual([100, 100]);
    expect(plan.chains.map(({ stages }) => stages[1])).toEqual([
      { copy: "copy:edge:3-4", backward: "none", merge: 1 },
      { copy: "copy:edge:3-4", backward: "none", merge: 1 },
    ]);
    expect(plan.reason).toMatch(
      /^vanilla split learning: devices train one after the other and hand weights on; 2 devices with edge, \S+ ms for a round of each; slow takes/,
    );
    expect(plan.forecasts[0]?.reason).toMatch(/, all of the cell in its rounds$/);
  });

  test("takes the cut with which all of them together are done first", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const plan = sequentialSplit(request);
        checkPlan(plan, request.segments.length, request.fleet);
        const total = plan.forecasts.reduce((sum, { roundMs: ms }) => sum + ms, 0);
        expect(Math.abs(judgedMs(plan, request) - total)).toBeLessThanOrEqual(1e-6 * total);
        const [first] = cutsOf(plan);
        expect(new Set(cutsOf(plan))).toEqual(new Set([first]));
        // Every other common cut, judged as a plan of its own.
        for (let cut = 1; cut < request.segments.length; cut++) {
          const copies = plan.copies.map((copy) =>
            copy.from === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
          );
          expect(judgedMs({ ...plan, copies }, request)).toBeGreaterThanOrEqual(total * (1 - 1e-6));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("says why there is no plan", () => {
    const heavy = narrowing.map((cost) => ({ ...cost, savedBytes: 3e6 }));
    const none = two.map((node, i) => (i === 1 ? { ...node, memoryBytes: 10 } : node));
    expect(() => sequentialSplit(planRequest(heavy, none, 1))).toThrow("fast has 10 B of memory");
  });
});

describe("one judge for all", () => {
  const schemes = { parallelSplit, splitFed, perDeviceCut, alternatingSplit, federatedAveraging };

  test.each(Object.entries(schemes))("says of %s what its own forecast says", (_, planner) => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const plan = planner(request);
        const ms = judgedMs(plan, request);
        expect(Math.abs(ms - roundMs(plan))).toBeLessThanOrEqual(1e-6 * ms);
      }),
      { numRuns: 60 },
    );
  });

  test("has no forecast for plans of nodes that are gone, or of longer chains", () => {
    const request = planRequest(narrowing, two, 100);
    const plan = parallelSplit(request);
    const without = (name: string): PlanRequest => ({
      ...request,
      fleet: { ...request.fleet, nodes: two.filter((node) => node.name !== name) },
    });
    expect(splitForecast(plan, without("slow"))).toBeNull();
    expect(splitForecast(plan, without("edge"))).toBeNull();
    const long = plan.chains.map((chain) => ({
      ...chain,
      stages: [...chain.stages, ...chain.stages],
    }));
    expect(splitForecast({ ...plan, chains: long }, request)).toBeNull();
  });
});

describe("the lower bound", () => {
  const all = [parallelSplit, splitFed, perDeviceCut, alternatingSplit];

  test("is below every scheme's round, and with rates that may change below that", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const bound = splitBoundMs(request);
        for (const planner of all) {
          expect(judgedMs(planner(request), request)).toBeGreaterThanOrEqual(bound * (1 - 1e-6));
        }
        expect(splitBoundMs(request, "free")).toBeLessThanOrEqual(bound * (1 + 1e-6));
      }),
      { numRuns: 100 },
    );
  });

  test("is met where one device has it all to itself, and where only the cell decides", () => {
    const one = planRequest(narrowing, two.slice(0, 2), 100);
    expect(splitBoundMs(one)).toBeCloseTo(judgedMs(parallelSplit(one), one), 4);
    const devices = devicesWith(20, (i) => evenProfile(4, 1 + i));
    const many = planRequest(narrowing, [edgeServer(evenProfile(4, 1e-4)), ...devices], 100, {
      work: 5,
    });
    const ratio = judgedMs(parallelSplit(many), many) / splitBoundMs(many);
    expect(ratio).toBeGreaterThan(1 - 1e-6);
    expect(ratio).toBeLessThan(1.01);
  });

  test("knows that a server works on one batch at a time", () => {
    const devices = devicesWith(8, () => evenProfile(4, 1));
    const request = planRequest(narrowing, [edgeServer(evenProfile(4, 10)), ...devices], null, {
      work: 5,
    });
    // The deepest cut leaves 10 ms of each of 40 batches to the server.
    expect(splitBoundMs(request)).toBeGreaterThanOrEqual(400);
    expect(judgedMs(parallelSplit(request), request)).toBeLessThan(1.05 * splitBoundMs(request));
  });
});
