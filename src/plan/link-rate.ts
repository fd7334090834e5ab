/** What a plan lets travel between a node and the rest of its chains. */
import type { NodeId } from "../base/ids.ts";
import type { Plan } from "./plan.ts";

/**
 * A node's rate each way, in bytes per millisecond: the shares of the chains that
 * begin at it, together. Both ends pace by it. Null where nothing limits it.
 */
export function linkRate(plan: Plan, node: NodeId): number | null {
  const shares = plan.links.filter((link) => link.from === node).map((link) => link.bytesPerMs);
  if (shares.length === 0) return null;
  let total = 0;
  for (const share of shares) {
    if (share === null) return null;
    total += share;
  }
  return total;
}
