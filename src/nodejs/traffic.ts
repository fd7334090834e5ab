/**
 * The features that cross cuts, as whoever is behind the cut has them: the job's training model on
 * batches of the job's size, encoded and decoded by the job's codec. Batches go through all cuts one
 * after the other, so each segment computes once, and of each cut no more is kept than an audit needs.
 */
import { addToSketch } from "../audit/sketch.ts";
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { isAllFinite } from "../base/finite.ts";
import { hash32 } from "../base/random.ts";
import {
  cloneTensor,
  type DenseTensor,
  dense,
  elementCount,
  formatType,
  type Tensor,
} from "../base/tensor.ts";
import {
  linkWireBytes,
  openReceiver,
  openSender,
  type Receiver,
  type Sender,
} from "../codec/link-codec.ts";
import { frozen } from "../compile/freeze.ts";
import type { Model, Weights } from "../compile/graph.ts";
import { type Port, type Program, portsOf, stagePrograms } from "../compile/program.ts";
import type { Crossing, Segment } from "../compile/segment.ts";
import { type TrainingModel, trainingModel } from "../compile/training-model.ts";
import type { DrawnBatch, Engine, Slot } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { roomFor } from "../run/link-memory.ts";
import { drawNoise, roundingSeed } from "../run/noise.ts";

/** Features of a sample that are kept as they are; more are kept as a sketch of so many. */
const widthMax = 8192;
const prefix = "audit|";
/** In whose name noise is drawn. */
const node = "audit";

/** What crosses one cut. */
export interface CutTraffic {
  readonly cut: number;
  /** Name of the segment before it. */
  readonly name: string;
  /** Numbers of a sample, and their bytes on the way. */
  readonly values: number;
  readonly bytesPerSample: number;
  /** What is kept of a sample: its values, or fewer in their place. */
  readonly width: number;
  /** Samples in the order in which they came, `width` numbers for each. */
  readonly features: Float32Array;
}

/** Runs batches through the model, cut by cut, and keeps what crosses. */
export class TrafficTap {
  readonly #job: Job;
  readonly #engine: Engine;
  readonly #weights: Weights;
  readonly #taps: readonly Tap[];
  #steps = 0;

