/** Copies that agree at a round's end by other policies than the average, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { replay } from "../../src/sim/replay.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

const names = ["a", "b", "c", "d", "e"];
const fleet = { cellMbit: null, devices: names.map((name) => ({ name })) };

async function run(change: object) {
  const job = smallJob({ fleet, rounds: 2, ...change });
  const options = { model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine };
  const { end, records, files } = await simulate({ job, ...options });
  expect(end.text).toBe("2 rounds");
  const { tensors } = readSafetensors(present(files.get("weights.safetensors"), "weights"));
  const replayed = await replay({
    ...{ job, model: smallModel(), engine: interpreterEngine() },
    samplesOf: (node) => shard(names.indexOf(node)),
    records: records.map(({ record }) => record),
  });
  return { tensors, replayed };
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
    const { tensors, replayed } = await run({ planner, round: { join }, ...more });
    for (const [name, { data }] of tensors) expect(data, name).toEqual(replayed.get(name)?.data);
    // Who exchanges all they compute has agreed by then.
    if (planner === "micro-clouds") return;
    expect(tensors).not.toEqual((await run({ planner, ...more })).tensors);
  });

  it("and codes what comes home as ever", async () => {
    const join = { kind: "median", clip: 0.3 };
    const job = { planner: "federated-averaging", codec: { updates: "affine8" }, round: { join } };
    const { tensors, replayed } = await run(job);
    for (const [name, { data }] of tensors) expect(data, name).toEqual(replayed.get(name)?.data);
  });
});
