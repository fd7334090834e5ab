/** Measurements outside a run: this machine's profile of a model, a model's accuracy. */
import { cloneTensor } from "../base/tensor.ts";
import type { Model } from "../compile/graph.ts";
import { writeOnnx } from "../compile/onnx/write.ts";
import type { SampleSource } from "../data/source.ts";
import type { Profile } from "../plan/plan.ts";
import type { Done, Engine, Host } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { type Evaluation, Evaluator } from "../run/worker/evaluator.ts";
import { probe } from "../run/worker/prober.ts";
import { WorkerModel } from "../run/worker/worker-model.ts";
import { nodeHost, noStore } from "./host.ts";

const probeRepeats = 5;

/** How fast this machine runs each segment of the job's model, at the job's batch size. */
export function profileModel(job: Job, model: Model, engine: Engine): Promise<Profile> {
  const worker = new WorkerModel(writeOnnx(model.graph), jobSpecOf(job));
  return promised((done) =>
    probe(hostOf(engine, null), worker.probePrograms(), probeRepeats, done),
  );
}

/** Loss and right answers of a classifier on held-out samples. */
export function evaluateModel(
  model: Model,
  test: SampleSource,
  engine: Engine,
): Promise<Evaluation> {
  const worker = new WorkerModel(writeOnnx(model.graph), {
    batch: 1,
    loss: "softmax-cross-entropy",
    optimizer: { kind: "sgd", momentum: 0, weightDecay: 0 },
    seed: 0,
  });
  const evaluator = new Evaluator(hostOf(engine, test), worker);
  // The engine takes over what it is given; the caller's model stays whole.
  const weights = new Map([...model.weights].map(([name, value]) => [name, cloneTensor(value)]));
  return promised((done) => evaluator.evaluate(weights, null, done));
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