  /**
   * @param cuts ascending, from 1 to the number of segments less one
   * @param batches how many will come
   */
  constructor(options: {
    readonly job: Job;
    readonly model: Model;
    readonly cuts: readonly number[];
    readonly batches: number;
    readonly engine: Engine;
  }) {
    const { job, model, cuts, batches, engine } = options;
    this.#job = job;
    this.#engine = engine;
    this.#weights = model.weights;
    const training = trainingModel(frozen(model.graph, job.frozen), jobSpecOf(job));
    const more = largerSegments(model, job);
    this.#taps = cuts.map(
      (cut, i) => new Tap(training, more, { job, from: cuts[i - 1] ?? 0, cut, batches }),
    );
  }

  /** What has crossed, by cut. */
  get traffic(): readonly CutTraffic[] {
    return this.#taps.map(({ traffic }) => traffic);
  }

  /** Loads the programs, with the weights. Comes first. */
  async open(): Promise<void> {
    await this.#engine.load(this.#taps.map(({ program }) => program));
    const ports = this.#taps.flatMap(({ program }) => portsOf(program.inputs, "parameter"));
    const slots = ports.map(({ of }): [Slot, DenseTensor] => {
      const value = this.#weights.get(of);
      if (value === undefined) throw new ModelError("the model has no values of it", { node: of });
      // The engine takes over what it is given; the caller's model stays whole.
      return [prefix + of, cloneTensor(value)];
    });
    await this.#engine.write(new Map(slots));
  }

  /** Runs one batch; its memory is handed over. @throws ModelError where features are not finite */
  async take({ features, samples }: Omit<DrawnBatch, "labels">): Promise<void> {
    const step = this.#steps++;
    const input = cloneTensor(dense(features));
    let arrived: ReadonlyMap<string, Tensor> | Tensor = features;
    for (const tap of this.#taps) {
      const feeds = new Map<string, Slot | Tensor>();
      for (const port of tap.program.inputs)
        feeds.set(port.name, this.#fed(port, arrived, { step, input }));
      const leaving = portsOf(tap.program.outputs, "feature");
      const { outputs } = await this.#engine.run({
        program: tap.program.id,
        feeds,
        keep: new Map(),
        fetch: leaving.map(({ name }) => name),
      });
      const values = leaving.map((port) => dense(present(outputs.get(port.name), port.name)));
      tap.take(values, step, samples);
      arrived = new Map(leaving.map((port, i) => [port.of, present(values[i], port.of)]));
    }
  }

  /** Frees the engine's slots. */
  close(): Promise<void> {
    return this.#engine.drop(prefix);
  }

  #fed(
    port: Port,
    arrived: ReadonlyMap<string, Tensor> | Tensor,
    { step, input }: { readonly step: number; readonly input: DenseTensor },
  ): Slot | Tensor {
    // What several parties have of a sample is all here.
    if (port.role === "columns") return cloneTensor(input);
    if (port.role === "parameter") return prefix + port.of;
    if (port.role === "noise") {
      return drawNoise(port, { seed: this.#job.seed, node, step, of: port.of });
    }
    return arrived instanceof Map ? present(arrived.get(port.of), port.of) : (arrived as Tensor);
  }
}

/** The segments at one sample more, which tells axes of samples from others; null where the file fixes the batch. */
function largerSegments({ graph }: Model, job: Job): readonly Segment[] | null {
  if (typeof graph.inputs[0]?.shape[0] === "number") return null;
  return trainingModel(graph, { ...jobSpecOf(job), batch: job.batch + 1 }).segments;
}

interface TapOptions {
  readonly job: Job;
  /** The cut before, whose features come in. */
  readonly from: number;
  readonly cut: number;
  readonly batches: number;
}

/** One cut: the program that leads to it, its link, and what has crossed. */
class Tap {
  readonly program: Program;
  readonly traffic: CutTraffic;
  readonly #job: Job;
  readonly #axes: readonly number[];
  readonly #ends: readonly LinkEnds[];

  constructor(
    { graph, segments }: TrainingModel,
    more: readonly Segment[] | null,
    { job, from, cut, batches }: TapOptions,
  ) {
    const { forward } = stagePrograms(graph, segments, from, cut, jobSpecOf(job));
    const last = present(segments[cut - 1], `segment ${cut}`);
    this.program = present(forward, "a stage before the last");
    this.#job = job;
    this.#ends = last.outputs.map((type) => endsFor(type, job));
    this.#axes = last.outputs.map((crossing, i) =>
      sampleAxis(crossing, more?.[cut - 1]?.outputs[i] ?? null, job.batch),
    );
    const sum = (of: (crossing: Crossing) => number): number =>
      last.outputs.reduce((total, crossing) => total + of(crossing), 0);
    const values = sum(({ shape }) => elementCount(shape)) / job.batch;
    const width = Math.min(values, widthMax);
    this.traffic = {
      cut,
      name: last.name,
      values,
      bytesPerSample: sum((crossing) => linkWireBytes(job.codec.up, crossing)) / job.batch,
      width,
      features: new Float32Array(width * batches * job.batch),
    };
  }

  /** Sends a batch's features over the link, and keeps what arrives. */
  take(values: readonly DenseTensor[], step: number, samples: readonly number[]): void {
    const { seed, batch } = this.#job;
    const { cut, width, features } = this.traffic;
    let from = 0;
    values.forEach((value, i) => {
      const { sender, receiver, isOfSamples } = present(this.#ends[i], "a link's ends");
      const crossing = { seed, chain: node, border: cut, way: "up", step } as const;
      const owners = isOfSamples ? samples : null;
      const parts = sender.encode(value, { seed: roundingSeed(crossing, i), samples: owners });
      const arrived = dense(present(receiver.decode(parts), "what the sender has made"));
      if (!isAllFinite(arrived)) {
        throw new ModelError(`features at cut ${cut} are not finite`, { node: this.traffic.name });
      }
      const axis = present(this.#axes[i], "an axis of samples");
      for (let sample = 0; sample < batch; sample++) {
        const at = (step * batch + sample) * width;
        const own = sampleOf(arrived, axis, sample, batch);
        keep(features.subarray(at, at + width), own, { from, cut, seed, all: this.traffic.values });
      }
      from += elementCount(value.shape) / batch;
    });
  }
}

/** Both ends of a link for one tensor, as a device and what it sends to have them. */
interface LinkEnds {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly isOfSamples: boolean;
}

function endsFor(type: Crossing, job: Job): LinkEnds {
  const { capacity: rows, isOfSamples } = roomFor({ knowsSamples: true }, type, jobSpecOf(job));
  const [sender, receiver] = [
    openSender(job.codec.up, type, { rows }),
    openReceiver(job.codec.up, type, { rows }),
  ];
  return { sender, receiver, isOfSamples };
}

/** Puts a sample's numbers to their places, or where there are too many, into a sketch. */
function keep(
  to: Float32Array,
  values: Float32Array,
  at: {
    readonly from: number;
    readonly cut: number;
    readonly seed: number;
    readonly all: number;
  },
): void {
  if (at.all === to.length) to.set(values, at.from);
  else addToSketch(to, values, { seed: at.seed ^ hash32(`audit cut ${at.cut}`), from: at.from });
}

/**
 * The axis along which a value's samples lie: the one that grows with the batch.
 * @throws ModelError where samples cannot be told apart
 */
function sampleAxis({ name, ...type }: Crossing, larger: Crossing | null, batch: number): number {
  const axes = type.shape.flatMap((size, axis) =>
    (larger === null ? size === batch : larger.shape[axis] !== size) ? [axis] : [],
  );
  const [axis] = axes;
  const size = axis === undefined ? 0 : (type.shape[axis] ?? 0);
  // Samples of several rows each lie one after the other on a first axis.
  const isWhole = axis === 0 ? size % batch === 0 : size === batch;
  if (axis === undefined || (larger !== null && axes.length > 1) || !isWhole) {
    throw new ModelError(`the samples of ${formatType(type)} cannot be told apart`, { node: name });
  }
  return axis;
}

/** The values of one sample; shares memory where they lie together. */
function sampleOf({ shape, data }: DenseTensor, axis: number, sample: number, batch: number) {
  const values = data as Float32Array;
  const outer = elementCount(shape.slice(0, axis));
  const inner = values.length / outer / batch;
  const part = (o: number): Float32Array => {
    const start = (o * batch + sample) * inner;
    return values.subarray(start, start + inner);
  };
  if (outer === 1) return part(0);
  const out = new Float32Array(outer * inner);
  for (let o = 0; o < outer; o++) out.set(part(o), o * inner);
  return out;
}
