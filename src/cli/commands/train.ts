/** `edgeloom train`: a job in one process. */
import type { Job } from "../../index.ts";
import {
  createRunFolder,
  loadHeldOut,
  loadModel,
  loadTraining,
  type Model,
  type RunFolder,
  train,
} from "../../nodejs.ts";
import { conclude, jsonOf } from "../conclusion.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import { RunReporter } from "../run-reporter.ts";
import { keepSetting } from "../run-setting.ts";
import { fail, say } from "../terminal.ts";

export interface TrainFlags {
  readonly runs: string;
  readonly threads: number;
  readonly json?: true;
}

/** A run that is to be trained here, new or gone on with. */
export interface TrainInput {
  readonly job: Job;
  /** Folder that paths in the job are relative to. */
  readonly jobFolder: string;
  readonly folder: RunFolder;
  readonly model: Model;
  /** Unix time in milliseconds from which the run's time counts. */
  readonly startedAt: number;
  readonly command: string;
  readonly threads: number;
  readonly json?: true;
}

export async function trainJob(path: string, flags: TrainFlags): Promise<void> {
  const { job, scenario, text, folder: jobFolder } = readJobFile(path);
  sayUnused(scenario, "train", []);
  const model = loadModel(job, jobFolder);
  await trainIn({
    job,
    jobFolder,
    model,
    folder: createRunFolder(flags.runs, job.name, text, new Date()),
    startedAt: performance.timeOrigin,
    command: `edgeloom train ${path}`,
    threads: flags.threads,
    ...(flags.json === undefined ? {} : { json: flags.json }),
  });
}

/** Trains a run in its folder until it ends. */
export async function trainIn(input: TrainInput): Promise<void> {
  const { job, jobFolder, folder, model, startedAt, command, threads } = input;
  keepSetting(folder, { command: "train", jobFolder, startedAt, threads });
  const reporter = new RunReporter();
  for (const { record } of folder.earlier?.records ?? []) reporter.recall(record);
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort());
  process.on("SIGTERM", () => stop.abort());
  const { end } = await train({
    job,
    model,
    train: loadTraining(job.data, jobFolder),
    test: loadHeldOut(job.data, jobFolder),
    threads,
    folder,
    command,
    startedAt,
    signal: stop.signal,
    record: (record, atMs) => reporter.tell({ record, atMs }),
  });
  const { summary } = reporter;
  const wallMs = performance.timeOrigin + performance.now() - startedAt;
  const conclusion = { summary, predicted: null, wallMs, folder: folder.path };
  if (end.reason === "failed") fail(end.text);
  conclude(conclusion);
  if (end.reason !== "finished") say(`Go on with it by: edgeloom resume ${folder.path}`);
  if (input.json) say(JSON.stringify(jsonOf(conclusion)));
  process.exitCode = exitCodeOf(end.reason);
}
