/**
 * The single-process replay of a committed log: the plainest way to compute what
 * a distributed run must have computed. It follows the `planned` and `round`
 * records, one chain after the other, one stage after the other, with the same
 * stage programs, codecs and order of reduction, and none of the peers' code.
 * A distributed run is right when its weights equal the replay's bit for bit.
 */
import { present } from "../base/assert.ts";
import type { CopyId, NodeId } from "../base/ids.ts";
import { type DenseTensor, dense, type Tensor, tensor, zeros } from "../base/tensor.ts";
import { codecs } from "../codec/codec.ts";
import { frozen } from "../compile/freeze.ts";
import type { Graph, Model } from "../compile/graph.ts";
import { optimizerState } from "../compile/optimizer.ts";
import {
  movedPorts,
  neededPorts,
  type Port,
  type Program,
  type StagePrograms,
  stagePrograms,
} from "../compile/program.ts";
import type { Segment } from "../compile/segment.ts";
import { trainingModel } from "../compile/training-model.ts";
import type { SampleSource } from "../data/source.ts";
import type { ChainPlan, CopyPlan, Plan } from "../plan/plan.ts";
import { mergeGroups } from "../run/coordinator/round.ts";
import type { Engine } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { type RunRecord, standing } from "../run/metrics/record.ts";
import { drawNoise } from "../run/noise.ts";
import type { Contribution } from "../sync/sync.ts";

/** A run to follow: its committed log, and the samples of its nodes. */
export interface ReplayOptions {
  readonly job: Job;
  readonly model: Model;
  readonly records: readonly RunRecord[];
  /** The private samples of each node, which a replay may see and a run may not. */
  readonly samplesOf: (node: NodeId) => SampleSource;
  readonly engine: Engine;
  /** Told the trained tensors at the start (0 rounds) and after each committed round. */
  onCommitted?(rounds: number, trained: ReadonlyMap<string, Tensor>): void;
}

/** Parameters and optimizer state after the last committed round. */
export async function replay(options: ReplayOptions): Promise<Map<string, DenseTensor>> {
  const { job, model, records } = options;
  const optimizer = jobSpecOf(job).optimizer;
  const { graph, segments } = trainingModel(frozen(model.graph, job.frozen), job);
  const trained = new Map<string, Tensor>(model.weights);
  for (const parameter of graph.parameters) {
    for (const state of optimizerState(optimizer, parameter)) trained.set(state.name, zeros(state));
  }
  options.onCommitted?.(0, trained);
  let plan: Plan | null = null;
  for (const record of standing(records, (each) => each)) {
    if (record.type === "planned") plan = record.plan;
    if (record.type !== "round") continue;
    const current: Plan = present(plan, "a plan before the first round");
    const brought = new Map<CopyId, Contribution>();
    for (const { chain: id, samples } of record.participants) {
      const chain = present(
        current.chains.find((candidate) => candidate.id === id),
        id,
      );
      const run = new ChainReplay(options, { graph, segments, plan: current, chain });
      const results = await run.train(record.round, record.learningRate, trained);
      for (const [copy, tensors] of results) brought.set(copy, { samples, tensors });
    }
    for (const [name, value] of mergeGroups(current, brought)) trained.set(name, value);
    options.onCommitted?.(record.round + 1, trained);
  }
  return new Map([...trained].map(([name, value]) => [name, dense(value)]));
}

interface Stage {
  readonly copy: CopyPlan;
  readonly programs: StagePrograms;
  /** Everything the stage holds between its programs, by `of` and role. */
  readonly held: Map<string, Tensor>;
}

/** One chain's round, from the tensors at its start to each copy's tensors at its end. */
class ChainReplay {
  readonly #options: ReplayOptions;
  readonly #plan: Plan;
  readonly #chain: ChainPlan;
  readonly #stages: readonly Stage[];
  #learningRate = 0;
  #step = 0;

