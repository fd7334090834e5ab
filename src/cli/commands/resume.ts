/** `edgeloom resume`: goes on with a run that was interrupted, has failed, or whose process died. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  loadHeldOut,
  loadModel,
  loadTraining,
  type Model,
  openRun,
  type ReachOptions,
  type RunFolder,
  reopenRunFolder,
} from "../../nodejs.ts";
import { readJobFile } from "../job-file.ts";
import { settingOf } from "../run-setting.ts";
import { serveIn } from "./serve.ts";
import { trainIn } from "./train.ts";

export interface ResumeFlags {
  readonly runs: string;
  readonly port?: number;
  readonly json?: true;
}

export async function resumeRun(run: string, flags: ResumeFlags): Promise<void> {
  const path = existsSync(run) ? run : join(flags.runs, run);
  const folder = reopenRunFolder(path);
  try {
    const setting = settingOf(folder);
    const { job } = readJobFile(join(path, "job.yaml"));
    const { jobFolder, startedAt } = setting;
    const begun = {
      job,
      jobFolder,
      folder,
      test: loadHeldOut(job.data, jobFolder),
      model: modelOf(folder, () => loadModel(job, jobFolder)),
      startedAt,
      command: `edgeloom resume ${run}`,
      ...(flags.json === undefined ? {} : { json: flags.json }),
    };
    if (setting.command === "train") {
      const samples = loadTraining(job.data, jobFolder);
      await trainIn({ ...begun, samples, threads: setting.threads });
    } else {
      const { announce = false, tokenDays, patienceMs, duty = 1, hasData = false } = setting;
      // Only what is there: JSON has no other absence.
      const reach = setting.reach as ReachOptions;
      const port = flags.port ?? setting.port;
      const data = hasData ? { samples: loadTraining(job.data, jobFolder) } : {};
      const reached = { reach, announce, port };
      await serveIn({ ...begun, ...data, ...reached, tokenDays, patienceMs, duty });
    }
  } finally {
    folder.journal.close();
  }
}

/** The model as the run keeps it, so that it does not matter what has become of its file; named anew where it was not kept yet. */
const modelOf = ({ path }: RunFolder, named: () => Model): Model =>
  existsSync(join(path, "model.onnx")) ? openRun(join(path, "model.onnx")) : named();
