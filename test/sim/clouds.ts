import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import type { DenseTensor } from "../../src/base/tensor.ts";
import type { Job } from "../../src/run/job.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { Simulation, type SimulationOptions } from "../../src/sim/simulate.ts";
import { expectReplayed as expectRunReplayed } from "./replayed.ts";
import { shard, smallFleet, smallJob, smallModel } from "./small-job.ts";

/** Parts of compute, as in the paper's processor cluster. */
export const parts = [24, 24, 12, 12, 4, 4];
export const names = ["a", "b", "c", "d", "e", "f"];

export const all = { every: 1, select: "all" };

export const cloudJob = (change: object = {}): Job =>
  smallJob({
    planner: "micro-clouds",
    optimizer: { learningRate: 0.1, momentum: 0.9, weightDecay: 0.001, accumulate: 4 },
    batch: 4,
    localBatches: 12,
    fleet: {
      cellMbit: null,
      devices: parts.map((part, i) => ({ name: names[i], duty: part / 24, ceilingMbit: 1 })),
    },
    ...change,
  });

export const cloudFleet = (job: Job) =>
  smallFleet(job).map((node) => ({ ...node, reachable: node.kind === "device" }));

export async function run(job: Job, change: Partial<SimulationOptions> = {}) {
  const simulation = new Simulation({
    ...{ job, model: smallModel(), nodes: cloudFleet(job), engine: interpreterEngine },
    patienceMs: 60_000,
    ...change,
  });
  await simulation.run();
  const { end, records, files, virtualMs } = simulation.result();
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  return { job, end, records, of, files, virtualMs };
}
export type Ran = Awaited<ReturnType<typeof run>>;

export const saved = ({ files }: Ran): ReadonlyMap<string, DenseTensor> =>
  readSafetensors(present(files.get("weights.safetensors"), "weights")).tensors;

export const sourceOf = (node: string) => shard(names.indexOf(node));

/** What was saved is what one process computes from the log. */
export const expectReplayed = (ran: Ran, model = smallModel()) =>
  expectRunReplayed(ran.job, ran, { model });

export const straightBytes = ({ of }: Ran): number =>
  of("round")
    .flatMap(({ nodes }) => nodes)
    .reduce((sum, { bytesStraight }) => sum + bytesStraight, 0);

export const accuracyOf = ({ of }: Ran): number =>
  present(of("evaluation").at(-1)?.accuracy, "accuracy");
