/** `edgeloom train`: a job in one process. */
import { createRunFolder, loadHeldOut, loadModel, loadTraining, train } from "../../nodejs.ts";
import { conclude } from "../conclusion.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import type { RunInput } from "../run-input.ts";
import { RunReporter } from "../run-reporter.ts";
import { keepSetting } from "../run-setting.ts";

export interface TrainFlags {
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
  const { job, scenario, text, folder: jobFolder } = readJobFile(path);
  sayUnused(scenario, "train", []);
  await trainIn({
    job,
    jobFolder,
    model: loadModel(job, jobFolder),
    samples: loadTraining(job.data, jobFolder),
    test: loadHeldOut(job.data, jobFolder),
    folder: createRunFolder(flags.runs, job.name, text, new Date()),
    startedAt: performance.timeOrigin,
    command: `edgeloom train ${path}`,
    threads: flags.threads,
    ...(flags.json === undefined ? {} : { json: flags.json }),
  });
}

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
