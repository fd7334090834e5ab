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
import { checkPlan } from "./check.ts";
import { parallelSplit } from "./parallel-split.ts";
import { partsOf } from "./part.ts";
import type { PlanRequest } from "./plan.ts";

const sharing = (request: PlanRequest, merge: number | null = null): PlanRequest => ({
  ...request,
  split: { serverCopies: "shared", merge },
});

describe("servers whose devices share copies", () => {
  test("hold every segment from the shallowest cut on once, in as many copies as there are cuts", () => {
    fc.assert(
      fc.property(anyRequest(6, 6), fc.option(fc.nat(9)), (request, merge) => {
        const plan = parallelSplit(sharing(request, merge === null ? null : merge + 1));
        checkPlan(plan, request.segments.length, request.fleet);
        const cuts = plan.copies.flatMap(({ from, to }) => (from === 0 ? [to] : []));
        const served = plan.copies
          .filter(({ node }) => node === "edge")
          .sort((a, b) => a.from - b.from);
        expect(served.map(({ from }) => from)).toEqual([...new Set(cuts)].sort((a, b) => a - b));
        expect(served.map(({ to }) => to)).toEqual([
          ...served.slice(1).map(({ from }) => from),
          request.segments.length,
        ]);
        for (const [i, { stages }] of plan.chains.entries()) {
          const number = merge === null ? plan.chains.length : merge + 1;
          expect(stages.slice(1).every((stage) => stage.merge === number)).toBe(true);
          expect(stages).toHaveLength(
            1 + served.filter(({ from }) => from >= (cuts[i] ?? 0)).length,
          );
        }
        const partOf = partsOf(plan);
        for (const { node } of plan.limits) checkPlan(partOf(node), request.segments.length);
      }),
    );
  });

  test("take as long as with copies of their own where cuts are the same and runs cost nothing", () => {
    const segments = [100, 50, 10].map((values, i) => segmentCost(i, values));
    const profile = evenProfile(3, 3);
    const nodes = [edgeServer(profile), fleetNode("a", profile), fleetNode("b", profile)];
    const request = planRequest(segments, nodes, 100, { work: 4 });
    const ms = (plan: ReturnType<typeof parallelSplit>) => plan.forecasts.map((own) => own.roundMs);
    expect(ms(parallelSplit(sharing(request)))).toEqual(ms(parallelSplit(request)));
  });

  test("fit where copies for each device do not, and the refusal says so", () => {
    const segments = [0, 1, 2].map((i) =>
      segmentCost(i, 100, { parameterBytes: 1e6, savedBytes: 1e6 }),
    );
    const profile = evenProfile(3, 1);
    const devices = Array.from({ length: 10 }, (_, i) => fleetNode(`d${i}`, profile));
    const fast = evenProfile(3, 1e-3);
    const request = planRequest(
      segments,
      [edgeServer(fast, { memoryBytes: 100e6 }), ...devices],
      null,
    );
    expect(() => parallelSplit(request)).toThrow(
      /edge has 100 MB of memory, and its copies for 10 devices take .* copies that all of them share would take 4/,
    );
    const { reason } = parallelSplit(sharing(request));
    expect(reason).toMatch(
      /devices share one copy on edge, of 4\S+ MB instead of 4\S+ MB; 10 batches make an update/,
    );
    expect(parallelSplit(sharing(request, 1)).reason).toContain("; each batch updates it");
  });
});
