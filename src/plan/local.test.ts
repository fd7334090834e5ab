import { expect, test } from "vitest";
import { edgeServer, evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { PlanError } from "../base/errors.ts";
import { checkPlan } from "./check.ts";
import { local } from "./local.ts";

const segments = [0, 1, 2].map((i) =>
  segmentCost(i, 10, { parameterBytes: 100, stateBytes: 50, savedBytes: 30 }),
);
const profile = evenProfile(3, 4, 1);
const holder = fleetNode("laptop", profile, { duty: 0.5 });

test("local trains all segments on the node that holds the data", () => {
  const request = planRequest(segments, [edgeServer(profile), holder], null, { work: 5 });
  const plan = local(request);
  checkPlan(plan, 3, request.fleet);
  expect(plan.copies).toEqual([
    { id: "copy:laptop", node: "laptop", from: 0, to: 3, mode: "train" },
  ]);
  expect(plan.chains[0]?.stages).toEqual([{ copy: "copy:laptop", backward: "none" }]);
  expect(plan.links).toEqual([]);
  // Five batches of 3 x 4 ms and 1 ms for the call, at half speed.
  expect(plan.forecasts[0]?.roundMs).toBe((5 * 13) / 0.5);
});

test("local refuses a fleet with no data, with data in two places, and too little memory", () => {
  const plan = (...nodes: Parameters<typeof planRequest>[1]) =>
    local(planRequest(segments, nodes, null));
  expect(() => plan({ ...holder, samples: 0 })).toThrow(PlanError);
  expect(() => plan(holder, fleetNode("phone", profile))).toThrow(/2 hold data \(laptop, phone\)/);
  // 35 MB of the session and 3 x (3 x (100 + 50) + 30)
  expect(() => plan({ ...holder, memoryBytes: 35_001_439 })).toThrow(/35.0 MB of memory/);
  expect(plan({ ...holder, memoryBytes: 35_001_440 }).copies).toHaveLength(1);
});
