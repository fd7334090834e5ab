/** `edgeloom train`: a job in one process. */
import { parse, stringify } from "yaml";
import type { Job } from "../../index.ts";
import { defaultTokenDays } from "../../nodejs/default-token-days.ts";
import { createRunFolder, loadHeldOut, loadModel, loadTraining, train } from "../../nodejs.ts";
import { parseScenario } from "../../sim.ts";
import { conclude } from "../conclusion.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import type { RunInput } from "../run-input.ts";
import { RunReporter } from "../run-reporter.ts";
import { keepSetting } from "../run-setting.ts";
import { serveIn } from "./serve.ts";

export interface TrainFlags {
  readonly planner: "local" | "pipeline";
  readonly host?: string;
  readonly announce: boolean;
  readonly port?: number;
  readonly duty: number;
  readonly runs: string;
  readonly threads: number;
  readonly json?: true;
}

/** A run that is to be trained here, new or gone on with. */
export interface TrainInput extends RunInput {
  /** Training data. */
  readonly samples: ReturnType<typeof loadTraining>;
  readonly threads: number;
}

export async function trainJob(path: string, flags: TrainFlags): Promise<void> {
  if (flags.planner === "pipeline") return trainWithServers(path, flags);
  const { job, scenario, text, folder: jobFolder } = readJobFile(path);
  sayUnused(scenario, "train", []);
  await trainIn({
    ...newRun({ job, jobFolder, text }, flags),
    command: `edgeloom train ${path}`,
    threads: flags.threads,
  });
}

/** Trains with this process as the device that holds the data, and with edge servers that join it. */
async function trainWithServers(path: string, flags: TrainFlags): Promise<void> {
  const { text: asked, folder: jobFolder } = readJobFile(path);
  const rest = parse(asked);
  // The run's own job file says what is trained, so that it can be resumed from there.
  const fleet = { devices: [{ name: "local", duty: flags.duty }] };
  const text = stringify({ ...rest, planner: "pipeline", fleet });
  const { job } = parseScenario(parse(text));
  await serveIn({
    ...newRun({ job, jobFolder, text }, flags),
    command: `edgeloom train ${path} --planner pipeline`,
    port: flags.port ?? null,
    reach: flags.host === undefined ? {} : { host: flags.host },
    announce: flags.announce,
    tokenDays: defaultTokenDays,
    patienceMs: 600_000,
    duty: flags.duty,
  });
}

/** A run that begins: its data are read before its folder is made, so that wrong ones leave none behind. */
const newRun = (
  { job, jobFolder, text }: { job: Job; jobFolder: string; text: string },
  { runs, json }: TrainFlags,
) => ({
  job,
  jobFolder,
  model: loadModel(job, jobFolder),
  samples: loadTraining(job.data, jobFolder),
  test: loadHeldOut(job.data, jobFolder),
  folder: createRunFolder(runs, job.name, text, new Date()),
  startedAt: performance.timeOrigin,
  ...(json === undefined ? {} : { json }),
});

/** Trains a run in its folder until it ends. */
export async function trainIn(input: TrainInput): Promise<void> {
  const { job, jobFolder, folder, model, samples, test, startedAt, command, threads } = input;
  keepSetting(folder, { command: "train", jobFolder, startedAt, threads });
  const reporter = new RunReporter();
  for (const { record } of folder.earlier?.records ?? []) reporter.recall(record);
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort());
  process.on("SIGTERM", () => stop.abort());
  const { end } = await train({
    job,
    model,
    train: samples,
    test,
    threads,
    folder,
    command,
    startedAt,
    signal: stop.signal,
    record: (record, atMs) => reporter.tell({ record, atMs }),
  });
  const wallMs = performance.timeOrigin + performance.now() - startedAt;
  conclude(input, { end, summary: reporter.summary, predicted: null, wallMs });
}
