/** Rounds in which each device trains batches in proportion to its samples. */
import { expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { JobFields } from "../../src/run/job-fields.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

async function run(round: JobFields["round"], rounds: number, faults: SimFault[] = []) {
  const job = smallJob({ round, rounds, localBatches: 7 });
  const { records, files, end } = await simulate({
    ...{ job, model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine },
    ...{ faults, patienceMs: 60_000 },
  });
  expect(end.reason).toBe("finished");
  const all = records.map(({ record }) => record);
  const sources = new Map(job.fleet.devices.map((device, i) => [device.name, shard(i)]));
  /** The batches that a run must have drawn, in order, by device. */
  const drawn = new Map<string, number[]>();
  const samplesOf = (node: string) => {
    const source = present(sources.get(node), node);
    return Object.assign(Object.create(source), {
      batch: (key: Parameters<typeof source.batch>[0]) => {
        drawn.set(node, [...(drawn.get(node) ?? []), key.step]);
        return source.batch(key);
      },
    });
  };
  await expectReplayed(job, { records, files }, { samplesOf });
  return { all, drawn };
}

test("each device trains its share of the batches, and the replay computes the same", async () => {
  const { all, drawn } = await run({ batches: "proportional" }, 6);
  const plan = all.find((record) => record.type === "planned")?.plan;
  // 40, 70 and 100 samples, and 7 batches of each on average.
  expect(plan?.chains.map(({ work }) => work)).toEqual([4, 7, 10]);
  expect(["a", "b", "c"].map((node) => drawn.get(node)?.length)).toEqual([24, 42, 60]);
});

test.each(["equal", "proportional"] as const)(
  "no batch is left out or drawn twice where a device is away for some rounds (%s)",
  async (batches) => {
    const away: SimFault = {
      ...{ kind: "crash", node: "c", atMs: 600, forMs: 3000 },
      ...{ isSilent: false, losesDisk: false },
    };
    const { all, drawn } = await run({ batches }, 14, [away]);
    expect(all.some(({ type }) => type === "left")).toBe(true);
    const works = all.flatMap((record) =>
      record.type === "planned" ? [record.plan.chains.map(({ work }) => work)] : [],
    );
    if (batches === "proportional") expect(new Set(works.map(String)).size).toBeGreaterThan(1);
    for (const steps of drawn.values()) expect(steps).toEqual(steps.map((_, i) => i));
  },
);
