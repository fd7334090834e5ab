/** Workers carry out the plans of every scheme that splits in parallel, and one process computes the same. */
import { describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { parallelSplit } from "../../src/plan/parallel-split.ts";
import type { Planner } from "../../src/plan/plan.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { replay } from "../../src/sim/replay.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

const schemes: [name: string, planner: Planner | null, stages: number[]][] = [
  ["federated-averaging", null, [1, 1, 1]],
  ["splitfed", null, [2, 2, 2]],
  ["per-device-cut", null, [2, 2, 2]],
  ["alternating-split", null, [2, 2, 2]],
  // The fast device keeps all, the slow ones do not.
  [
    "parallel-split",
    (request) => parallelSplit({ ...request, split: { mayKeepAll: true } }),
    [1, 2, 2],
  ],
  [
    "parallel-split",
    (request) => parallelSplit({ ...request, split: { mayShareFreely: true } }),
    [2, 2, 2],
  ],
];

describe("a run under each scheme that splits in parallel", () => {
  test.each(schemes)("%s", async (name, planner, stages) => {
    const job = smallJob({ planner: name, rounds: 2 });
    const { records, files, end } = await simulate({
      ...{ job, model: smallModel(), nodes: smallFleet(job), engine: interpreterEngine },
      ...(planner === null ? {} : { planner }),
    });
    expect(end.reason).toBe("finished");
    const all = records.map(({ record }) => record);
    const planned = all.find((record) => record.type === "planned");
    expect(planned?.plan.planner).toBe(name);
    expect(planned?.plan.chains.map((chain) => chain.stages.length)).toEqual(stages);
    expect(all.filter((record) => record.type === "round")).toHaveLength(2);

    const sources = new Map(job.fleet.devices.map((device, i) => [device.name, shard(i)]));
    const expected = await replay({
      ...{ job, model: smallModel(), records: all, engine: interpreterEngine() },
      samplesOf: (node) => present(sources.get(node), node),
    });
    const saved = readSafetensors(present(files.get("weights.safetensors"), "saved weights"));
    for (const [tensor, value] of saved.tensors) {
      expect(value.data, tensor).toEqual(present(expected.get(tensor), tensor).data);
    }
  });
});
