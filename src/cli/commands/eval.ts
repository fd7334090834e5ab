/** `edgeloom eval`: how good a run's newest weights, or a model file, are on held-out data. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import {
  InputError,
  type LossName,
  type LossSpec,
  lossSpec,
  measuredWords,
  parseJob,
} from "../../index.ts";
import { evaluate, loadHeldOut, loadHeldOutPath, openRun, runFiles } from "../../nodejs.ts";
import { isJobFile, readJobFile } from "../job-file.ts";
import { pathOptions } from "../path-options.ts";
import { bold, say } from "../terminal.ts";

export interface EvaluateFlags {
  readonly data: string;
  readonly loss?: LossName;
  readonly label?: string;
  readonly classes?: readonly string[];
  readonly json?: true;
}

export async function evaluateRun(run: string, options: EvaluateFlags): Promise<void> {
  const model = openRun(run);
  const test = heldOut(options);
  const asked = options.loss === undefined ? lossOfRun(run) : lossSpec(options.loss);
  const { samples, accuracy, loss } = await evaluate({ model, test, loss: asked });
  const [what, value] = measuredWords({ accuracy, heldOutLoss: loss }) ?? ["", ""];
  say(
    (what === "loss"
      ? bold(`Loss ${value}`)
      : `${bold(`Accuracy ${value}`)}, loss ${loss.toFixed(4)}`) +
      `, on ${samples.toLocaleString("en")} samples of ${options.data}`,
  );
  if (options.json) say(JSON.stringify({ accuracy, loss, samples }));
}

function heldOut(options: EvaluateFlags): ReturnType<typeof loadHeldOutPath> {
  if (!isJobFile(options.data)) return loadHeldOutPath(options.data, pathOptions(options));
  const { job, folder } = readJobFile(options.data);
  const samples = loadHeldOut(job.data, folder);
  if (samples !== null) return samples;
  throw new InputError({
    what: "--data",
    received: `${options.data}, whose data have no held-out part`,
    allowed: "a job with held-out samples",
  });
}

/** The loss of the run's job; a classifier's where the run is a model file or a program's. */
function lossOfRun(run: string): LossSpec {
  const path = join(run, runFiles.job);
  if (!existsSync(path)) return lossSpec("softmax-cross-entropy");
  // Only these fields: a program's job may lack others, which it brought itself.
  const { model = "model", loss } = parse(readFileSync(path, "utf8")) as {
    readonly model?: string;
    readonly loss?: unknown;
  };
  return parseJob({ model, data: "mnist", ...(loss === undefined ? {} : { loss }) }).loss;
}
