/** What a plan lets travel between a node and the rest of its chains. */
import type { NodeId } from "../base/ids.ts";
import type { LinkPlan, Plan } from "./plan.ts";

/**
 * A node's rate, in bytes per millisecond: the shares of the chains that begin at it, together. The node
 * keeps to its rate up, who sends to it to its rate down. Null where nothing limits it. What goes back to a chain's
 * source keeps to the rate down of that.
 */
export function linkRate(plan: Plan, node: NodeId, way: "up" | "down"): number | null {
  const isBack = ({ chain, to }: LinkPlan): boolean =>
    plan.chains.some(({ id, source }) => id === chain && source === to);
  const shares = plan.links
    .filter((link) => link.from === node && !isBack(link))
    .map(({ bytesPerMs, backBytesPerMs = bytesPerMs }) =>
      way === "up" ? bytesPerMs : backBytesPerMs,
    );
  if (shares.length === 0) return null;
  let total = 0;
  for (const share of shares) {
    if (share === null) return null;
    total += share;
  }
  return total;
}
