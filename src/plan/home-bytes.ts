/** What a round brings home, as far as plans reckon with it. */
import type { PlanRequest } from "./plan.ts";
import { sumsOf } from "./program-time.ts";

/** All that trained tensors depend on. */
type Costs = Pick<PlanRequest, "segments" | "homeBytes">;

/** Bytes of parameters and optimizer state of the segments before each, as they are. */
export const stateSums = ({ segments }: Costs): Float64Array =>
  sumsOf(segments.map((cost) => cost.parameterBytes + cost.stateBytes));

/** Bytes of the same as a round brings them home. */
export const homeSums = (costs: Costs): Float64Array =>
  costs.homeBytes ? sumsOf(costs.homeBytes) : stateSums(costs);

/** Whether rounds bring differences home, so that nodes keep what they began with. */
export const keepsBase = ({ homeBytes }: Costs): boolean => homeBytes != null;
