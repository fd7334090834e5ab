import fc from "fast-check";
import { expect, test } from "vitest";
import { anyRequest } from "../../test/fleets.ts";
import { PlanError } from "../base/errors.ts";
import { checkPlan } from "./check.ts";
import { linkRate } from "./link-rate.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { planParts } from "./plan-part.ts";

/** A plan for the request, or null where there is none. */
function planFor(request: PlanRequest): Plan | null {
  try {
    return parallelSplit(request);
  } catch (error) {
    if (error instanceof PlanError) return null;
    throw error;
  }
}

test("every node's part is a plan in itself, with all that concerns the node", () => {
  let seen = 0;
  fc.assert(
    fc.property(anyRequest(6, 4), (request) => {
      const plan = planFor(request);
      if (plan === null) return;
      seen++;
      const partOf = planParts(plan);
      for (const { id } of request.fleet.nodes) {
        const part = partOf(id);
        checkPlan(part, request.segments.length);
        expect(linkRate(part, id)).toBe(linkRate(plan, id));
        const own = (from: Plan) => from.copies.filter(({ node }) => node === id);
        expect(own(part)).toEqual(own(plan));
        expect(part.limits.filter(({ node }) => node === id)).toEqual(
          plan.limits.filter(({ node }) => node === id),
        );
        for (const { id: chain } of part.chains) {
          const of = (from: Plan) => from.links.filter((link) => link.chain === chain);
          expect(of(part)).toEqual(of(plan));
        }
      }
    }),
    { numRuns: 100 },
  );
  expect(seen).toBeGreaterThan(20);
});

test("a device's part does not grow with the fleet, and names no other device", () => {
  fc.assert(
    fc.property(anyRequest(6, 4), (request) => {
      const plan = planFor(request);
      if (plan === null) return;
      const device = plan.chains[0]?.source;
      if (device === undefined || plan.chains.length === 1) return;
      const part = planParts(plan)(device);
      expect(part.chains).toHaveLength(1);
      const others = plan.chains.slice(1).map(({ source }) => `"${source}"`);
      const text = JSON.stringify({ ...part, reason: "" });
      for (const other of others) expect(text).not.toContain(other);
    }),
    { numRuns: 100 },
  );
});
