import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import type { DenseTensor } from "../../src/base/tensor.ts";
import type { Job } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { type SimulationResult, simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const run = (job: Job, faults: SimFault[] = [], nodes: SimNode[] = smallFleet(job)) =>
  simulate({ job, model: smallModel(), nodes, engine: interpreterEngine, faults });

const recordsOf = ({ records }: SimulationResult): RunRecord[] =>
  records.map(({ record }) => record);

const ofType = <T extends RunRecord["type"]>(result: SimulationResult, type: T) =>
  recordsOf(result).filter(
    (record): record is Extract<RunRecord, { type: T }> => record.type === type,
  );

const savedWeights = (result: SimulationResult): ReadonlyMap<string, DenseTensor> =>
  readSafetensors(present(result.files.get("weights.safetensors"), "saved weights")).tensors;

/** Virtual times at which the first two rounds were committed. */
function roundEnds({ records }: SimulationResult): [number, number] {
  const [first, second] = records.filter(({ record }) => record.type === "round");
  return [present(first, "a round").atMs, present(second, "a second round").atMs];
}

describe("a simulated run", () => {
  it.each([
    ["float32", "float32", "float32"],
    ["float16", "float16", "float16"],
    ["affine8", "affine4", "affine8"],
    ["affine4-stochastic", "affine8-stochastic", "affine4-stochastic"],
    ["topk10", "topk1", "affine4"],
    ["affine4+feedback", "topk10+feedback", "affine8-stochastic"],
  ])(
    "R8, R9: gives the weights of its single-process replay, bit for bit, with codecs %s, %s, %s",
    async (up, down, updates) => {
      const job = smallJob({ codec: { up, down, updates } });
      const result = await run(job);
      expect(result.end.reason).toBe("finished");
      expect(ofType(result, "round")).toHaveLength(job.rounds);
      await expectReplayed(job, result);
    },
  );

  it("is a function of its options: the same again gives the same records and weights", async () => {
    const [first, second] = [await run(smallJob()), await run(smallJob())];
    expect(second.records).toEqual(first.records);
    expect(savedWeights(second)).toEqual(savedWeights(first));
  });

  it("is left where it is when that is asked for, and has the same records up to there", async () => {
    const job = smallJob({ rounds: 3 });
    const options = { job, model: smallModel(), nodes: smallFleet(job), engine: nullEngine };
    const whole = await simulate(options);
    const [, second] = roundEnds(whole);
    const part = await simulate({ ...options, until: (nowMs) => nowMs >= second });
    expect(part.end.reason).toBe("interrupted");
    expect(part.records).toEqual(whole.records.slice(0, part.records.length));
    expect(ofType(part, "round")).toHaveLength(2);
  });

  it("learns: the loss falls and the classes are told apart", async () => {
    const result = await run(smallJob({ rounds: 12 }));
    const rounds = ofType(result, "round");
    const [first, last] = [present(rounds[0], "a round"), present(rounds.at(-1), "a round")];
    expect(last.loss).toBeLessThan(0.5 * (first.loss ?? Number.NaN));
    const final = present(ofType(result, "evaluation").at(-1), "an evaluation");
    expect(final.final).toBe(true);
    expect(final.samples).toBe(90);
    expect(final.accuracy).toBeGreaterThan(0.9);
  });

  it("leaves the last layers of every chain to the server", async () => {
    const result = await run(smallJob());
    const { plan } = present(ofType(result, "planned")[0], "a plan");
    for (const chain of plan.chains) {
      const last = plan.copies.find((copy) => copy.id === chain.stages.at(-1)?.copy);
      expect(last?.node).toBe("edge");
    }
  });

  it("holds each device to its duty, and says so", async () => {
    const result = await run(smallJob());
    for (const round of ofType(result, "round")) {
      for (const device of smallJob().fleet.devices) {
        const cost = present(
          round.nodes.find((node) => node.node === device.name),
          device.name,
        );
        expect(cost.dutyAchieved).toBeLessThanOrEqual(device.duty * 1.0001);
      }
    }
  });

  it("takes the same virtual time with the null engine, which computes nothing", async () => {
    const job = smallJob();
    const real = await run(job);
    const hollow = await simulate({
      job,
      model: smallModel(),
      nodes: smallFleet(job),
      engine: nullEngine,
    });
    const times = (result: SimulationResult) => ofType(result, "round").map((round) => round.ms);
    const close = times(hollow).map((ms, i) => ms / present(times(real)[i], "a round's time"));
    for (const ratio of close) expect(Math.abs(ratio - 1)).toBeLessThan(0.01);
    expect(ofType(hollow, "round")[0]?.loss).toBeNull();
    expect(hollow.files.has("weights.safetensors")).toBe(false);
  });
});

describe("a device that dies in mid-round", () => {
  it("R6: costs its own chain: the round and the run go on, under a new plan, and say so", async () => {
    const job = smallJob({ rounds: 6 });
    const [first, second] = roundEnds(await run(job));
    const result = await run(job, [
      { kind: "crash", node: "b", atMs: first + (second - first) / 4 },
    ]);
    expect(result.end.reason).toBe("finished");
    const rounds = ofType(result, "round");
    expect(rounds).toHaveLength(6);
    expect(rounds[1]?.dropped).toEqual([
      { chain: "chain:b", reason: expect.stringMatching(/^b left: /) },
    ]);
    expect(rounds[1]?.participants.map(({ node }) => node)).toEqual(["a", "c"]);
    expect(ofType(result, "left").map(({ node, round }) => [node, round])).toContainEqual(["b", 1]);
    const plans = ofType(result, "planned");
    expect(plans.map(({ plan, round }) => [plan.term, round])).toEqual([
      [1, 0],
      [2, 2],
    ]);
    expect(plans[1]?.reason).toBe("b left");
    await expectReplayed(job, result);
  });

  it("ends the run when it was the last one, with what was committed saved", async () => {
    const job = smallJob({ rounds: 6 });
    const [, second] = roundEnds(await run(job));
    const faults = job.fleet.devices.map(
      ({ name }): SimFault => ({ kind: "crash", node: name, atMs: second + 1 }),
    );
    const result = await run(job, faults);
    expect(result.end.reason).toBe("failed");
    expect(ofType(result, "round")).toHaveLength(2);
    await expectReplayed(job, result);
  });
});
