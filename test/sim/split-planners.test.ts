/** Workers carry out the plans of every scheme that splits in parallel, and one process computes the same. */
import { describe, expect, test } from "vitest";
import type { PlannerName } from "../../src/plan/planners.ts";
import type { JobFields } from "../../src/run/job-fields.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const schemes: [name: PlannerName, split: JobFields["split"], stages: number[]][] = [
  ["federated-averaging", {}, [1, 1, 1]],
  ["splitfed", {}, [2, 2, 2]],
  ["per-device-cut", {}, [2, 2, 2]],
  ["alternating-split", {}, [2, 2, 2]],
  // The fast device keeps all, the slow ones do not.
  ["parallel-split", { mayKeepAll: true }, [1, 2, 2]],
  ["parallel-split", { mayShareFreely: true }, [2, 2, 2]],
  ["parallel-split", { cutMin: 3 }, [2, 2, 2]],
  ["parallel-split", { up: ["float32", "affine8"], down: ["float32", "float16"] }, [2, 2, 2]],
];

describe("a run under each scheme that splits in parallel", () => {
  test.each(schemes)("%s", async (name, split, stages) => {
    const job = smallJob({ planner: name, split, rounds: 2 });
    const { records, files, end } = await simulate({
      ...{ job, model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine },
    });
    expect(end.reason).toBe("finished");
    const all = records.map(({ record }) => record);
    const planned = all.find((record) => record.type === "planned");
    expect(planned?.plan.planner).toBe(name);
    expect(planned?.plan.chains.map((chain) => chain.stages.length)).toEqual(stages);
    const kept = planned?.plan.copies.filter(({ from }) => from === 0) ?? [];
    for (const { to } of kept) expect(to).toBeGreaterThanOrEqual(split?.cutMin ?? 1);
    expect(all.filter((record) => record.type === "round")).toHaveLength(2);

    await expectReplayed(job, { records, files });
  });
});

test("a floor that the model is too small for is refused before anybody joins", async () => {
  const run = (split: JobFields["split"]) => {
    const job = smallJob({ split });
    return simulate({ job, model: smallModel(), nodes: smallFleet(job), engine: nullEngine });
  };
  const many = { cutMin: 40 };
  await expect(run(many)).rejects.toThrow(
    /split\.cutMin: got 40; allowed: 1 to \d+: the model has \d+ segments, and without/,
  );
  await expect(run({ ...many, mayKeepAll: true })).rejects.toThrow(
    /split\.cutMin: got 40; allowed: 1 to \d+: the model has \d+ segments$/,
  );
});

test("a device that may spend little keeps fewer segments, and one that may spend nothing none", async () => {
  const job = smallJob({ rounds: 1, split: { mayKeepAll: true } });
  const run = (joulesPerRound: number) => {
    const energy = { computeWatts: 1000, joulesPerByte: 0, joulesPerRound };
    const nodes = smallFleet(job).map((node) => (node.name === "a" ? { ...node, energy } : node));
    return simulate({ job, model: smallModel(), nodes, engine: nullEngine });
  };
  const cutOf = ({ records }: Awaited<ReturnType<typeof run>>) =>
    records
      .flatMap(({ record }) => (record.type === "planned" ? record.plan.copies : []))
      .find(({ id }) => id === "copy:a")?.to;
  expect(cutOf(await run(1e6))).toBe(5);
  expect(cutOf(await run(15))).toBe(1);
  expect((await run(0.001)).end.text).toMatch(
    /a may spend \S+ J a round; the cut that takes the least/,
  );
});
