import { describe, expect, test } from "vitest";
import { edgeServer, evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { PlanError } from "../base/errors.ts";
import { chainId, copyId, nodeId } from "../base/ids.ts";
import { checkPlan } from "./check.ts";
import { parallelSplit } from "./parallel-split.ts";
import { partsOf } from "./part.ts";
import type { ChainPlan, CopyPlan, Plan, StagePlan } from "./plan.ts";

const profile = evenProfile(4, 1);
const slow = evenProfile(4, 50);
const segments = [100, 50, 20, 10].map((values, i) => segmentCost(i, values));

/** Two devices with cut 1 and one with cut 2 share what the server trains. */
function shared(): Plan {
  const request = planRequest(
    segments,
    [edgeServer(profile), ...["a", "b", "c"].map((name) => fleetNode(name, slow))],
    null,
    { work: 3, split: { serverCopies: "shared", cutMin: 1, merge: 2 } },
  );
  const plan = parallelSplit(request);
  const [a, b, c] = ["a", "b", "c"].map((name, i): ChainPlan => {
    const stages: StagePlan[] = [
      { copy: copyId(`copy:${name}`), backward: "stored" },
      ...(i < 2 ? [{ copy: copyId("copy:edge:1-2"), backward: "stored", merge: 2 } as const] : []),
      { copy: copyId("copy:edge:2-4"), backward: "none", merge: 2 },
    ];
    const [id, source] = [chainId(`chain:${name}`), nodeId(name)];
    return { id, source, stages, schedule: "serial", window: 0, work: 3 };
  }) as [ChainPlan, ChainPlan, ChainPlan];
  const copies = [
    ["copy:a", "a", 0, 1],
    ["copy:b", "b", 0, 1],
    ["copy:c", "c", 0, 2],
    ["copy:edge:1-2", "edge", 1, 2],
    ["copy:edge:2-4", "edge", 2, 4],
  ].map(([id, node, from, to]) => ({ id, node, from, to, mode: "train" }) as CopyPlan);
  const members = copies.map(({ id }) => id);
  return {
    ...plan,
    copies,
    chains: [a, b, c],
    groups: [{ members, policy: "average", when: "round" }],
  };
}

/** The plan with stages of a chain changed. */
function changed(chain: number, change: (stage: StagePlan, i: number) => StagePlan): Plan {
  const plan = shared();
  const chains = plan.chains.map((own, i) =>
    i === chain ? { ...own, stages: own.stages.map(change) } : own,
  );
  return { ...plan, chains };
}

test("a plan whose chains come into shared copies at different cuts passes, and so do its parts", () => {
  const plan = shared();
  checkPlan(plan, 4);
  const partOf = partsOf(plan);
  for (const node of ["a", "b", "c", "edge"]) {
    const part = partOf(nodeId(node));
    checkPlan(part, 4);
    const own = plan.copies.filter((copy) => copy.node === node);
    expect(part.copies.filter((copy) => copy.node === node)).toEqual(own);
  }
  expect(partOf(nodeId("edge")).chains).toHaveLength(3);
});

describe("a plan is refused whose shared copies", () => {
  test.each<[string, () => Plan, string]>([
    [
      "agree by the median",
      () => {
        const plan = shared();
        return { ...plan, groups: plan.groups.map((group) => ({ ...group, policy: "median" })) };
      },
      "copies that chains share have no voice of their own, and are to agree by median",
    ],
    [
      "are a stage of their own in one chain",
      () => {
        const plan = changed(2, ({ copy, backward }) => ({ copy, backward }));
        return { ...plan, chains: plan.chains.toReversed() };
      },
      "copy:edge:2-4 merges, but not in chain:c",
    ],
    [
      "merge by two numbers",
      () => changed(2, (stage, i) => (i === 1 ? { ...stage, merge: 3 } : stage)),
      "merges by 2 batches, and by 3",
    ],
    [
      "merge nothing",
      () => changed(0, (stage, i) => (i > 0 ? { ...stage, merge: 0 } : stage)),
      "merges 0 batches",
    ],
    [
      "are followed by one that does not merge",
      () => changed(0, ({ merge, ...stage }, i) => (i === 1 ? { ...stage, merge: 2 } : stage)),
      "copy:edge:2-4 of chain:a merges undefined batches",
    ],
    [
      "go back by replay",
      () => changed(0, (stage, i) => (i === 1 ? { ...stage, backward: "replay" } : stage)),
      'merges with backward "replay"',
    ],
    [
      "begin where the data is",
      () => changed(2, (stage) => ({ ...stage, merge: 2 })),
      "chain:c merges where its data is",
    ],
    [
      "serve several batches at once",
      () => {
        const plan = shared();
        const chains = plan.chains.map((chain) => ({ ...chain, schedule: "gpipe" as const }));
        return { ...plan, chains };
      },
      "merges with the schedule gpipe",
    ],
    [
      "are on two nodes",
      () => {
        const plan = shared();
        const copies = plan.copies.map((copy) =>
          copy.id === "copy:edge:1-2" ? { ...copy, node: nodeId("c") } : copy,
        );
        return { ...plan, copies };
      },
      "copy:edge:2-4 merges on two nodes",
    ],
    [
      "lead to two ends",
      () => {
        const plan = shared();
        const other = { ...(plan.copies[4] as CopyPlan), id: copyId("copy:other") };
        const [a, b, c] = plan.chains as [ChainPlan, ChainPlan, ChainPlan];
        const stages = b.stages.map((stage, i) => (i === 2 ? { ...stage, copy: other.id } : stage));
        return { ...plan, copies: [...plan.copies, other], chains: [a, { ...b, stages }, c] };
      },
      "copy:edge:1-2 leads to two ends",
    ],
    [
      "have more turns than a message tells",
      () => {
        const plan = shared();
        return { ...plan, chains: plan.chains.map((chain) => ({ ...chain, work: 20_000 })) };
      },
      "copy:edge:2-4 has 60000 batches a round; allowed: up to 50000",
    ],
  ])("%s", (_, plan, words) => {
    expect(() => checkPlan(plan(), 4)).toThrow(PlanError);
    expect(() => checkPlan(plan(), 4)).toThrow(words);
  });
});
