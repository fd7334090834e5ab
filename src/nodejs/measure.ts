/** Measurements outside a run: this machine's profile of a model, a model's accuracy. */
import { present } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { cloneTensor } from "../base/tensor.ts";
import type { Model } from "../compile/graph.ts";
import { type LossSpec, lossSpec } from "../compile/loss.ts";
import { writeOnnx } from "../compile/onnx/write.ts";
import { optimizerSpec } from "../compile/optimizer.ts";
import { specialize } from "../compile/specialize.ts";
import type { SampleSource } from "../data/source.ts";
import type { Profile } from "../plan/plan.ts";
import type { Done, Engine, Host } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { misfitOf, takenData } from "../run/taken-data.ts";
import { type Evaluation, Evaluator } from "../run/worker/evaluator.ts";
import { probe } from "../run/worker/prober.ts";
import { WorkerModel } from "../run/worker/worker-model.ts";
import { NativeEngine } from "./engine.ts";
import { nodeHost, noStore } from "./host.ts";

const probeRepeats = 5;

/** How fast this machine runs each segment of the job's model, at the job's batch size. */
export function profileModel(job: Job, model: Model, engine: Engine): Promise<Profile> {
  const worker = new WorkerModel(writeOnnx(model.graph), jobSpecOf(job));
  return promised((done) =>
    probe(hostOf(engine, null), worker.probePrograms(), probeRepeats, done),
  );
}

/** Which model to measure, and on what. */
export interface EvaluateOptions {
  readonly model: Model;
  /** Held-out samples. */
  readonly test: SampleSource;
  /** What is measured beside the accuracy: softmax-cross-entropy where absent, for classifiers. */
  readonly loss?: LossSpec;
  /** Computes the numbers and stays open; a native engine of its own where absent. */
  readonly engine?: Engine;
}

/** How good a model's answers are. */
export interface Accuracy {
  readonly samples: number;
  /** How many are answered right; null where the loss knows no right and wrong. */
  readonly correct: number | null;
  /** correct / samples. */
  readonly accuracy: number | null;
  /** Mean loss per sample. */
  readonly loss: number;
}

/**
 * Measures a model on held-out samples.
 * @example
 * const { accuracy } = await evaluate({ model: openRun("runs/ID"), test: loadHeldOutPath("mnist") });
 * @throws InputError where the samples do not fit the model, ModelError where the loss is none for it
 */
export async function evaluate(options: EvaluateOptions): Promise<Accuracy> {
  const { model, test, engine, loss = lossSpec("softmax-cross-entropy") } = options;
  checkFit(model, test, { model: "", loss });
  const worker = new WorkerModel(writeOnnx(model.graph), {
    batch: 1,
    cutTensors: 1,
    recompute: false,
    loss,
    optimizer: optimizerSpec("sgd"),
    seed: 0,
    updates: "float32",
  });
  // The engine takes over what it is given; the caller's model stays whole.
  const weights = new Map([...model.weights].map(([name, value]) => [name, cloneTensor(value)]));
  const own = engine ?? new NativeEngine();
  try {
    const evaluator = new Evaluator(hostOf(own, test), worker);
    const measured = await promised<Evaluation>((done) => evaluator.evaluate(weights, null, done));
    const { samples, correct } = measured;
    const mean = present(measured.loss, "what only an engine that computes can tell");
    return { samples, correct, accuracy: correct === null ? null : correct / samples, loss: mean };
  } finally {
    if (engine === undefined) await own.close();
  }
}

/**
 * Refuses held-out samples that the model does not take.
 * @throws InputError naming shapes or classes, ModelError where the loss is none for the model
 */
export function checkFit(
  { graph }: Model,
  test: SampleSource,
  job: Pick<Job, "model" | "loss">,
): void {
  const misfit = misfitOf(test, takenData(specialize(graph, { batch: 1 }), job));
  if (misfit === null) return;
  throw new InputError({
    what: "held-out data",
    received: misfit,
    allowed: "data that the model takes",
  });
}

const hostOf = (engine: Engine, test: SampleSource | null): Host =>
  nodeHost({ engine, train: null, test, store: noStore, record: () => {} });

function promised<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((outcome) => {
      if (outcome.ok) resolve(outcome.value);
      else reject(new Error(outcome.error));
    });
  });
}
