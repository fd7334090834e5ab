import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyPipelineRequest,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { checkPlan } from "./check.ts";
import { pipeline } from "./pipeline.ts";
import { pipelineForecast } from "./pipeline-forecast.ts";
import { pipelineMove } from "./pipeline-moves.ts";
import type { FleetNode, Plan, PlanRequest } from "./plan.ts";
import { type Layout, movingMs } from "./replan.ts";

const segments = [0, 1, 2, 3, 4, 5].map((i) =>
  segmentCost(i, 1000, { parameterBytes: i === 5 ? 10_000_000 : 100 }),
);
const rates = { up: 1000, down: 1000 };
const measured = { coordinatorBytesPerMs: rates, lineBytesPerMs: rates };
const server = (name: string, segmentMs: number): FleetNode =>
  fleetNode(name, evenProfile(6, segmentMs), {
    kind: "edge",
    samples: 0,
    latencyMs: 2,
    ...measured,
  });
const phone = fleetNode("phone", evenProfile(6, 20), {
  ceilingBytesPerMs: 1000,
  latencyMs: 3,
  ...measured,
});
const request = (nodes: readonly FleetNode[]): PlanRequest =>
  planRequest(segments, nodes, null, { work: 5000 });
const chainOf = (plan: Layout): string =>
  plan.copies.map(({ node, from, to }) => `${node} ${from}-${to}`).join(", ");

/** What so many batches take under a plan, and the way to it. */
function costMs(from: Plan, to: Plan, asked: PlanRequest, batches: number): number {
  const { latencyMs, periodMs } = present(pipelineForecast(to, asked), "a forecast");
  return latencyMs + batches * periodMs + movingMs(from.copies, to.copies, asked);
}

describe("a pipeline to move to", () => {
  test("is none where nothing has changed", () => {
    const asked = request([phone, server("near", 10)]);
    expect(pipelineMove(pipeline(asked), asked, 500)).toBeNull();
  });

  test("leaves heavy weights where they are, where a fast server takes light ones", () => {
    const plan = pipeline(request([phone, server("near", 10)]));
    expect(chainOf(plan)).toBe("phone 0-2, near 2-6");
    // The same server has become slow, and another one is as fast as it was.
    const asked = request([phone, server("near", 20), server("other", 10)]);
    expect(chainOf(pipeline(asked))).toBe("phone 0-2, other 2-6");
    const moved = present(pipelineMove(plan, asked, 300), "a move").toPlan();
    expect(moved.copies.at(-1)).toMatchObject({ node: "near", to: 6 });
    expect(moved.copies.some(({ node }) => node === "other")).toBe(true);
    expect(movingMs(plan.copies, moved.copies, asked)).toBeLessThan(12_000);
    // With time enough ahead, everything goes to where it is fastest.
    expect(costMs(plan, moved, asked, 300)).toBeLessThan(costMs(plan, plan, asked, 300));
  });

  test("is the fastest where that pays as well as any, and says in numbers what its plan comes to", () => {
    const plan = pipeline(request([phone, server("near", 10)]));
    const asked = request([phone, server("near", 400), server("other", 10)]);
    const moved = present(pipelineMove(plan, asked, 1e6), "a move");
    const fastest = pipeline(asked);
    expect(moved.toPlan()).toEqual(fastest);
    expect(chainOf(moved.layout)).toBe(chainOf(fastest));
    expect(moved.forecast).toEqual(pipelineForecast(fastest, asked));
    expect(moved.movingMs).toBe(movingMs(plan.copies, fastest.copies, asked));
    // From there, there is nothing to move to.
    expect(pipelineMove(fastest, asked, 1e6)).toBeNull();
  });

  test("is never worse than the fastest or, where it is another one, than staying, and can be run", () => {
    fc.assert(
      fc.property(
        anyPipelineRequest(4, 7),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: 500 }),
        (one, change, batches) => {
          // The same model, on machines that have become slower.
          const count = one.segments.length;
          const asked = { ...one, pipeline: { ...one.pipeline, schedule: "window" as const } };
          let plan: Plan;
          try {
            plan = pipeline(asked);
          } catch (error) {
            if (error instanceof PlanError) return;
            throw error;
          }
          const slowed = asked.fleet.nodes.map((node, i) => {
            const factor = 1 + ((change + i * batches) % 7);
            const times = node.profile.segments.map(({ forwardMs, backwardMs, updateMs }) => ({
              forwardMs: factor * forwardMs,
              backwardMs: factor * backwardMs,
              updateMs,
            }));
            return { ...node, profile: { ...node.profile, segments: times } };
          });
          const now = { ...asked, fleet: { ...asked.fleet, nodes: slowed } };
          const option = pipelineMove(plan, now, batches);
          if (option === null) return;
          const moved = option.toPlan();
          checkPlan(moved, count);
          expect(option.layout.copies).toEqual(moved.copies);
          expect(option.forecast).toEqual(pipelineForecast(moved, now));
          const fastest = pipeline(now);
          const afterMs = costMs(plan, moved, now, batches);
          expect(afterMs).toBeLessThanOrEqual(costMs(plan, fastest, now, batches) * (1 + 1e-9));
          if (chainOf(moved) === chainOf(fastest)) return;
          // Steps are weighed by what is added to the first batch.
          const stepsMs = costMs(plan, moved, now, batches - 1);
          expect(stepsMs).toBeLessThanOrEqual(costMs(plan, plan, now, batches - 1) * (1 + 1e-9));
        },
      ),
    );
  });
});