  constructor(
    options: ReplayOptions,
    at: { graph: Graph; segments: readonly Segment[]; plan: Plan; chain: ChainPlan },
  ) {
    this.#options = options;
    this.#plan = at.plan;
    this.#chain = at.chain;
    const spec = jobSpecOf(options.job);
    this.#stages = at.chain.stages.map(({ copy: id }) => {
      const copy = present(
        at.plan.copies.find((candidate) => candidate.id === id),
        id,
      );
      const programs = stagePrograms(at.graph, at.segments, copy.from, copy.to, spec);
      return { copy, programs, held: new Map() };
    });
  }

  async train(
    round: number,
    learningRate: number,
    trained: ReadonlyMap<string, Tensor>,
  ): Promise<Map<CopyId, Map<string, Tensor>>> {
    const { job, samplesOf } = this.#options;
    this.#learningRate = learningRate;
    for (const { programs, held } of this.#stages) {
      for (const port of neededPorts(programs)) {
        held.set(key(port), present(trained.get(port.of), port.of));
      }
    }
    const source = samplesOf(this.#chain.source);
    for (let b = 0; b < this.#chain.work; b++) {
      this.#step = round * this.#chain.work + b;
      const { features, labels } = source.batch({
        seed: job.seed,
        node: this.#chain.source,
        step: this.#step,
        size: job.batch,
      });
      await this.#batch(features, labels);
    }
    return new Map(
      this.#stages.map(({ copy, programs, held }) => [
        copy.id,
        new Map(
          movedPorts(programs).map((port) => [port.of, present(held.get(key(port)), port.of)]),
        ),
      ]),
    );
  }

  async #batch(features: Tensor, labels: Tensor): Promise<void> {
    const isLast = (this.#step + 1) % this.#options.job.optimizer.accumulate === 0;
    let crossing = [features];
    for (const [i, stage] of this.#stages.entries()) {
      if (stage.programs.forward === null) break;
      const out = await this.#run(stage, stage.programs.forward, crossing, null);
      crossing = out.features.map((feature) => this.#carry(i, "codecUp", feature));
    }
    const last = present(this.#stages.at(-1), "a last stage");
    let out = await this.#run(last, present(last.programs.step, "a step"), crossing, labels);
    if (last.programs.update !== null && isLast)
      await this.#run(last, last.programs.update, [], null);
    for (let i = this.#stages.length - 2; i >= 0; i--) {
      const stage = present(this.#stages[i], "a stage");
      const { backward, update } = stage.programs;
      if (backward === null) break;
      const gradients = out.gradients.map((gradient) => this.#carry(i, "codecDown", gradient));
      out = await this.#run(stage, backward, gradients, null);
      if (update !== null && isLast) await this.#run(stage, update, [], null);
    }
  }

  /** What a tensor is after it has crossed the border between stages i and i+1. */
  #carry(i: number, way: "codecUp" | "codecDown", value: Tensor): Tensor {
    const from = present(this.#stages[i], "a stage").copy.node;
    const to = present(this.#stages[i + 1], "a stage").copy.node;
    const link = this.#plan.links.find(
      (candidate) =>
        candidate.chain === this.#chain.id && candidate.from === from && candidate.to === to,
    );
    const codec = codecs[link?.[way] ?? "float32"];
    return codec.decode(codec.encode(value), value);
  }

  /** Runs a program with every tensor passed by value; returns what leaves the stage. */
  async #run(
    stage: Stage,
    program: Program,
    crossing: readonly Tensor[],
    labels: Tensor | null,
  ): Promise<{ features: Tensor[]; gradients: Tensor[] }> {
    const { engine } = this.#options;
    const way = program.kind === "backward" ? "gradient" : "feature";
    const waiting = [...crossing];
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs) {
      // Backward may want the stage's input again, which came with forward.
      if (port.role === way) stage.held.set(key(port), present(waiting.shift(), port.of));
      feeds.set(port.name, copyOf(this.#input(stage, program, port, labels)));
    }
    await engine.load([program]);
    const { outputs } = await engine.run({
      program: program.id,
      feeds,
      keep: new Map(),
      fetch: program.outputs.map((port) => port.name),
    });
    const leaving = { features: [] as Tensor[], gradients: [] as Tensor[] };
    for (const port of program.outputs) {
      const value = present(outputs.get(port.name), port.name);
      if (port.role === "feature") leaving.features.push(value);
      else if (port.role === "gradient") leaving.gradients.push(value);
      else stage.held.set(key(port), value);
    }
    return leaving;
  }

  #input(stage: Stage, program: Program, port: Port, labels: Tensor | null): Tensor {
    const { seed, optimizer } = this.#options.job;
    switch (port.role) {
      case "labels":
        return present(labels, "labels");
      case "learningRate":
        return tensor("float32", [], Float32Array.of(this.#learningRate));
      case "noise":
        return drawNoise(port, { seed, node: this.#chain.source, step: this.#step, of: port.of });
      default:
        return isFirstSum(program, port) && this.#step % optimizer.accumulate === 0
          ? zeros(port)
          : present(stage.held.get(key(port)), `${port.role} ${port.of}`);
    }
  }
}

/** Whether a port takes the sum of gradients so far, which starts from zeros. */
const isFirstSum = (program: Program, { role }: Port): boolean =>
  role === "parameterGradient" && program.kind !== "update";

const key = (port: Port): string => `${port.role} ${port.of}`;

const copyOf = (value: Tensor): Tensor => {
  const { data, dtype, shape } = dense(value);
  return tensor(dtype, shape, data.slice());
};
