/** What planners ask of a request before they plan for it. */
import { PlanError } from "../base/errors.ts";
import { formatRate } from "../base/units.ts";
import type { SegmentCost } from "../compile/segment.ts";
import type { FleetNode, PlanRequest } from "./plan.ts";

/** @throws PlanError when there is no work, or the node's profile, duty or link makes no sense */
export function checkNode({ segments, work }: PlanRequest, node: FleetNode): void {
  const { profile, duty, ceilingBytesPerMs } = node;
  if (!(work >= 1)) throw new PlanError(`batches per round: got ${work}; allowed: 1 or more`);
  if (profile.segments.length !== segments.length) {
    throw new PlanError(
      `${node.name} profiled ${profile.segments.length} segments, the model has ${segments.length}`,
    );
  }
  if (!(duty > 0 && duty <= 1)) {
    throw new PlanError(`${node.name} has a duty of ${duty}; allowed: above 0, at most 1`);
  }
  if (ceilingBytesPerMs !== null && !(ceilingBytesPerMs > 0)) {
    throw new PlanError(
      `${node.name} has a link of ${formatRate(ceilingBytesPerMs)}; nothing can travel`,
    );
  }
}

/**
 * The first cut behind a trained segment; null where there is none. A device that is not alone
 * keeps the segments before it: without a trained one, features would be its raw data in
 * another shape, and raw data stay at home.
 */
export function firstCut(segments: readonly SegmentCost[]): number | null {
  const firstTrained = segments.findIndex(({ parameterBytes }) => parameterBytes > 0);
  return firstTrained >= 0 && firstTrained + 1 < segments.length ? firstTrained + 1 : null;
}
