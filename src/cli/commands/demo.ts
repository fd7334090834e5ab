/**
 * `edgeloom demo`: the first thing a newcomer runs. It is a job file and the
 * commands that anybody could type: partition, serve, and a join per device.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { InputError, mbitOfBytesPerMs } from "../../index.ts";
import { partition } from "../../nodejs.ts";
import { parseScenario } from "../../sim.ts";
import { demoJob } from "../demo-job.ts";
import { exitCodes } from "../exit.ts";
import { readJobFile } from "../job-file.ts";
import { fail, say } from "../terminal.ts";
import type { Listening } from "./serve.ts";

export interface DemoFlags {
  /** Seed of the job where absent. */
  readonly seed?: number;
  readonly port?: number;
  readonly runs: string;
  readonly json?: true;
}

/** The command line itself, as it was started. */
const entry = process.argv[1] ?? "";

/** @param path a job or scenario to train in place of the demo's own */
export async function demo(path: string | undefined, flags: DemoFlags): Promise<void> {
  const job = path === undefined ? demoJob : fieldsOf(path);
  const seed = flags.seed === undefined ? {} : { seed: flags.seed };
  const { fleet, partition: split, seed: drawn } = parseScenario({ ...job, ...seed }).job;
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
    writeFileSync(jobFile, stringify({ ...job, ...seed }));
    const command = `edgeloom demo${path === undefined ? "" : ` ${path}`} --seed ${drawn}`;
    const server = start(serveArguments(jobFile, command, flags), true);
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
      seed: drawn,
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

/** The fields of a job or scenario that the demo can train: on MNIST, which it splits into shards. */
function fieldsOf(path: string): object {
  const { job, text } = readJobFile(path);
  if (job.data === "mnist" && !job.model.endsWith(".onnx")) return parse(text);
  const received = job.data === "mnist" ? `model: ${job.model}` : JSON.stringify(job.data);
  const allowed = "a job with a built-in model and data: mnist; serve and join take any";
  throw new InputError({ what: "job of the demo", received, allowed, where: path });
}

function serveArguments(jobFile: string, command: string, flags: DemoFlags): string[] {
  const args = ["serve", jobFile, "--runs", flags.runs];
  args.push("--since", String(Math.round(performance.timeOrigin)));
  if (flags.port !== undefined) args.push("--port", String(flags.port));
  if (flags.json) args.push("--json");
  args.push("--command", command);
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
