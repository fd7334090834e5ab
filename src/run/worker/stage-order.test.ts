import { describe, expect, test } from "vitest";
import { present } from "../../base/assert.ts";
import { chainId, copyId, nodeId } from "../../base/ids.ts";
import type { ChainPlan } from "../../plan/plan.ts";
import { nextPass, stageOrder } from "./stage-order.ts";

const chain = (schedule: ChainPlan["schedule"], window = 0): ChainPlan => ({
  id: chainId("chain:a"),
  source: nodeId("a"),
  stages: [0, 1, 2].map((i) => ({ copy: copyId(`${i}`), backward: i < 2 ? "stored" : "none" })),
  schedule,
  window,
  work: 8,
});

/** The passes of stage 0 where each gradient comes back so many forward passes later. */
function passesOf(of: ChainPlan, stage: number, lag: number): string {
  const order = stageOrder(of, stage, 4);
  let [passes, forward, backward] = ["", 0, 0];
  while (backward < of.work) {
    const standing = { forward, backward, hasFeature: forward < of.work };
    const late = { ...standing, hasGradient: forward - backward >= lag };
    // What waits for its gradient with nothing else to do gets it in the end.
    const pass =
      nextPass(order, late) ??
      present(nextPass(order, { ...late, hasGradient: forward > backward }), "a pass to take");
    if (pass === "forward") forward++;
    else backward++;
    passes += pass === "forward" ? "F" : "B";
  }
  return passes;
}

describe("a stage's order", () => {
  test.each([
    ["serial", chain("serial"), 0, 1, "FBFBFBFBFBFBFBFB"],
    [
      "GPipe: all batches of an update forward, then back",
      chain("gpipe"),
      0,
      1,
      "FFFFBBBBFFFFBBBB",
    ],
    ["1F1B at the source: three stages, three batches", chain("1f1b"), 0, 3, "FFFBFBBBFFFBFBBB"],
    ["1F1B one stage further", chain("1f1b"), 1, 2, "FFBFBFBBFFBFBFBB"],
    ["a window goes on over updates", chain("window", 2), 0, 3, "FFFBFBFBFBFBFBBB"],
    ["a window where gradients come at once", chain("window", 2), 0, 1, "FBFBFBFBFBFBFBFB"],
  ])("%s", (_, of, stage, lag, passes) => {
    expect(passesOf(of, stage, lag)).toBe(passes);
  });
});
