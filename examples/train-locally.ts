/**
 * Trains a small network on MNIST in this process, saves it, and measures it
 * again from the saved file. Run it with: node examples/train-locally.ts
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtInModel, parseJob } from "edgeloom";
import {
  evaluateModel,
  loadHeldOut,
  loadTraining,
  NativeEngine,
  openRun,
  startTraining,
} from "edgeloom/nodejs";

const job = parseJob({ model: "mlp", data: "mnist", rounds: 6, localBatches: 50, batch: 64 });
const folder = mkdtempSync(join(tmpdir(), "edgeloom-"));
const test = loadHeldOut(job.data, ".");

const training = startTraining({
  job,
  model: builtInModel(job.model, { seed: job.seed }),
  train: loadTraining(job.data, "."),
  test,
  engine: new NativeEngine(),
  folder,
  record(record) {
    if (record.type === "round") console.log(`round ${record.round + 1}: loss ${record.loss}`);
  },
});
const { reason } = await training.ended;

if (test === null) throw new Error("MNIST has held-out samples");
const engine = new NativeEngine();
const { correct, samples } = await evaluateModel(openRun(folder), test, engine);
await engine.close();
console.log(`${reason}: ${correct} of ${samples} right, saved in ${folder}`);
