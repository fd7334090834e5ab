/** What is trained travels home as rounded differences: runs are those of their logs all the same, and learn as well. */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { nodeId } from "../../src/base/ids.ts";
import { Sequential } from "../../src/models/layers.ts";
import { homeSums } from "../../src/plan/home-bytes.ts";
import type { PlanRequest } from "../../src/plan/plan.ts";
import { CompiledJob } from "../../src/run/coordinator/compiled-job.ts";
import type { RoundCommitted } from "../../src/run/metrics/record.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";
import { train } from "./three-nodes.ts";

const coded = { codec: { updates: "affine8" } };
const optimizer = { learningRate: 0.05, momentum: 0.9 };

describe("R18: a pipeline whose updates are coded", () => {
  test.each(["window", "gpipe", "1f1b"] as const)("is its replay's under %s", async (schedule) => {
    const window = schedule === "window" ? 2 : 0;
    const { weights } = await train({ schedule, window }, { ...coded, optimizer });
    const whole = await train({ schedule, window }, { optimizer });
    // Other bits, so that something has been rounded at all.
    expect([...weights.values()]).not.toEqual([...whole.weights.values()]);
  });

  test.each(["stored", "replay"] as const)("moves, with a backward of %s", async (backward) => {
    const faults = [60, 160, 260].map(
      (atMs) => ({ kind: "crash", node: "spare", atMs, forMs: 40 }) as const,
    );
    const cutsOf = ({ term }: PlanRequest): readonly number[] => [
      ...[0, 1 + (term % 2), 4 - (term % 3), 5],
    ];
    const way = { schedule: "window", window: 2, backward, cutsOf } as const;
    const { records, rounds } = await train(way, { ...coded, optimizer, rounds: 6 }, faults);
    const cuts = records.flatMap((one) =>
      one.type === "planned" ? [one.plan.copies.map(({ from }) => from).join()] : [],
    );
    expect(new Set(cuts).size).toBeGreaterThan(2);
    expect(rounds).toHaveLength(6);
  });

  test("loses nothing but a round when a server in the middle is lost and comes back", async () => {
    const fault = { kind: "crash", node: "near", atMs: 150, forMs: 500 } as const;
    const way = { schedule: "window", window: 2 } as const;
    const { rounds } = await train(way, { ...coded, optimizer }, [fault]);
    expect(rounds.map(({ round }) => round)).toEqual([0, 1, 2, 3]);
  });
});

describe("R18: chains whose copies are averaged", () => {
  const outcome = async (change: object) => {
    const job = smallJob({ rounds: 12, ...change });
    const nodes = smallFleet(job);
    const result = await simulate({ job, model: smallModel(), nodes, engine: interpreterEngine });
    const records = result.records.map(({ record }) => record);
    const last = records.findLast((one) => one.type === "evaluation");
    return present(last, "an evaluation").accuracy ?? 0;
  };

  test.each([{}, { optimizer: { kind: "adam", learningRate: 0.01 } }])(
    "learn as well by coded updates: %o",
    async (change) => {
      const whole = await outcome(change);
      const rounded = await outcome({ ...change, ...coded });
      expect(whole).toBeGreaterThan(0.9);
      expect(rounded).toBeGreaterThan(whole - 0.02);
    },
  );
});

test("R18: updates in 8 bits are about a quarter of what they are whole, as planners are told", async () => {
  const model = new Sequential("large", [12], 3).linear("fc1", 300).linear("fc2", 200).model();
  const sent = async (change: object) => {
    const job = smallJob({ planner: "federated-averaging", ...change });
    const segments = 2;
    const nodes = smallFleet(job).map((node) => {
      const profile = { ...node.profile, segments: node.profile.segments.slice(0, segments) };
      return { ...node, profile };
    });
    const { records } = await simulate({ job, model, nodes, engine: nullEngine });
    const rounds = records.flatMap(({ record }): RoundCommitted[] =>
      record.type === "round" ? [record] : [],
    );
    const device = rounds[1]?.nodes.find(({ node }) => node === "a");
    const compiled = new CompiledJob(job, model);
    const [first] = nodes;
    const request = compiled.planRequest(1, [
      { ...present(first, "a node"), id: nodeId("a"), samples: 1 },
    ]);
    return { bytes: present(device, "device a").bytesUp, told: homeSums(request)[segments] ?? 0 };
  };
  const [whole, rounded] = [await sent({}), await sent(coded)];
  expect(rounded.told / whole.told).toBeGreaterThan(0.25);
  expect(rounded.told / whole.told).toBeLessThan(0.28);
  for (const { bytes, told } of [whole, rounded]) {
    // Beside tensors there are headers, heartbeats and acknowledgements.
    expect(bytes).toBeGreaterThan(told);
    expect(bytes).toBeLessThan(told + 12_000);
  }
});
