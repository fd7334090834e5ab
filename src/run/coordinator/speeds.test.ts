import { describe, expect, test } from "vitest";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import type { Plan, Profile } from "../../plan/plan.ts";
import { Speeds } from "./speeds.ts";

const profile: Profile = {
  segments: [
    { forwardMs: 1, backwardMs: 2, updateMs: 1 },
    { forwardMs: 3, backwardMs: 6, updateMs: 1 },
    { forwardMs: 2, backwardMs: 4, updateMs: 0 },
  ],
  runMs: 0,
  callMs: 0.5,
};
const node = nodeId("phone");
const plan = {
  term: 1,
  copies: [
    { id: copyId("front"), node, from: 0, to: 2, mode: "train" },
    { id: copyId("back"), node: nodeId("server"), from: 2, to: 3, mode: "train" },
  ],
  chains: [
    {
      id: chainId("chain"),
      stages: [
        { copy: copyId("front"), backward: "stored" },
        { copy: copyId("back"), backward: "none" },
      ],
    },
  ],
} as unknown as Plan;
const phone = { id: node, profile, duty: 1 };

const told = (round: number, steps: number, ms: number, change: object = {}) => ({
  term: 1,
  round,
  copy: "front",
  steps,
  held: { forward: ms / 2, backward: ms / 2, update: 0, step: 0 },
  ...change,
});
const factorOf = (speeds: Speeds): number => speeds.now(node, profile).segments[0]?.forwardMs ?? 0;

describe("the speed of a node", () => {
  test("is as probed until batches tell otherwise", () => {
    expect(new Speeds({ accumulate: 1, recompute: false }).now(node, profile)).toEqual(profile);
  });

  test("follows what is told, half of the way each time, also within a round", () => {
    const speeds = new Speeds({ accumulate: 1, recompute: false });
    // Ten batches of (1 + 3) forward, (2 + 6) backward and 2 of update: 140 ms as probed.
    speeds.observe(plan, phone, told(0, 10, 140));
    expect(factorOf(speeds)).toBeCloseTo(1);
    speeds.observe(plan, phone, told(0, 20, 140 + 420));
    expect(factorOf(speeds)).toBeCloseTo(2);
    speeds.observe(plan, phone, told(1, 10, 420));
    expect(factorOf(speeds)).toBeCloseTo(2.5);
    expect(speeds.now(node, profile).callMs).toBe(0.5);
  });

  test("counts an update once for all batches that make it, and a replay as another forward pass", () => {
    const speeds = new Speeds({ accumulate: 2, recompute: false });
    speeds.observe(plan, phone, told(0, 10, 130));
    expect(factorOf(speeds)).toBeCloseTo(1);
    const [chain] = plan.chains;
    const stages = chain?.stages.map((stage, i) =>
      i > 0 ? stage : { ...stage, backward: "replay" },
    );
    const replayed = { ...plan, chains: [{ ...chain, stages }] } as Plan;
    speeds.observe(replayed, phone, told(1, 10, 170));
    expect(factorOf(speeds)).toBeCloseTo(1);
  });

  test("counts an update once for all batches that a shared copy merges", () => {
    const speeds = new Speeds({ accumulate: 2, recompute: false });
    const [chain] = plan.chains;
    const [front, back] = chain?.stages ?? [];
    const stages = [
      { ...front, merge: 5 },
      { ...back, merge: 5 },
    ];
    const shared = { ...plan, chains: [{ ...chain, stages }] } as Plan;
    // Ten batches of 12 ms make one update of 2 ms.
    speeds.observe(shared, phone, told(0, 10, 122));
    expect(factorOf(speeds)).toBeCloseTo(1);
    const server = { ...phone, id: nodeId("server") };
    const held = { forward: 0, backward: 0, update: 0, step: 60 };
    speeds.observe(shared, server, told(0, 10, 0, { copy: "back", held }));
    expect(speeds.now(server.id, profile)).toEqual(profile);
  });

  test("counts batches that have only gone forward for that", () => {
    const speeds = new Speeds({ accumulate: 1, recompute: false });
    // Ten whole batches and three passes of 4 ms.
    speeds.observe(plan, phone, told(0, 10, 152, { ahead: 3 }));
    expect(factorOf(speeds)).toBeCloseTo(1);
    speeds.observe(plan, phone, told(0, 13, 182));
    expect(factorOf(speeds)).toBeCloseTo(1);
  });

  test("is measured anew by a probe", () => {
    const speeds = new Speeds({ accumulate: 1, recompute: false });
    speeds.observe(plan, phone, told(0, 10, 280));
    speeds.probed(node);
    expect(factorOf(speeds)).toBe(1);
  });

  test.each([
    ["of another term", told(0, 10, 280, { term: 2 })],
    ["of a copy on another node", told(0, 10, 280, { copy: "back" })],
    ["of a copy that there is not", told(0, 10, 280, { copy: "other" })],
    ["by an engine that computes nothing", told(0, 10, 0)],
    ["before the first batch", told(0, 0, 280)],
  ])("is not told by anything %s", (_, message) => {
    const speeds = new Speeds({ accumulate: 1, recompute: false });
    speeds.observe(plan, phone, message);
    expect(factorOf(speeds)).toBe(1);
  });

  test("of a few segments with little work tells little of the others", () => {
    const speeds = new Speeds({ accumulate: 1, recompute: false });
    const small = { forwardMs: 0.1, backwardMs: 0.1, updateMs: 0 };
    const others = profile.segments.slice(1);
    const uneven = { ...profile, segments: [small, ...others] };
    const [front, back] = plan.copies;
    const copies = [
      { ...front, to: 1 },
      { ...back, from: 1 },
    ];
    const apart = { ...plan, copies } as unknown as Plan;
    // Ten times as slow as probed, twice: 1 + 4.5 + 2.25 after half of the way each time.
    for (const steps of [10, 20]) {
      speeds.observe(apart, { ...phone, profile: uneven }, told(0, steps, 2 * steps));
    }
    const now = speeds.now(node, uneven).segments;
    expect(now[0]?.forwardMs).toBeCloseTo(0.1 * 7.75, 6);
    const share = 0.2 / 16.2;
    expect(now[1]?.forwardMs).toBeCloseTo(3 * 7.75 ** (share / (share + 0.1)), 6);
  });
});
