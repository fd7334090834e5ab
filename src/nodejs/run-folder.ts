/** The folder of a run: `runs/<id>/` with job, plan, records, weights, model, summary and report. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { InputError, messageOf } from "../base/errors.ts";
import { type RunId, runId } from "../base/ids.ts";
import { readSafetensors } from "../base/safetensors.ts";
import type { Model } from "../compile/graph.ts";
import { readOnnx } from "../compile/onnx/read.ts";
import { createRunLog, type RunLog } from "./run-log.ts";

/** File with the signing key and the list of tokens; beside the others and never handed out. */
export const accessFile = "access.json";

/** File that says where the run is served, while it is. */
export const servingFile = "serving.json";

/** Files of a run folder that whoever may look at the run may have. */
export const runFiles = {
  model: "model.onnx",
  weights: "weights.safetensors",
  plan: "plan.json",
  records: "records.jsonl",
  job: "job.yaml",
  summary: "summary.json",
  report: "report.html",
} as const;

/** A folder that takes the files of one run. */
export interface RunFolder {
  readonly run: RunId;
  readonly path: string;
  readonly log: RunLog;
}

/**
 * Makes a new folder under `root`, named by time and job so that a list sorts by age.
 * @throws InputError where the folder cannot be made
 */
export function createRunFolder(root: string, name: string, jobText: string, now: Date): RunFolder {
  const stamp = now.toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  let id = `${stamp}-${name}`;
  for (let i = 2; existsSync(join(root, id)); i++) id = `${stamp}-${name}-${i}`;
  return runFolderAt(join(root, id), jobText);
}

/**
 * Makes a run folder at a path, named by its last part.
 * @throws InputError where the folder cannot be made or holds a run already
 */
export function runFolderAt(path: string, jobText: string): RunFolder {
  try {
    mkdirSync(path, { recursive: true });
    const log = createRunLog(join(path, runFiles.records));
    writeFileSync(join(path, runFiles.job), jobText);
    return { run: runId(basename(path)), path, log };
  } catch (error) {
    throw new InputError({
      what: "folder of the run",
      received: `${path} (${messageOf(error)})`,
      allowed: "a folder that can be written and holds no run yet",
    });
  }
}

/** Takes back the folder of a run that has not come to start: what was made, and nothing else. */
export function discardRunFolder({ path, log }: RunFolder): void {
  log.close();
  for (const name of [...Object.values(runFiles), accessFile, servingFile]) {
    rmSync(join(path, name), { force: true });
  }
  if (readdirSync(path).length === 0) rmdirSync(path);
}

/** Names of the files that a run's folder holds by now. */
export const existingRunFiles = (folder: string): string[] =>
  Object.values(runFiles).filter((name) => existsSync(join(folder, name)));

/**
 * The model of a run folder with its newest committed weights, or a model file.
 * @throws InputError where nothing of the kind is there, ModelError for a bad model
 */
export function openRun(path: string): Model {
  if (path.endsWith(".onnx")) return readOnnx(readRunFile(path));
  const model = readOnnx(readRunFile(join(path, runFiles.model)));
  const weightsPath = join(path, runFiles.weights);
  if (!existsSync(weightsPath)) return model;
  return { graph: model.graph, weights: readSafetensors(readRunFile(weightsPath)).tensors };
}

function readRunFile(path: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (error) {
    throw new InputError(
      {
        what: "run",
        received: `${path} (${messageOf(error)})`,
        allowed: "a run folder such as runs/<id>, or an .onnx file",
      },
      { cause: error },
    );
  }
}
