/** Vanilla split learning: who trains when, that weights are handed on, and what is left when a device goes. */
import { describe, expect, test } from "vitest";
import { RunFold } from "../../src/run/metrics/summary.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { type SimulationResult, simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const job = smallJob({ planner: "sequential-split", rounds: 2 });
const run = (faults: readonly SimFault[] = []) =>
  simulate({ job, model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine, faults });

const roundsOf = ({ records }: SimulationResult) =>
  records.flatMap(({ atMs, record }) => (record.type === "round" ? [{ atMs, ...record }] : []));
const sourcesOf = (result: SimulationResult): string[][] =>
  roundsOf(result).map(({ participants }) => participants.map(({ node }) => node));

describe("a run of vanilla split learning", () => {
  test("R23: gives each device rounds of its own, as many as the job has, and averages nothing", async () => {
    const result = await run();
    expect(result.end.text).toBe("6 rounds");
    expect(sourcesOf(result)).toEqual([["a"], ["b"], ["c"], ["a"], ["b"], ["c"]]);
    expect(roundsOf(result).map(({ phases }) => phases)).toEqual([3, 3, 3, 3, 3, 3]);
    expect(roundsOf(result).flatMap(({ dropped }) => dropped)).toEqual([]);
    await expectReplayed(job, result);
  });

  test("is told to take as many rounds as it does, from the first one on", async () => {
    const fold = new RunFold();
    const asked = new Set<number>();
    for (const { record } of (await run()).records) {
      fold.add(record);
      if (record.type === "round") asked.add(fold.summary.roundsAsked);
    }
    expect([...asked]).toEqual([6]);
  });

  test("goes on with the others where a device is lost in its round, and where in another's", async () => {
    const [first, second] = roundsOf(await run());
    const middle = ((first?.atMs ?? 0) + (second?.atMs ?? 0)) / 2;
    for (const node of ["b", "a"]) {
      const result = await run([{ kind: "crash", node, atMs: middle }]);
      expect(result.end.reason).toBe("finished");
      const after = sourcesOf(result).slice(2).flat();
      expect(after).not.toContain(node);
      expect(new Set(after).size).toBe(2);
      await expectReplayed(job, result);
    }
  });
});
