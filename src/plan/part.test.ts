import fc from "fast-check";
import { expect, test } from "vitest";
import { anyRequest } from "../../test/fleets.ts";
import { nodeId } from "../base/ids.ts";
import { checkPlan } from "./check.ts";
import { linkRate } from "./link-rate.ts";
import { parallelSplit } from "./parallel-split.ts";
import { partsOf } from "./part.ts";

test("a node's part of any plan is a plan with all that concerns the node, and no more", () => {
  fc.assert(
    fc.property(anyRequest(4, 5), (request) => {
      const plan = parallelSplit(request);
      const partOf = partsOf(plan);
      for (const { node } of plan.limits) {
        const part = partOf(node);
        checkPlan(part, request.segments.length);
        const own = plan.copies.filter((copy) => copy.node === node);
        expect(part.copies.filter((copy) => copy.node === node)).toEqual(own);
        for (const way of ["up", "down"] as const) {
          expect(linkRate(part, node, way)).toBe(linkRate(plan, node, way));
        }
        for (const { stages } of part.chains) {
          const copies = stages.map(({ copy }) => part.copies.find(({ id }) => id === copy));
          expect(copies.some((copy) => copy?.node === node)).toBe(true);
        }
        expect(part.chains.length).toBe(own.length);
      }
      expect(partOf(nodeId("nobody")).chains).toEqual([]);
    }),
  );
});
