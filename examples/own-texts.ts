/**
 * Trains a classifier of texts across a device and a server, in virtual time: from which of two
 * pages of Edgeloom's documentation does a sentence come? The words and the layer that knows them stay on
 * the device, the rest of the network is on the server. The texts could be anybody's: files in
 * folders named by class. Run it with: npx node examples/own-texts.ts
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  parseJob,
  profileModel,
  RunFold,
} from "edgeloom";
import { simulate } from "edgeloom/sim";

const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-texts-"));
for (const page of ["codecs", "security"]) {
  const file = path.join(import.meta.dirname, "..", "docs", `${page}.md`);
  const sentences = readFileSync(file, "utf8").split(/[.:;|\n]\s/);
  const kept = sentences.filter((sentence) => sentence.length > 30);
  for (const [i, sentence] of kept.entries()) {
    const where = path.join(folder, i % 5 === 0 ? "test" : "train", page);
    mkdirSync(where, { recursive: true });
    writeFileSync(path.join(where, `${i}.txt`), sentence);
  }
}

const words = { vocabulary: 2000, length: 24 };
const job = parseJob({
  model: "textcnn",
  modelOptions: { classes: 2, ...words },
  data: { text: folder, ...words },
  optimizer: { kind: "adamw", learningRate: 0.002, weightDecay: 1 },
  rounds: 4,
  localBatches: 20,
  batch: 16,
});
const model = loadModel(job, ".");
const [train, test] = [loadTraining(job.data, "."), loadHeldOut(job.data, ".")];
rmSync(folder, { recursive: true });

// How fast this machine is decides where the model is cut; the server is as fast as the device here.
const engine = new NativeEngine({ threads: 1 });
const profile = await profileModel(job, model, engine);
await engine.close();
const machine = { duty: 1, profile, memoryBytes: null, ceilingBytesPerMs: null, latencyMs: 5 };
const { end, records } = await simulate({
  job,
  model,
  nodes: [
    { ...machine, name: "phone", kind: "device", train, test: null },
    { ...machine, name: "server", kind: "cloud", train: null, test },
  ],
  engine: () => new NativeEngine({ threads: 1 }),
});
const fold = new RunFold();
for (const { record } of records) fold.add(record);
const { accuracy, bytesUp } = fold.summary;
console.log(`${end.reason}: ${train.samples} sentences stayed on the phone,`);
console.log(`${(bytesUp / 1e6).toFixed(1)} MB of features left it,`);
console.log(`${(100 * (accuracy ?? 0)).toFixed(0)} % of other sentences are told apart`);
