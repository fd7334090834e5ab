import { expect, it } from "vitest";
import { copyId, type NodeId, nodeId } from "../../base/ids.ts";
import { fullExchange } from "../../plan/exchange.ts";
import type { Plan } from "../../plan/plan.ts";
import { exchangedLines } from "./exchanged-lines.ts";

const [a, b, c] = ["a", "b", "c"].map((name) => nodeId(name)) as [NodeId, NodeId, NodeId];
const copyOf = (node: NodeId) => copyId(`copy:${node}`);
const pairs = [a, b, c].flatMap((from) =>
  [a, b, c].flatMap((to) =>
    from === to ? [] : [{ from: copyOf(from), to: copyOf(to), bytes: null }],
  ),
);
const plan = {
  copies: [a, b, c].map((node) => ({ id: copyOf(node), node, from: 0, to: 1, mode: "train" })),
  groups: [
    {
      ...{ members: [a, b, c].map(copyOf), policy: "average", when: "step" },
      exchange: { ...fullExchange, topology: pairs },
    },
  ],
} as unknown as Plan;

/** Two flows each way on lines of 100, 60 and 20: each has half of the slower of its two ends. */
const lineOf = new Map([
  [a, 100],
  [b, 60],
  [c, 20],
]);
const flow = (from: NodeId, to: NodeId) => ({
  bytesPerMs: Math.min(lineOf.get(from) ?? 0, lineOf.get(to) ?? 0) / 2,
  atMs: 50,
});

it("tells lines by their fastest flow, times as many as share it", () => {
  const lines = exchangedLines(plan, flow, 0);
  // Nobody takes more of the first line than the second carries.
  expect(lines.get(a)).toEqual({ up: 60, down: 60 });
  expect(lines.get(b)).toEqual({ up: 60, down: 60 });
  expect(lines.get(c)).toEqual({ up: 20, down: 20 });
});

it("leaves out what was measured before, and who has sent nothing since", () => {
  expect(exchangedLines(plan, flow, 51).size).toBe(0);
  const some = exchangedLines(plan, (from, to) => (from === c ? null : flow(from, to)), 50);
  expect([...some.keys()]).toEqual([a, b]);
  expect(some.get(a)).toEqual({ up: 60, down: 60 });
});
