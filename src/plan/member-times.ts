/** How long a node that trains the whole model takes for a batch and for an update. */
import type { FleetNode } from "./plan.ts";
import { heldMs } from "./program-time.ts";

/** A member of an exchange, and its times in milliseconds. */
export interface MemberTimes {
  readonly node: FleetNode;
  readonly batchMs: number;
  readonly updateMs: number;
}

/** @param segments of the model */
export function memberTimes(node: FleetNode, segments: number): MemberTimes {
  const { profile, duty } = node;
  const all = { from: 0, to: segments };
  return {
    node,
    batchMs: heldMs(profile, { kind: "step", ...all }, duty),
    updateMs: heldMs(profile, { kind: "update", ...all }, duty),
  };
}
