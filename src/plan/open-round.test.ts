import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  devicesWith,
  edgeServer,
  evenProfile,
  narrowingSegments,
  planRequest,
} from "../../test/fleets.ts";
import { checkPlan } from "./check.ts";
import { playOpenRound } from "./open-round.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { PlanRequest } from "./plan.ts";
import { splitBoundMs } from "./split-bound.ts";
import { chooseSplit } from "./split-choice.ts";
import { playRound, type SplitRun } from "./split-forecast.ts";
import { splitForecast } from "./split-judge.ts";
import { SplitModel } from "./split-model.ts";

const segments = narrowingSegments(1000, 500, 100, 10);
const freely = (request: PlanRequest): PlanRequest => ({
  ...request,
  split: { ...request.split, mayShareFreely: true },
});

describe("a round without shares", () => {
  const unlimited = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
  const sending: SplitRun = {
    option: {
      ...{ cut: 1, tail: null, codecUp: "float32", codecDown: "float32" },
      ...{ forwardMs: 0, backwardMs: 0, stepMs: 1, delayMs: 0, serverMs: 1 },
      ...{ featureBytes: 100, gradientBytes: 0, weightBytes: 0, homeBytes: 0 },
      ...{ fixedMs: 1, upBytes: 100, downBytes: 0 },
    },
    rate: unlimited,
    server: 0,
  };

  test("divides the cell evenly among those who send, and gives all to the last one", () => {
    const long = { ...sending, option: { ...sending.option, featureBytes: 300 } };
    const cell = { up: 10, down: 10 };
    // Together until 100 of each have passed, after 20 ms; the other 200 then have it alone.
    const ms = playOpenRound([sending, long], 1, cell).map(({ roundMs }) => roundMs);
    expect(ms).toEqual([21, 41]);
    // Who has a narrow link leaves the rest to the other one.
    const narrow = { ...sending, rate: { up: 2, down: 2 } };
    expect(playOpenRound([narrow, long], 1, cell).map(({ roundMs }) => roundMs)).toEqual([
      51,
      300 / 8 + 1,
    ]);
  });

  test("is what shares give where every device keeps to one", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const model = new SplitModel(request);
        const { runs } = chooseSplit(model);
        const fixed = playRound(runs, request.work);
        for (const [i, { roundMs }] of playOpenRound(runs, request.work, model.cell).entries()) {
          expect(Math.abs(roundMs - (fixed[i]?.roundMs ?? 0))).toBeLessThanOrEqual(1e-5 * roundMs);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("parallel-split where the network divides the cell", () => {
  test("does without shares where the round is shorter so", () => {
    const devices = devicesWith(8, (i) => evenProfile(4, 1 + i));
    const request = planRequest(segments, [edgeServer(evenProfile(4, 0.01)), ...devices], 100, {
      work: 20,
    });
    const plan = parallelSplit(freely(request));
    expect(plan.links.every(({ bytesPerMs }) => bytesPerMs === null)).toBe(true);
    expect(plan.forecasts[0]?.reason).toContain("no share of its own");
    const [open, shared] = [plan, parallelSplit(request)].map(
      (one) => splitForecast(one, request)?.roundMs ?? 0,
    );
    expect(open).toBeLessThan(0.8 * (shared ?? 0));
    expect(open).toBeGreaterThanOrEqual(splitBoundMs(request, "free") * (1 - 1e-6));
  });

  test("is never worse for it, holds together, and is judged as it is forecast", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const plan = parallelSplit(freely(request));
        checkPlan(plan, request.segments.length, request.fleet);
        const ms = splitForecast(plan, request)?.roundMs ?? 0;
        const sharedMs = splitForecast(parallelSplit(request), request)?.roundMs ?? 0;
        expect(ms).toBeLessThanOrEqual(sharedMs * (1 + 1e-6));
        const forecastMs = Math.max(...plan.forecasts.map(({ roundMs }) => roundMs));
        expect(Math.abs(ms - forecastMs)).toBeLessThanOrEqual(1e-5 * ms);
        expect(ms).toBeGreaterThanOrEqual(splitBoundMs(request, "free") * (1 - 1e-6));
      }),
      { numRuns: 60 },
    );
  });
});
