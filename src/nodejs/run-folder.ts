/** The folder of a run: `runs/<id>/` with plan, records, weights and model. */
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  type WriteStream,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { InputError, messageOf } from "../base/errors.ts";
import { type RunId, runId } from "../base/ids.ts";
import { readSafetensors } from "../base/safetensors.ts";
import type { Model } from "../compile/graph.ts";
import { readOnnx } from "../compile/onnx/read.ts";
import type { RunRecord } from "../run/metrics/record.ts";

/** Files of a run folder. */
export const runFiles = {
  model: "model.onnx",
  weights: "weights.safetensors",
  plan: "plan.json",
  records: "records.jsonl",
  job: "job.yaml",
} as const;

export interface RunFolder {
  readonly run: RunId;
  readonly path: string;
  /** Appends a record with the milliseconds since the run started. */
  append(atMs: number, record: RunRecord): void;
  close(): Promise<void>;
}

/**
 * Makes a new folder under `root`, named by time and job so that a list sorts by age.
 * @throws InputError where the folder cannot be made
 */
export function createRunFolder(root: string, name: string, jobText: string, now: Date): RunFolder {
  const stamp = now.toISOString().slice(0, 19).replace("T", "-").replaceAll(":", "");
  let id = `${stamp}-${name}`;
  for (let i = 2; existsSync(join(root, id)); i++) id = `${stamp}-${name}-${i}`;
  const path = join(root, id);
  let records: WriteStream;
  try {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, runFiles.job), jobText);
    records = createWriteStream(join(path, runFiles.records), { flags: "a" });
  } catch (error) {
    throw new InputError({
      what: "folder for runs",
      received: `${path} (${messageOf(error)})`,
      allowed: "a folder that can be written: see --runs",
    });
  }
  return {
    run: runId(id),
    path,
    append: (atMs, record) => {
      records.write(`${JSON.stringify({ atMs: Math.round(atMs), ...record })}\n`);
    },
    close: () => new Promise((resolve) => records.end(resolve)),
  };
}

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
