import { describe, expect, test } from "vitest";
import { evenProfile, fleetNode } from "../../test/fleets.ts";
import { nodeId } from "../base/ids.ts";
import type { SegmentCost } from "../compile/segment.ts";
import { decideMove, type Forecasted, movingMs } from "./replan.ts";

const of = (periodMs: number, latencyMs = 3 * periodMs): Forecasted => ({
  periodMs,
  latencyMs,
  homeMs: 100,
  roundMs: 100 * periodMs + 100,
});

const question = { now: of(100), next: of(50), batches: 100, movingMs: 1000, agreed: 0 };

describe("a move", () => {
  test("is made where it pays three times in a row", () => {
    let answer = decideMove(question);
    for (const agreed of [1, 2]) {
      expect(answer).toMatchObject({ decision: "stay", agreed });
      answer = decideMove({ ...question, agreed });
    }
    expect(answer).toMatchObject({ decision: "move", agreed: 0 });
    expect(answer.reason).toBe(
      "50 ms a batch instead of 100 ms, which saves 5.0 s over the next 100 batches and takes 1.3 s of moving",
    );
  });

  test.each([
    ["there are too few batches left", { batches: 20 }],
    ["what has to travel takes longer than is saved", { movingMs: 6000 }],
    ["the gain is small enough for noise", { next: of(90), movingMs: 0 }],
    ["the other plan is slower", { next: of(120) }],
    ["nobody knows how slow the other plan is", { next: of(Number.NaN) }],
  ])("is not made where %s", (_, change) => {
    const answer = decideMove({ ...question, ...change, agreed: 2 });
    expect(answer).toMatchObject({ decision: "stay", agreed: 0 });
    expect(answer.reason).toMatch(/^it would not pay/);
  });
});

describe("what moving takes", () => {
  const segments = [10, 20, 30, 40].map(
    (parameterBytes, index) =>
      ({ index, parameterBytes, stateBytes: parameterBytes }) as SegmentCost,
  );
  const copy = (node: string, from: number, to: number) => ({ node: nodeId(node), from, to });
  const nodes = ["phone", "near", "far"].map((name) =>
    fleetNode(name, evenProfile(4, 1), { coordinatorBytesPerMs: { up: 2, down: 4 } }),
  );
  const request = { segments, fleet: { nodes, links: [], cellBytesPerMs: null } };
  const now = [copy("phone", 0, 2), copy("near", 2, 4)];

  test("is nothing where everybody stays, and little where little moves", () => {
    expect(movingMs(now, now, request)).toBe(0);
    // All of the phone's 60 bytes come home with the 40 that its neighbour lacks.
    expect(movingMs(now, [copy("phone", 0, 1), copy("near", 1, 4)], request)).toBe(60 / 2 + 40 / 4);
  });

  test("is what the slowest waits for", () => {
    const next = [copy("phone", 0, 1), copy("near", 1, 3), copy("far", 3, 4)];
    expect(movingMs(now, next, request)).toBe(140 / 2 + 80 / 4);
  });

  test("takes what nobody holds from the coordinator", () => {
    expect(movingMs([], [copy("phone", 0, 4)], request)).toBe(200 / 4);
  });
});
