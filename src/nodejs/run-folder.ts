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
import type { Legacy } from "../run/coordinator/coordinator-options.ts";
import { decisionTypes } from "../run/coordinator/journal.ts";
import { RecordReader } from "../run/metrics/read.ts";
import type { TimedRecord } from "../run/metrics/record.ts";
import { journalFile, openJournal, type RunJournal, removeJournal } from "./journal.ts";
import { createRunLog, type RunLog, reopenRunLog } from "./run-log.ts";

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
  readonly journal: RunJournal;
  /** What an earlier process has left of the run; null for a new one. */
  readonly earlier: EarlierRun | null;
}

/** A run that was under way before. */
export interface EarlierRun {
  /** Where it goes on; undefined where nothing had been decided. */
  readonly legacy: Legacy | undefined;
  /** What it has told. */
  readonly records: readonly TimedRecord[];
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
    return { run: runId(basename(path)), path, log, journal: openJournal(path), earlier: null };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError({
      what: "folder of the run",
      received: `${path} (${messageOf(error)})`,
      allowed: "a folder that can be written and holds no run yet",
    });
  }
}

/**
 * Opens the folder of a run that was begun before, to go on with it.
 * @throws InputError where it is none, is being served, or has finished
 */
export function reopenRunFolder(path: string): RunFolder {
  const records = join(path, runFiles.records);
  if (!existsSync(records)) {
    throw new InputError({
      what: "run",
      received: path,
      allowed: "a run folder such as runs/<id>: edgeloom runs lists them",
    });
  }
  const journal = openJournal(path);
  try {
    const legacy = journal.legacy();
    if (legacy?.past.end?.reason === "finished") {
      const allowed = "a run that was interrupted or has failed, or whose process died";
      throw new InputError({ what: "run", received: `${path}, which has finished`, allowed });
    }
    const log = reopenRunLog(records);
    const earlier = { legacy, records: recordsIn(log, legacy) };
    return { run: runId(basename(path)), path, log, journal, earlier };
  } catch (error) {
    journal.close();
    throw error;
  }
}

/** Records in a log, to which decisions are added that were made and not told when the process died. */
function recordsIn(log: RunLog, legacy: Legacy | undefined): TimedRecord[] {
  const reader = new RecordReader();
  const lines = log.read(0, Number.POSITIVE_INFINITY);
  const records = lines.flatMap((line) => reader.take(JSON.parse(line)) ?? []);
  const told = records.filter(({ record }) => decisionTypes.has(record.type)).length;
  const atMs = records.at(-1)?.atMs ?? 0;
  for (const record of legacy?.past.decisions.slice(told) ?? []) {
    log.append(atMs, record);
    records.push({ atMs, record });
  }
  return records;
}

/**
 * Takes back the folder of a run that has not come to start: what was made, and nothing else. One
 * that holds an earlier run stays as it was.
 */
export function discardRunFolder({ path, log, journal, earlier }: RunFolder): void {
  log.close();
  journal.close();
  if (earlier !== null) return;
  removeJournal(path);
  for (const name of [...Object.values(runFiles), accessFile, servingFile]) {
    rmSync(join(path, name), { force: true });
  }
  if (readdirSync(path).length === 0) rmdirSync(path);
}

/** Whether a run keeps a journal with which it can be gone on with. */
export const isResumable = (root: string, run: string): boolean =>
  existsSync(join(root, run, journalFile));

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
