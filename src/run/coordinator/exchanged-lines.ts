/**
 * What the own lines of members of an exchange carry, by what their parts have achieved: all members send at once, so a
 * flow is a line's share for one of as many as its ends have neighbours. The fastest flow of a line
 * tells what it carries; slower ones tell of the lines at their other ends.
 */
import type { NodeId } from "../../base/ids.ts";
import type { FleetNode, Plan } from "../../plan/plan.ts";
import type { Rate } from "./ways.ts";

type Line = NonNullable<FleetNode["lineBytesPerMs"]>;

/**
 * @param rate what one way between two nodes has achieved last
 * @param sinceMs what was measured before says nothing of the lines as they are
 * @returns lines of which both ways are known
 */
export function exchangedLines(
  { groups, copies }: Pick<Plan, "groups" | "copies">,
  rate: (from: NodeId, to: NodeId) => Rate | null,
  sinceMs: number,
): Map<NodeId, Line> {
  const nodeOf = new Map(copies.map(({ id, node }) => [id, node]));
  const edges = groups.flatMap(({ exchange }) =>
    (exchange?.topology ?? []).flatMap(({ from, to }) => {
      const [sender, receiver] = [nodeOf.get(from), nodeOf.get(to)];
      return sender === undefined || receiver === undefined ? [] : [{ sender, receiver }];
    }),
  );
  const flows = { up: new Map<NodeId, number>(), down: new Map<NodeId, number>() };
  for (const { sender, receiver } of edges) {
    flows.up.set(sender, (flows.up.get(sender) ?? 0) + 1);
    flows.down.set(receiver, (flows.down.get(receiver) ?? 0) + 1);
  }
  const lines = { up: new Map<NodeId, number>(), down: new Map<NodeId, number>() };
  for (const { sender, receiver } of edges) {
    const seen = rate(sender, receiver);
    if (seen === null || seen.atMs < sinceMs) continue;
    for (const [way, node] of [
      ["up", sender],
      ["down", receiver],
    ] as const) {
      const carried = seen.bytesPerMs * (flows[way].get(node) ?? 1);
      lines[way].set(node, Math.max(lines[way].get(node) ?? 0, carried));
    }
  }
  return new Map(
    [...lines.up].flatMap(([node, up]): [NodeId, Line][] => {
      const down = lines.down.get(node);
      return down === undefined ? [] : [[node, { up, down }]];
    }),
  );
}
