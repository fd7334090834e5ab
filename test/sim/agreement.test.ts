/** Copies that agree at a round's end by other policies than the average, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const names = ["a", "b", "c", "d", "e"];
const fleet = { cellMbit: null, devices: names.map((name) => ({ name })) };

/** The weights that a run saves, which are those of its replay. */
async function agreed(change: object) {
  const job = smallJob({ fleet, rounds: 2, ...change });
  const options = { model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine };
  const result = await simulate({ job, ...options });
  expect(result.end.text).toBe("2 rounds");
  return await expectReplayed(job, result);
}

/** Chains that end on the device where they began. */
const atHome: object = { split: { labels: "at-home" } };

describe("copies agree at a round's end", () => {
  it.each([
    ["the median", "federated-averaging", { kind: "median" }],
    [
      "the trimmed mean, clipped",
      "federated-averaging",
      { kind: "trimmed-mean", liars: 1, clip: 0.2 },
    ],
    ["Krum", "federated-averaging", { kind: "krum", liars: 1 }],
    ["Krum over split chains", "parallel-split", { kind: "krum", liars: 1 }],
    ["the median over three stages", "parallel-split", { kind: "median" }, atHome],
    ["clipped parts", "splitfed", { clip: 0.1 }],
    ["the median, and exchanges too", "micro-clouds", { kind: "median" }],
  ])("by %s, as their replay does, bit for bit", async (_what, planner, join, more = {}) => {
    const tensors = await agreed({ planner, round: { join }, ...more });
    // Who exchanges all they compute has agreed by then.
    if (planner === "micro-clouds") return;
    expect(tensors).not.toEqual(await agreed({ planner, ...more }));
  });

  it("and codes what comes home as ever", async () => {
    const join = { kind: "median", clip: 0.3 };
    const job = { planner: "federated-averaging", codec: { updates: "affine8" }, round: { join } };
    await agreed(job);
  });
});
