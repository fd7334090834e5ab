import { describe, expect, it } from "vitest";
import type { NodeId } from "../../base/ids.ts";
import type { Plan } from "../../plan/plan.ts";
import { introductions, type Reachability } from "./introductions.ts";

/** A plan of chains through these nodes; a copy for each stage. */
function planOf(...chains: string[][]): Plan {
  const copies = chains.flatMap((nodes, i) =>
    nodes.map((node, stage) => ({ id: `copy ${i} ${stage}`, node })),
  );
  return {
    copies,
    chains: chains.map((nodes, i) => ({
      stages: nodes.map((_, stage) => ({ copy: `copy ${i} ${stage}` })),
    })),
    groups: [],
  } as unknown as Plan;
}

const fingerprint = "f".repeat(43);
const silent: Reachability = { address: null, dials: true, machine: "m" };
const listening: Reachability = { ...silent, address: { url: "wss://x/peer", fingerprint } };
const local: Reachability = { ...silent, address: { url: "ws://x/peer", fingerprint: null } };

/** Who is told to dial whom, and who waits for whom: "a > edge" and "edge < a". */
function told(plan: Plan, members: Record<string, Reachability>): string[] {
  let drawn = 0;
  const memberOf = (node: NodeId) => members[node];
  const made = introductions(plan, memberOf, () => `secret ${drawn++}`);
  return [...made].flatMap(([node, all]) =>
    all.map((one) => `${node} ${one.address === null ? "<" : ">"} ${one.node}, ${one.secret}`),
  );
}

describe("introductions", () => {
  it("D1: are made for each pair of neighbours once, with a secret of its own", () => {
    const plan = planOf(["a", "edge"], ["b", "edge"], ["a", "edge"]);
    expect(told(plan, { a: silent, b: silent, edge: listening })).toEqual([
      "a > edge, secret 0",
      "edge < a, secret 0",
      "edge < b, secret 1",
      "b > edge, secret 1",
    ]);
  });

  it("D1: prefer that the node after the border listens", () => {
    const plan = planOf(["a", "b", "edge"]);
    expect(told(plan, { a: listening, b: listening, edge: silent })).toEqual([
      "a > b, secret 0",
      "b < a, secret 0",
      "b < edge, secret 1",
      "edge > b, secret 1",
    ]);
  });

  it.each<[string, Record<string, Reachability>]>([
    ["where neither can be reached", { a: silent, edge: silent }],
    ["where one is not there", { edge: listening }],
    ["where the one that would dial cannot", { a: { ...silent, dials: false }, edge: listening }],
    ["across machines without encryption", { a: { ...silent, machine: "n" }, edge: local }],
  ])("D1: are not made %s", (_where, members) => {
    expect(told(planOf(["a", "edge"]), members)).toEqual([]);
  });

  it("D1: need no encryption on one machine, and no dialling by who listens", () => {
    expect(told(planOf(["a", "edge"]), { a: silent, edge: local })).toHaveLength(2);
    const page = { ...silent, dials: false };
    expect(told(planOf(["a", "edge"]), { a: page, edge: { ...listening, dials: true } })).toEqual(
      [],
    );
    expect(
      told(planOf(["a", "edge"]), { a: { ...listening, dials: false }, edge: silent }),
    ).toEqual(["edge > a, secret 0", "a < edge, secret 0"]);
  });

  it("are made for no node with itself", () => {
    expect(told(planOf(["a", "a", "edge"]), { a: listening, edge: listening })).toHaveLength(2);
    expect(told(planOf(["a"]), { a: listening })).toEqual([]);
  });
});
