/**
 * `edgeloom demo`: the first thing a newcomer runs. It is a job file and the
 * commands that anybody could type: partition, serve, and a join per device.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { mbitOfBytesPerMs, parseJob } from "../../index.ts";
import { partition } from "../../nodejs.ts";
import { demoJob } from "../demo-job.ts";
import { exitCodes } from "../exit.ts";
import { fail, say } from "../terminal.ts";
import type { Listening } from "./serve.ts";

export interface DemoFlags {
  readonly seed: number;
  readonly port?: number;
  readonly runs: string;
  readonly json?: true;
}

/** The command line itself, as it was started. */
const entry = process.argv[1] ?? "";

export async function demo(flags: DemoFlags): Promise<void> {
  const job = { ...demoJob, seed: flags.seed };
  const { fleet, partition: split } = parseJob(job);
  const folder = mkdtempSync(join(tmpdir(), "edgeloom-demo-"));
  const children: ChildProcess[] = [];
  const start = (args: readonly string[], withChannel: boolean): ChildProcess => {
    // A group of its own: Ctrl-C reaches this process alone, which tells the others in order.
    const child = spawn(process.execPath, [entry, ...args], {
      detached: true,
      stdio: withChannel
        ? ["ignore", "inherit", "inherit", "ipc"]
        : ["ignore", "ignore", "inherit"],
    });
    children.push(child);
    return child;
  };
  const stopAll = (): void => {
    for (const child of children) if (child.exitCode === null) child.kill("SIGTERM");
  };
  try {
    const jobFile = join(folder, "job.yaml");
    writeFileSync(jobFile, stringify(job));
    const server = start(serveArguments(jobFile, flags), true);
    const isOver = exited(server);
    const stop = (): void => {
      server.kill("SIGINT");
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
    say("Splitting MNIST into a private shard per device ...");
    const shards = partition("mnist", {
      parts: fleet.devices.length,
      out: join(folder, "shards"),
      alpha: split.alpha,
      seed: flags.seed,
    });
    const listening = await Promise.race([listeningOf(server), isOver.then(() => null)]);
    if (listening !== null) {
      fleet.devices.forEach((device, i) => {
        const args = ["join", listening.url, "--quiet", "--name", device.name];
        args.push("--token", listening.tokens[i] ?? "", "--data", shards[i]?.folder ?? "");
        args.push("--duty", String(device.duty), "--patience", "10");
        if (device.ceilingBytesPerMs !== null) {
          args.push("--ceiling", String(mbitOfBytesPerMs(device.ceilingBytesPerMs)));
        }
        start(args, false);
      });
    }
    const { code, signal } = await isOver;
    if (signal !== null)
      fail(`the server was ended by ${signal}; its run folder holds what was trained`);
    process.exitCode = code ?? exitCodes.failed;
    await settle(children);
  } finally {
    stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function serveArguments(jobFile: string, flags: DemoFlags): string[] {
  const args = ["serve", jobFile, "--runs", flags.runs];
  args.push("--since", String(Math.round(performance.timeOrigin)));
  if (flags.port !== undefined) args.push("--port", String(flags.port));
  if (flags.json) args.push("--json");
  args.push("--command", `edgeloom demo --seed ${flags.seed}`);
  return args;
}

const exited = (child: ChildProcess): Promise<{ code: number | null; signal: string | null }> =>
  new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));

const listeningOf = (child: ChildProcess): Promise<Listening> =>
  new Promise((resolve) => child.once("message", (message) => resolve(message as Listening)));

/** Gives the devices a moment to read the server's farewell before they are told to go. */
function settle(children: readonly ChildProcess[]): Promise<unknown> {
  const all = Promise.all(
    children.map((child) =>
      child.exitCode === null && child.signalCode === null ? exited(child) : null,
    ),
  );
  return Promise.race([all, sleep(3000, null, { ref: false })]);
}
