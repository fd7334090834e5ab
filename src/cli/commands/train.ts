/** `edgeloom train`: a job in one process. */
import { createRunFolder, loadHeldOut, loadModel, loadTraining, train } from "../../nodejs.ts";
import { conclude, jsonOf } from "../conclusion.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile, sayUnused } from "../job-file.ts";
import { RunReporter } from "../run-reporter.ts";
import { fail, say } from "../terminal.ts";

export interface TrainFlags {
  readonly runs: string;
  readonly threads: number;
  readonly json?: true;
}

export async function trainJob(path: string, flags: TrainFlags): Promise<void> {
  const { job, scenario, text, folder } = readJobFile(path);
  sayUnused(scenario, "train", []);
  const model = loadModel(job, folder);
  const samples = loadTraining(job.data, folder);
  const test = loadHeldOut(job.data, folder);
  const runFolder = createRunFolder(flags.runs, job.name, text, new Date());
  const reporter = new RunReporter();
  const stop = new AbortController();
  process.on("SIGINT", () => stop.abort());
  process.on("SIGTERM", () => stop.abort());
  const { end } = await train({
    job,
    model,
    train: samples,
    test,
    threads: flags.threads,
    folder: runFolder,
    command: `edgeloom train ${path}`,
    startedAt: performance.timeOrigin,
    signal: stop.signal,
    record: (record, atMs) => reporter.tell({ record, atMs }),
  });
  const { summary } = reporter;
  const wallMs = performance.now();
  const conclusion = { summary, predicted: null, wallMs, folder: runFolder.path };
  if (end.reason === "failed") fail(end.text);
  conclude(conclusion);
  if (flags.json) say(JSON.stringify(jsonOf(conclusion)));
  process.exitCode = exitCodeOf(end.reason);
}
