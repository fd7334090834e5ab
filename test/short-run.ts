/**
 * One short run over real processes, sockets and the native engine: an edge
 * server and three devices, one of which is there to be killed in mid-round.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../src/base/assert.ts";
import { partition } from "../src/nodejs.ts";
import { type Running, start } from "./nodejs/processes.ts";

export const shortJob = {
  name: "short",
  model: "lenet5",
  data: "mnist",
  batch: 16,
  rounds: 12,
  localBatches: 8,
  codec: { up: "float16", down: "float16" },
  evaluate: { every: 100 },
  fleet: {
    cellMbit: 200,
    devices: [
      { name: "quick", duty: 1 },
      { name: "slow", duty: 0.25 },
      { name: "doomed", duty: 0.5 },
    ],
  },
};

export interface ShortRun {
  readonly server: Running;
  /** Address of the page, with its token. */
  readonly pageUrl: string;
  /** Folder of all runs. */
  readonly runs: string;
  /** By name of the device. */
  readonly shards: ReadonlyMap<string, string>;
  readonly devices: ReadonlyMap<string, Running>;
  /** Starts every device with its shard. */
  join(): Promise<void>;
  /** Kills the doomed device in its fourth round. */
  killDoomed(): Promise<void>;
  /** Ends whatever still runs. */
  end(): void;
}

/** Starts the server of a short run in `folder`; `join` then starts its devices. */
export async function serveShortRun(folder: string, change: object = {}): Promise<ShortRun> {
  const jobFile = join(folder, "job.yaml");
  const runs = join(folder, "runs");
  writeFileSync(jobFile, JSON.stringify({ ...shortJob, ...change }));
  const parts = partition("mnist", { parts: 3, out: join(folder, "shards"), alpha: 0.5, seed: 7 });
  const shards = new Map(
    shortJob.fleet.devices.map(({ name }, i) => [name, present(parts[i], "a shard").folder]),
  );
  const devices = new Map<string, Running>();
  const limitMs = 110_000;
  const server = start(["serve", jobFile, "--runs", runs, "--json"], limitMs);
  const [, pageUrl = ""] = await server.says(/Watch it at (\S+)/);
  return {
    server,
    pageUrl,
    runs,
    shards,
    devices,
    async join() {
      for (const { name, duty } of shortJob.fleet.devices) {
        const line = new RegExp(`join (ws://\\S+) --token (\\S+) --name ${name} `);
        const [, url = "", token = ""] = await server.says(line);
        const args = ["join", url, "--token", token, "--name", name, "--duty", String(duty)];
        devices.set(name, start([...args, "--data", present(shards.get(name), name)], limitMs));
      }
    },
    async killDoomed() {
      const doomed = present(devices.get("doomed"), "a device that has joined");
      await doomed.says(/round 4/);
      doomed.child.kill("SIGKILL");
    },
    end() {
      for (const { child } of [server, ...devices.values()]) child.kill("SIGKILL");
    },
  };
}
