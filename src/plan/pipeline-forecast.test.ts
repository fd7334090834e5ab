import { describe, expect, test } from "vitest";
import { evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { present } from "../base/assert.ts";
import { pipeline } from "./pipeline.ts";
import { pipelineForecast } from "./pipeline-forecast.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";

const segments = [0, 1, 2, 3, 4, 5].map((i) => segmentCost(i, 1000));
const server = (name: string, segmentMs: number): FleetNode =>
  fleetNode(name, evenProfile(6, segmentMs), { kind: "edge", samples: 0, latencyMs: 2 });
const phone = fleetNode("phone", evenProfile(6, 20), { ceilingBytesPerMs: 1000, latencyMs: 3 });

const request = (nodes: readonly FleetNode[], more: Partial<PlanRequest> = {}): PlanRequest =>
  planRequest(segments, nodes, null, { work: 20, ...more });

describe("the forecast of a pipeline in force", () => {
  test.each(["window", "1f1b", "gpipe"] as const)(
    "is what its planner said, as long as nothing has changed: %s",
    (schedule) => {
      const pipelineChoice = { schedule, window: null, backward: "stored" } as const;
      const asked = request([phone, server("near", 10), server("far", 5)], {
        pipeline: pipelineChoice,
        accumulate: schedule === "window" ? 1 : 4,
      });
      const plan = pipeline(asked);
      expect(plan.copies.length).toBeGreaterThan(1);
      const forecast = present(pipelineForecast(plan, asked), "a forecast");
      expect(forecast.roundMs).toBeCloseTo(plan.forecasts[0]?.roundMs ?? 0, 6);
      expect(forecast.periodMs).toBeLessThan(forecast.latencyMs);
    },
  );

  test("of a device alone is its own time", () => {
    const asked = request([phone]);
    const plan = pipeline(asked);
    const homeMs = 4 / 1000 + 2 * 3;
    expect(pipelineForecast(plan, asked)).toEqual({
      latencyMs: 120,
      homeMs,
      periodMs: 120,
      roundMs: 20 * 120,
    });
  });

  test("grows with a server that has become slow", () => {
    const asked = request([phone, server("near", 10)]);
    const plan = pipeline(asked);
    const slow = request([phone, server("near", 100)]);
    const before = present(pipelineForecast(plan, asked), "a forecast");
    const after = present(pipelineForecast(plan, slow), "a forecast");
    expect(after.periodMs).toBeGreaterThan(3 * before.periodMs);
  });

  test("counts what bringing the weights home takes, by the rate that was measured", () => {
    const plan = pipeline(request([phone, server("near", 10)]));
    const coordinatorBytesPerMs = { up: 0.01, down: 1 };
    const far = request([phone, { ...server("near", 10), coordinatorBytesPerMs }]);
    const near = plan.copies.find(({ node }) => node === "near");
    expect(near?.from).toBeGreaterThan(0);
    // No segment behind the first has parameters in this fleet's model.
    expect(pipelineForecast(plan, far)?.homeMs).toBeCloseTo(4 / 1000 + 6);
    const slow = request([{ ...phone, coordinatorBytesPerMs }, server("near", 10)]);
    expect(pipelineForecast(plan, slow)?.homeMs).toBeCloseTo(400 + 6);
  });

  test("has a narrow line hold up the batches that pass it, and what each bears of the weights", () => {
    const plan = pipeline(request([phone, server("near", 10)]));
    const lineBytesPerMs = { up: 10, down: 1000 };
    const forecast = pipelineForecast(
      plan,
      request([{ ...phone, lineBytesPerMs }, server("near", 10)]),
    );
    // A thousand values of four bytes and a head of 200 leave the phone with each batch, and four bytes of weights with twenty.
    expect(forecast?.periodMs).toBeCloseTo(420 + 4 / 10 / 20);
    expect(forecast?.homeMs).toBeCloseTo(4 / 1000 + 6);
  });

  test("is none without one of its nodes, or for a plan of several chains", () => {
    const plan = pipeline(request([phone, server("near", 10)]));
    expect(pipelineForecast(plan, request([phone]))).toBeNull();
    const twice: Plan = { ...plan, chains: [...plan.chains, ...plan.chains] };
    expect(pipelineForecast(twice, request([phone, server("near", 10)]))).toBeNull();
  });
});
