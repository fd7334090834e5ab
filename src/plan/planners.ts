/** Every planner by the name that a job file gives it. A new scheme is one entry. */
import { local } from "./local.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { Planner } from "./plan.ts";

export const planners = {
  "parallel-split": parallelSplit,
  local,
} as const satisfies Record<string, Planner>;

export type PlannerName = keyof typeof planners;
export const plannerNames = Object.keys(planners) as PlannerName[];
