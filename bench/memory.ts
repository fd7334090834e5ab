/**
 * The memory that training a stage takes: what planners reckon with, and by how much the peak
 * of a process rises over one whose engine holds an empty session. Each in a process of its own.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import {
  builtInModel,
  lossSpec,
  NativeEngine,
  optimizerSpec,
  segmentCosts,
  trainingBytes,
  trainingModel,
} from "edgeloom";
import { type Bench, chosenOf, type Goal, optionsOf, type Row, tell } from "./bench.ts";

/** Segments [from, to) of a model, to its end where `to` is null. */
export interface StageSubject {
  readonly model: string;
  readonly batch: number;
  readonly from: number;
  readonly to: number | null;
  readonly recompute?: boolean;
}

const whole = (model: string, batch: number): StageSubject => ({ model, batch, from: 0, to: null });

const subjects: readonly StageSubject[] = [
  whole("lenet5", 32),
  whole("textcnn", 32),
  whole("gpt", 8),
  whole("vgg11", 32),
  whole("resnet18", 32),
  whole("mobilenetv2", 32),
  { model: "lenet5", batch: 32, from: 0, to: 6 },
  { model: "vgg11", batch: 32, from: 0, to: 12 },
  { model: "resnet18", batch: 32, from: 0, to: 10 },
  { model: "resnet18", batch: 32, from: 10, to: null },
  { model: "mobilenetv2", batch: 32, from: 0, to: 20 },
  { model: "resnet18", batch: 32, from: 0, to: 10, recompute: true },
  { model: "mobilenetv2", batch: 32, from: 0, to: 20, recompute: true },
];

/** The prediction may be off by this share above {@link large}, and by this many bytes below. */
const shareMax = 0.15;
const bytesMax = 40e6;
const large = 256e6;

export const memory: Bench = {
  summary: "memory that training a stage takes, predicted and measured [--models a,b]",
  async run(args) {
    const { models } = optionsOf(args, { models: "" });
    const modelOf = ({ model }: StageSubject): string => model;
    const chosen = models === "" ? subjects : chosenOf("--models", models, subjects, modelOf);
    const empty = peakOf(null);
    const rows: Row[] = [];
    const goals: Goal[] = [];
    for (const subject of chosen) {
      const name = nameOf(subject);
      tell(`${name} ...`);
      const measured = peakOf(subject) - empty;
      const predicted = predict(subject);
      const isLarge = measured > large;
      const off = Math.abs(predicted - measured) / (isLarge ? measured : 1e6);
      const goal = isLarge ? shareMax : bytesMax / 1e6;
      rows.push({
        stage: name,
        batch: subject.batch,
        "predicted MB": Math.round(predicted / 1e6),
        "measured MB": Math.round(measured / 1e6),
        ratio: predicted / measured,
      });
      goals.push({
        name: `${name}: prediction off by`,
        value: off,
        goal,
        unit: isLarge ? "of the measured, at most" : "MB, at most",
        met: off <= goal,
      });
    }
    const engine = new NativeEngine();
    const versions = { engine: engine.description.replace(/,.*/, "") };
    await engine.close();
    return { rows, goals, versions, seed: 1, notes: [] };
  },
};

const nameOf = ({ model, from, to, recompute }: StageSubject): string =>
  (from === 0 && to === null ? model : `${model}, segments ${from + 1} to ${to ?? "the last"}`) +
  (recompute ? ", recomputing" : "");

/** Peak of a process that trains the stage, in bytes. */
function peakOf(subject: StageSubject | null): number {
  const script = path.join(import.meta.dirname, "memory-child.ts");
  const child = spawnSync(process.execPath, ["--no-warnings", script, JSON.stringify(subject)]);
  const peak = Number(String(child.stdout).trim());
  if (child.status === 0 && peak > 0) return peak;
  throw new Error(`the process that trains ends with ${child.status}: ${child.stderr}`);
}

function predict({ model, batch, from, to, recompute = false }: StageSubject): number {
  const { graph } = builtInModel(model, { seed: 1, dropout: 0 });
  const trained = trainingModel(graph, { batch, cutTensors: 1 });
  const costs = segmentCosts(trained.graph, trained.segments, {
    loss: lossSpec("softmax-cross-entropy"),
    optimizer: optimizerSpec("sgd", { momentum: 0.9 }),
  });
  return trainingBytes(costs, from, to ?? costs.length, { hasLoss: to === null, recompute });
}
