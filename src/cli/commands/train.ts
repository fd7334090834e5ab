/** `edgeloom train`: a job in one process. */
import type { RunRecord } from "../../index.ts";
import {
  createRunFolder,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  startTraining,
} from "../../nodejs.ts";
import { exitCodeOf } from "../exit.ts";
import { readJobFile } from "../job-file.ts";
import { RunReporter } from "../run-reporter.ts";
import { fail, say } from "../terminal.ts";
import { conclude, jsonOf } from "./serve.ts";

export interface TrainFlags {
  readonly runs: string;
  readonly threads: number;
  readonly json?: true;
}

export async function trainJob(path: string, flags: TrainFlags): Promise<void> {
  const { job, text, folder } = readJobFile(path);
  const model = loadModel(job.model, job.seed, folder);
  const train = loadTraining(job.data, folder);
  const test = loadHeldOut(job.data, folder);
  const runFolder = createRunFolder(flags.runs, job.name, text, new Date());
  const reporter = new RunReporter();
  const training = startTraining({
    job,
    model,
    train,
    test,
    engine: new NativeEngine({ threads: flags.threads }),
    folder: runFolder.path,
    run: runFolder.run,
    record(record: RunRecord) {
      runFolder.append(performance.now(), record);
      reporter.tell(performance.now(), record);
    },
  });
  const stop = (): void => training.interrupt("interrupted");
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  const end = await training.ended;
  await runFolder.close();
  const report = {
    reporter,
    predicted: null,
    wallMs: performance.now(),
    folder: runFolder.path,
  };
  if (end.reason === "failed") fail(end.text);
  conclude(report);
  if (flags.json) say(JSON.stringify(jsonOf(report)));
  process.exitCode = exitCodeOf(end.reason);
}
