/** What any planner owes to any request, however odd. */
import { expect } from "vitest";
import { PlanError } from "../src/base/errors.ts";
import { checkPlan } from "../src/plan/check.ts";
import type { Plan, Planner, PlanRequest } from "../src/plan/plan.ts";

/** @returns a plan that holds together, the same each time; why there is none where the planner says so */
export function soundPlan(planner: Planner, request: PlanRequest): Plan | PlanError {
  let plan: Plan;
  try {
    plan = planner(request);
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    return error;
  }
  const taken = request.segments.map(({ columns = [] }) => columns);
  const { fleet } = request;
  checkPlan(plan, request.segments.length, fleet, { taken, nodes: fleet.nodes });
  expect(planner(structuredClone(request))).toEqual(plan);
  return plan;
}
