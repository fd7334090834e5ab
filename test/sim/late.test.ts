/** Rounds that are committed by a quorum, and what becomes of the late. */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { Profile } from "../../src/plan/plan.ts";
import type { JobFields } from "../../src/run/job-fields.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

/** Probes take 8 s. The device c is as planned at first, and then many times slower. */
const slow: SimFault = { kind: "slow", node: "c", atMs: 10_000, forMs: 4000, factor: 8 };

const timesAsSlow = (profile: Profile, factor: number): Profile => ({
  ...profile,
  segments: profile.segments.map((time) => ({
    forwardMs: factor * time.forwardMs,
    backwardMs: factor * time.backwardMs,
    updateMs: factor * time.updateMs,
  })),
});

async function run(
  round: JobFields["round"],
  {
    rounds = 16,
    faults = [],
    updates = "float32",
  }: { rounds?: number; faults?: SimFault[]; updates?: string } = {},
) {
  const devices = ["a", "b", "c"].map((name) => ({ name, duty: 1 }));
  const job = smallJob({ round, rounds, codec: { updates }, fleet: { cellMbit: 10, devices } });
  const nodes = smallFleet(job).map((node) =>
    node.kind === "edge" ? node : { ...node, profile: timesAsSlow(node.profile, 50) },
  );
  const options = { job, model: smallModel(), nodes };
  const { records, files, end } = await simulate({
    ...{ ...options, faults: [slow, ...faults], engine: interpreterEngine },
    patienceMs: 60_000,
  });
  expect(end.reason).toBe("finished");
  const all = records.map(({ record }) => record);
  await expectReplayed(job, { records, files });
  const committed = all.flatMap((record) => (record.type === "round" ? [record] : []));
  return { all, committed, records };
}

describe("a device that becomes slow", () => {
  test("is waited for where nothing is said", async () => {
    const { committed } = await run({});
    expect(committed.every(({ participants }) => participants.length === 3)).toBe(true);
    expect(Math.max(...committed.map(({ ms }) => ms))).toBeGreaterThan(
      4 * present(committed[0], "").ms,
    );
  });

  test("R7: is dropped where a quorum is enough, comes back, and is not sent away", async () => {
    const { all, committed } = await run({ quorum: 0.6 });
    const without = committed.filter(({ participants }) => participants.length === 2);
    expect(without.length).toBeGreaterThan(2);
    expect(without[0]?.dropped[0]?.reason).toMatch(
      /^late: 2 of 3 chains were complete at the deadline, 2/,
    );
    expect(committed.at(-1)?.participants).toHaveLength(3);
    expect(all.some(({ type }) => type === "left")).toBe(false);
    const first = present(committed[0], "a round");
    for (const { ms } of committed) expect(ms).toBeLessThan(2 * first.ms);
  });

  test.each(["float32", "affine8"])(
    "R17: goes on where the job folds late parts in, and counts the less the later it is, by %s",
    async (updates) => {
      const { committed } = await run({ quorum: 0.6, late: "fold" }, { rounds: 20, updates });
      const folded = committed.flatMap((record) =>
        (record.folded ?? []).map((part) => ({ ...part, into: record.round })),
      );
      expect(folded.length).toBeGreaterThan(0);
      for (const { node, round, into, samples } of folded) {
        expect([node, samples]).toEqual(["c", shard(2).samples]);
        expect(into).toBeGreaterThan(round);
        // What it brings late it does not bring in time, and it begins no other round meanwhile.
        for (const record of committed.slice(round, into)) {
          expect(record.participants.map((one) => one.node)).not.toContain("c");
        }
      }
      expect(committed.at(-1)?.participants).toHaveLength(3);
    },
  );

  test("R17: leaves a run that its coordinator was lost to whole, whatever was late by then", async () => {
    const crash: SimFault = {
      ...{ kind: "crash", node: "coordinator", atMs: 12_500, forMs: 1000 },
      ...{ isSilent: false, losesDisk: false },
    };
    const { all, committed } = await run(
      { quorum: 0.6, late: "fold" },
      { rounds: 20, faults: [crash] },
    );
    expect(all.some(({ type }) => type === "resumed")).toBe(true);
    expect(committed.map(({ round }) => round)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});
