/** What the traffic of a job reveals, cut by cut: `edgeloom audit` as a function. */
import {
  type Audit,
  type AuditSamples,
  blindOf,
  type CutLeakage,
  type KnownSamples,
  leakageOf,
} from "../audit/leakage.ts";
import { type Matrix, matrix, rowOf } from "../audit/matrix.ts";
import { pictureOf, shrunk, shrunkShape } from "../audit/shrink.ts";
import type { PictureShape } from "../audit/similarity.ts";
import { InputError } from "../base/errors.ts";
import { elementCount } from "../base/tensor.ts";
import type { Model } from "../compile/graph.ts";
import { specialize } from "../compile/specialize.ts";
import { trainingModel } from "../compile/training-model.ts";
import type { SampleSource } from "../data/source.ts";
import type { Engine } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { type JobFields, jobOf } from "../run/job-fields.ts";
import { misfitOf, takenData } from "../run/taken-data.ts";
import { isReached } from "./check.ts";
import { loadTraining } from "./data-files.ts";
import { NativeEngine } from "./engine.ts";
import { loadModel } from "./model-files.ts";
import { type CutTraffic, TrafficTap } from "./traffic.ts";

/** Samples of an audit where nothing else is said. */
const samplesDefault = 1500;
/** Share of them that the attacker is tried on; it has the others. */
const attackedShare = 1 / 3;

/** Which job to audit, and how thoroughly. */
export interface AuditOptions {
  /** The fields of a job file, or what `parseJob` gave. */
  readonly job: Job | JobFields;
  /** The model with the weights that the attack is on; the job's, untrained, where absent. */
  readonly model?: Model;
  /** Samples in place of the job's training data. */
  readonly train?: SampleSource;
  /** Cuts to look at: k is the one behind segment k. All where absent. */
  readonly cuts?: readonly number[];
  /** Samples of attacker and attacked together, in whole batches; 1,500 where absent. */
  readonly samples?: number;
  /** Computes features and stays open; a native engine of its own where absent. */
  readonly engine?: Engine;
  /** Told what is under way. */
  readonly progress?: (text: string) => void;
}

/**
 * Measures how much of inputs and labels can be told from the features at each cut. Samples are drawn
 * from the job's training data by its seed; two thirds are the attacker's own, the rest are attacked.
 * The same job, weights and engine give the same numbers.
 * @example
 * const { cuts } = await audit({ job: { model: "lenet5", data: "mnist" }, cuts: [1, 5] });
 * @throws InputError on a wrong job, cuts that the model does not have, data that do not fit the model or
 *   are too few; ModelError on an untrainable model
 */
export async function audit(options: AuditOptions): Promise<Audit> {
  const { train, progress = () => {} } = options;
  const job = jobOf(options.job, { model: options.model, hasData: train !== undefined });
  const model = options.model ?? loadModel(job, process.cwd());
  const source = train ?? loadTraining(job.data, process.cwd());
  refuseMisfit(model, source, job);
  const { graph, segments } = trainingModel(model.graph, jobSpecOf(job));
  const cuts = cutsOf(options.cuts, segments.length);
  const batches = batchesOf(job, source, options.samples ?? samplesDefault);
  const drawn = new DrawnSamples(source, batches.all * job.batch, {
    isQuantity: isReached(graph),
  });
  const engine = options.engine ?? new NativeEngine();
  try {
    const tap = new TrafficTap({ job, model, cuts, batches: batches.all, engine });
    await tap.open();
    for (let step = 0; step < batches.all; step++) {
      progress(`batch ${step + 1} of ${batches.all}`);
      const key = { seed: job.seed, node: "audit", step, size: job.batch };
      const batch = source.batch(key);
      drawn.add(batch.features.data as Float32Array, batch.labels.data as BigInt64Array);
      await tap.take(batch);
    }
    await tap.close();
    const auxiliary = batches.auxiliary * job.batch;
    const samples = drawn.parted(auxiliary, job.seed);
    return {
      model: job.model,
      segments: segments.length,
      codec: job.codec.up,
      seed: job.seed,
      auxiliary,
      attacked: samples.attacked.labels.length,
      blind: blindOf(samples),
      cuts: tap.traffic.map((traffic) => {
        progress(`attack on cut ${traffic.cut}`);
        return scored(traffic, auxiliary, samples);
      }),
    };
  } finally {
    if (options.engine === undefined) await engine.close();
  }
}

