/** `edgeloom serve`: a coordinator and edge server for a job file. */
import { type EnergyLimit, type Job, mbitOfBytesPerMs, type RunSummary } from "../../index.ts";
import {
  type AnnounceState,
  createRunFolder,
  defaultPort,
  loadHeldOut,
  loadModel,
  NativeEngine,
  type ReachOptions,
  type SampleSource,
  type Serving,
  serve,
} from "../../nodejs.ts";
import { conclude } from "../conclusion.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import { sayJoinLinks } from "../join-links.ts";
import { predictRound } from "../predict.ts";
import type { RunInput } from "../run-input.ts";
import { RunReporter } from "../run-reporter.ts";
import { keepSetting, type RunSetting } from "../run-setting.ts";
import { bold, say } from "../terminal.ts";

export interface ServeFlags {
  readonly port?: number;
  readonly host?: string;
  readonly announce: boolean;
  readonly names?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly state?: string;
  readonly tokenDays: number;
  /** Seconds. */
  readonly patience: number;
  /** Of the server's own edge server. */
  readonly duty: number;
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

/** A run that is to be served, new or gone on with. */
export interface ServeInput extends RunInput {
  /** Exactly this port, or null for the first free one. */
  readonly port: number | null;
  readonly reach: ReachOptions;
  /** Whether local networks are told, where others can reach it. */
  readonly announce: boolean;
  readonly tokenDays: number;
  readonly patienceMs: number;
  /** Training data, where this process is the device that holds them. */
  readonly samples?: SampleSource;
  /** Of the server's own edge server. */
  readonly duty: number;
}

export async function serveJob(path: string, flags: ServeFlags): Promise<void> {
  const { job, scenario, text, folder: jobFolder } = readJobFile(path);
  sayUnused(scenario, "serve (which takes the devices' names, duties, memory and rates)", []);
  await serveIn({
    job,
    jobFolder,
    model: loadModel(job, jobFolder),
    test: loadHeldOut(job.data, jobFolder),
    folder: createRunFolder(flags.runs, job.name, text, new Date()),
    startedAt: flags.since ?? performance.timeOrigin,
    command: flags.command ?? `edgeloom serve ${path}`,
    port: flags.port ?? null,
    reach: reachOf(flags),
    announce: flags.announce,
    tokenDays: flags.tokenDays,
    patienceMs: 1000 * flags.patience,
    duty: flags.duty,
    ...(flags.json === undefined ? {} : { json: flags.json }),
  });
}

/** Serves a run in its folder until it ends. */
export async function serveIn(input: ServeInput): Promise<void> {
  const { job, folder, model, test, startedAt, command, port, reach, announce } = input;
  const { tokenDays, patienceMs, duty, samples } = input;
  // A run that begins says how before it does; one that goes on has said so, and may fail to.
  if (folder.earlier === null) keepSetting(folder, settingOn(input, port));
  const reporter = new RunReporter();
  for (const { record } of folder.earlier?.records ?? []) reporter.recall(record);
  let planned: RunSummary | null = null;
  const serving = await serve({
    job,
    model,
    folder,
    test,
    engine: new NativeEngine({ threads: 1 }),
    duty,
    ...(samples === undefined ? {} : { train: samples }),
    port,
    reach,
    announce,
    onAnnounce: sayAnnounced,
    tokenDays,
    patienceMs,
    command,
    startedAt,
    record(record, atMs) {
      reporter.tell({ record, atMs });
      if (record.type === "planned") planned ??= reporter.summary;
    },
  });
  if (port === null && serving.port !== defaultPort) {
    say(`port ${defaultPort} is in use; listening on ${serving.port}`);
  }
  // Its devices come back to this port.
  keepSetting(folder, settingOn(input, serving.port));
  const stop = (): void => serving.interrupt("interrupted at the server");
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  process.on("disconnect", stop);
  sayHowToJoin(job, serving, folder.path);
  const end = await serving.ended;
  const wallMs = performance.timeOrigin + performance.now() - startedAt;
  // Only now: the simulator would hold up the coordinator, which runs in this thread.
  const predicted = planned === null ? null : await predictRound(job, model, planned);
  conclude(input, { end, summary: reporter.summary, predicted, wallMs });
  if (process.connected) process.disconnect();
}

/** How the run is served, at a port. */
function settingOn(input: ServeInput, port: number | null): RunSetting {
  const { jobFolder, startedAt, reach, announce, tokenDays, patienceMs, duty, samples } = input;
  const hasData = samples !== undefined;
  const names = [...(reach.names ?? [])];
  const reached = { port, announce, reach: { ...reach, names } };
  const serving = { ...reached, tokenDays, patienceMs, duty, hasData };
  return { command: "serve", jobFolder, startedAt, ...serving };
}

/** Says, each time that it changes, whether others find the server in the local network. */
function sayAnnounced(state: AnnounceState): void {
  switch (state.kind) {
    case "announced":
      return say(`In the local network it is "${state.label}"; join --discover finds it there`);
    case "silent":
      return say(`In the local network it is not announced: ${state.text}`);
  }
}

function sayHowToJoin(job: Job, serving: Serving, folder: string): void {
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
  if (tokens.length === 0) return announceServers(folder);
  say(
    `Waiting for ${tokens.length} device${tokens.length === 1 ? "" : "s"}. On each, with its own data:`,
  );
  job.fleet.devices.forEach((device, i) => {
    const { name, duty, ceilingBytesPerMs, memoryBytes, energy } = device;
    const columns = job.parties?.[i];
    const flags = [
      columns === undefined ? "" : ` --columns ${columns}`,
      fingerprint === null ? "" : ` --ca ${fingerprint}`,
      duty === 1 ? "" : ` --duty ${duty}`,
      ceilingBytesPerMs === null ? "" : ` --ceiling ${mbitOfBytesPerMs(ceilingBytesPerMs)}`,
      memoryBytes === null ? "" : ` --memory ${memoryBytes / 1e6}`,
      energy === undefined ? "" : ` --energy ${energyText(energy)}`,
    ];
    say(`  edgeloom join ${url} --token ${tokens[i]} --name ${name}${flags.join("")} --data PATH`);
  });
  const names = job.fleet.devices.map(({ name }) => name);
  sayJoinLinks(serving, names);
  if (job.planner === "pipeline") announceServers(folder);
  else say();
}

/** As `join --energy` takes it. */
const energyText = ({ computeWatts, joulesPerByte, joulesPerRound }: EnergyLimit): string =>
  [computeWatts, Number((joulesPerByte * 1e6).toPrecision(12)), joulesPerRound].join(",");

function announceServers(folder: string): void {
  say("Edge servers may join at any time; a join line for one:");
  say(`  edgeloom tokens ${folder} --add edge`);
  say();
}
