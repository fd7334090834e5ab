/** Jobs in `examples/tasks`, and the two machines that benchmarks train them on. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  type Job,
  loadHeldOut,
  loadParty,
  loadTraining,
  type Profile,
  parseJob,
  scaledProfile,
} from "edgeloom";
import type { SimNode } from "edgeloom/sim";
import { parse } from "yaml";

/** What a run has of its own, whatever the task's file says. */
export interface TaskChange {
  readonly seed: number;
  readonly rounds?: number;
}

/** The job of a task's file. */
export function taskJob(name: string, change: TaskChange): Job {
  const file = path.join(import.meta.dirname, "../examples/tasks", `${name}.yaml`);
  return parseJob({ ...parse(readFileSync(file, "utf8")), ...change });
}

/** The device is so much slower than the cloud, which is as fast as a core of this machine. */
const slowness = 10;
const link = { bytesPerMs: 3000, latencyMs: 10 };

/** Both in words. */
export const deviceAndCloud =
  `a device ${slowness} times slower than the cloud, which is a core of this machine, or two such devices that are parties; ` +
  `a link of ${link.bytesPerMs / 1000} MB/s and ${link.latencyMs} ms each way`;

/**
 * A device with the job's training samples, or one for each party with its columns of them, and a cloud with the held-out ones.
 * @param profile how fast a core of this machine is
 * @param data the folder with packages of data
 */
export function machinesOf(job: Job, profile: Profile, data: string): SimNode[] {
  const wire = {
    upBytesPerMs: link.bytesPerMs,
    downBytesPerMs: link.bytesPerMs,
    ...{ jitterMs: 0, loss: 0, cell: null },
  };
  const machine = { duty: 1, memoryBytes: null, latencyMs: link.latencyMs / 2, wire };
  const ceilingBytesPerMs = link.bytesPerMs;
  return [
    ...job.fleet.devices.map(({ name }, i): SimNode => {
      const columns = job.parties?.[i];
      return {
        ...machine,
        ...{ name, kind: "device", ceilingBytesPerMs },
        profile: scaledProfile(profile, (ms) => slowness * ms),
        train: columns === undefined ? loadTraining(job.data, data) : loadParty(job, columns, data),
        test: null,
      };
    }),
    {
      ...machine,
      ...{ name: "cloud", kind: "cloud", ceilingBytesPerMs, profile },
      train: null,
      test: loadHeldOut(job.data, data),
    },
  ];
}