function scored(traffic: CutTraffic, auxiliary: number, samples: AuditSamples): CutLeakage {
  const { cut, name, values, bytesPerSample, width, features } = traffic;
  const rows = (part: Float32Array): Matrix =>
    matrix(part.length / width, width, Float64Array.from(part));
  const border = auxiliary * width;
  const found = leakageOf(
    rows(features.subarray(0, border)),
    rows(features.subarray(border)),
    samples,
  );
  return { cut, name, values, bytesPerSample, ...found };
}

/** The samples that were drawn, in their order, as an attacker wants to have them. */
class DrawnSamples {
  readonly #source: SampleSource;
  readonly #picture: PictureShape | null;
  readonly #inputs: Matrix | null;
  readonly #labels: Int32Array;
  #count = 0;

  constructor(
    source: SampleSource,
    samples: number,
    { isQuantity }: { readonly isQuantity: boolean },
  ) {
    this.#source = source;
    this.#picture = isQuantity ? pictureOf(source.inputShape) : null;
    const shape = this.#picture === null ? null : shrunkShape(this.#picture);
    const size =
      shape === null
        ? elementCount(source.inputShape)
        : shape.channels * shape.height * shape.width;
    this.#inputs = isQuantity ? matrix(samples, size) : null;
    this.#labels = new Int32Array(samples);
  }

  add(features: Float32Array, labels: BigInt64Array): void {
    const size = features.length / labels.length;
    labels.forEach((label, i) => {
      const at = this.#count++;
      this.#labels[at] = Number(label);
      if (this.#inputs === null) return;
      const values = features.subarray(i * size, (i + 1) * size);
      rowOf(this.#inputs, at).set(this.#picture === null ? values : shrunk(values, this.#picture));
    });
  }

  /** The first `auxiliary` are the attacker's, the others are attacked. */
  parted(auxiliary: number, seed: number): AuditSamples {
    const part = (from: number, to: number): KnownSamples => ({
      inputs:
        this.#inputs &&
        matrix(
          to - from,
          this.#inputs.columns,
          this.#inputs.values.subarray(from * this.#inputs.columns, to * this.#inputs.columns),
        ),
      labels: this.#labels.subarray(from, to),
    });
    return {
      auxiliary: part(0, auxiliary),
      attacked: part(auxiliary, this.#labels.length),
      classes: this.#source.classes,
      picture: this.#picture && shrunkShape(this.#picture),
      seed,
    };
  }
}

function refuseMisfit({ graph }: Model, source: SampleSource, job: Job): void {
  const misfit = misfitOf(source, takenData(specialize(graph, { batch: job.batch }), job));
  if (misfit === null) return;
  throw new InputError({
    what: "the job's data",
    received: misfit,
    allowed: "data that the model takes",
  });
}

function cutsOf(asked: readonly number[] | undefined, segments: number): readonly number[] {
  const all = Array.from({ length: segments - 1 }, (_, i) => i + 1);
  const wrong = asked?.find((cut) => !all.includes(cut));
  if (wrong !== undefined || all.length === 0) {
    throw new InputError({
      what: "cuts",
      received: wrong === undefined ? "a model of one segment" : String(wrong),
      allowed:
        all.length === 0
          ? "a model that can be cut"
          : `1 to ${all.length}: edgeloom inspect lists them`,
    });
  }
  return asked === undefined ? all : [...new Set(asked)].sort((a, b) => a - b);
}

/** Batches without any sample twice: of both parties, and of the attacker's. */
function batchesOf(
  { batch }: Job,
  source: SampleSource,
  samples: number,
): { readonly all: number; readonly auxiliary: number } {
  const all = Math.floor(Math.min(samples, source.samples) / batch);
  const attacked = Math.max(1, Math.round(attackedShare * all));
  // A penalty is chosen on some of the attacker's samples, after learning from others.
  if (all < 2 || (all - attacked) * batch < 2) {
    throw new InputError({
      what: "samples of an audit",
      received: `${samples} of ${source.samples} in batches of ${batch}`,
      allowed: "two batches at least, and three samples: one batch for the attacker, one to attack",
    });
  }
  return { all, auxiliary: all - attacked };
}
