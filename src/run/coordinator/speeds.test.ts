import { describe, expect, test } from "vitest";
import { copyId, nodeId } from "../../base/ids.ts";
import type { Plan, Profile } from "../../plan/plan.ts";
import type { ContributionMessage } from "../wire/messages.ts";
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
const copies = [
  { id: copyId("front"), node, from: 0, to: 2, mode: "train" as const },
  { id: copyId("back"), node: nodeId("server"), from: 2, to: 3, mode: "train" as const },
];
const plan = { copies } as unknown as Plan;

const cost = (ms: number) => ({
  node,
  message: {
    copy: "front",
    steps: 10,
    held: { forward: ms / 2, backward: ms / 2, update: 0, step: 0 },
  } as unknown as ContributionMessage,
});
const probed = () => ({ profile, duty: 1 });
const factorOf = (speeds: Speeds): number =>
  (speeds.now(node, profile).segments[0]?.forwardMs ?? 0) / 1;

describe("the speed of a node", () => {
  test("is as probed until a round tells otherwise", () => {
    expect(new Speeds().now(node, profile)).toEqual(profile);
  });

  test("follows the rounds, half of the way each time", () => {
    const speeds = new Speeds();
    // Ten batches of (1 + 3) forward, (2 + 6) backward and 2 of update: 140 ms as probed.
    speeds.observe(plan, [cost(140)], probed, 1);
    expect(factorOf(speeds)).toBeCloseTo(1);
    speeds.observe(plan, [cost(420)], probed, 1);
    expect(factorOf(speeds)).toBeCloseTo(2);
    speeds.observe(plan, [cost(420)], probed, 1);
    expect(factorOf(speeds)).toBeCloseTo(2.5);
    expect(speeds.now(node, profile).callMs).toBe(0.5);
  });

  test("counts an update once for all batches that make it", () => {
    const speeds = new Speeds();
    speeds.observe(plan, [cost(130)], probed, 2);
    expect(factorOf(speeds)).toBeCloseTo(1);
  });

  test("is measured anew by a probe, and not by null engines", () => {
    const speeds = new Speeds();
    speeds.observe(plan, [cost(280)], probed, 1);
    speeds.probed(node);
    expect(factorOf(speeds)).toBe(1);
    speeds.observe(plan, [cost(0)], probed, 1);
    expect(factorOf(speeds)).toBe(1);
    speeds.observe(plan, [cost(280)], () => undefined, 1);
    expect(factorOf(speeds)).toBe(1);
  });
});
