/** `edgeloom serve`: a coordinator and edge server for a job file. */
import { type Job, mbitOfBytesPerMs, type RunSummary } from "../../index.ts";
import {
  createRunFolder,
  defaultPort,
  loadHeldOut,
  loadModel,
  NativeEngine,
  type ReachOptions,
  type Serving,
  serve,
} from "../../nodejs.ts";
import { conclude, jsonOf } from "../conclusion.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile } from "../job-file.ts";
import { sayJoinLinks } from "../join-links.ts";
import { predictRound } from "../predict.ts";
import { RunReporter } from "../run-reporter.ts";
import { bold, fail, say } from "../terminal.ts";

export interface ServeFlags {
  readonly port?: number;
  readonly host?: string;
  readonly names?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly state?: string;
  readonly tokenDays: number;
  readonly runs: string;
  readonly json?: true;
  /** Unix time from which the run's time counts; the start of this process where absent. */
  readonly since?: number;
  /** The command that a person gave, where it was not this one. */
  readonly command?: string;
}

/** The flags that say from where the server is reached. */
function reachOf({ host, names, cert, key, state }: ServeFlags): ReachOptions {
  return {
    ...(host === undefined ? {} : { host }),
    ...(names === undefined ? {} : { names }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(state === undefined ? {} : { state }),
  };
}

/** What serve tells a parent process that asked for a channel. */
export interface Listening {
  readonly type: "listening";
  readonly url: string;
  readonly tokens: readonly string[];
  readonly folder: string;
}

export async function serveJob(path: string, flags: ServeFlags): Promise<void> {
  const startedAt = flags.since ?? performance.timeOrigin;
  const { job, text, folder } = readJobFile(path);
  const model = loadModel(job, folder);
  const test = loadHeldOut(job.data, folder);
  const runFolder = createRunFolder(flags.runs, job.name, text, new Date());
  const reporter = new RunReporter();
  let planned: RunSummary | null = null;
  const serving = await serve({
    job,
    model,
    folder: runFolder,
    test,
    engine: new NativeEngine({ threads: 1 }),
    port: flags.port ?? null,
    reach: reachOf(flags),
    tokenDays: flags.tokenDays,
    command: flags.command ?? `edgeloom serve ${path}`,
    startedAt,
    record(record, atMs) {
      reporter.tell({ record, atMs });
      if (record.type === "planned") planned ??= reporter.summary;
    },
  });
  if (flags.port === undefined && serving.port !== defaultPort) {
    say(`port ${defaultPort} is in use; listening on ${serving.port}`);
  }
  const stop = (): void => serving.interrupt("interrupted at the server");
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  process.on("disconnect", stop);
  announce(job, serving, runFolder.path);
  const end = await serving.ended;
  const wallMs = performance.timeOrigin + performance.now() - startedAt;
  // Only now: the simulator would hold up the coordinator, which runs in this thread.
  const predicted = planned === null ? null : await predictRound(job, model, planned);
  const { summary } = reporter;
  const conclusion = { summary, predicted, wallMs, folder: runFolder.path };
  if (end.reason === "failed") fail(end.text);
  conclude(conclusion);
  if (flags.json) say(JSON.stringify(jsonOf(conclusion)));
  process.exitCode = exitCodeOf(end.reason);
  if (process.connected) process.disconnect();
}

function announce(job: Job, serving: Serving, folder: string): void {
  const { url, pageUrl, tokens, fingerprint } = serving;
  say(`${bold("Watch it at")} ${pageUrl}`);
  if (fingerprint !== null) {
    say("Browsers trust it once its certificate authority is installed: docs/security.md");
  }
  const listening: Listening = { type: "listening", url, tokens, folder };
  if (process.send !== undefined) {
    process.send(listening);
    return;
  }
  say(
    `Waiting for ${tokens.length} device${tokens.length === 1 ? "" : "s"}. On each, with its own data:`,
  );
  job.fleet.devices.forEach((device, i) => {
    const { name, duty, ceilingBytesPerMs, memoryBytes } = device;
    const flags = [
      fingerprint === null ? "" : ` --ca ${fingerprint}`,
      duty === 1 ? "" : ` --duty ${duty}`,
      ceilingBytesPerMs === null ? "" : ` --ceiling ${mbitOfBytesPerMs(ceilingBytesPerMs)}`,
      memoryBytes === null ? "" : ` --memory ${memoryBytes / 1e6}`,
    ];
    say(`  edgeloom join ${url} --token ${tokens[i]} --name ${name}${flags.join("")} --data PATH`);
  });
  const names = job.fleet.devices.map(({ name }) => name);
  sayJoinLinks(serving, names);
  say();
}
