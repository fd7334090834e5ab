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
import type { Graph, Model } from "../compile/graph.ts";
import { optimizerState } from "../compile/optimizer.ts";
import { type Port, type Program, type StagePrograms, stagePrograms } from "../compile/program.ts";
import { type Segment, segmentModel } from "../compile/segment.ts";
import { specialize } from "../compile/specialize.ts";
import type { SampleSource } from "../data/source.ts";
import type { ChainPlan, CopyPlan, Plan } from "../plan/plan.ts";
import { mergeGroups } from "../run/coordinator/round.ts";
import type { Engine } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import type { Contribution } from "../sync/sync.ts";

/** A run to follow: its committed log, and the samples of its nodes. */
export interface ReplayOptions {
  readonly job: Job;
  readonly model: Model;
  readonly records: readonly RunRecord[];
  /** The private samples of each node, which a replay may see and a run may not. */
  readonly samplesOf: (node: NodeId) => SampleSource;
  readonly engine: Engine;
}

/** Parameters and optimizer state after the last committed round. */
export async function replay(options: ReplayOptions): Promise<Map<string, DenseTensor>> {
  const { job, model, records } = options;
  const optimizer = jobSpecOf(job).optimizer;
  const graph = specialize(model.graph, { batch: job.batch });
  const trained = new Map<string, Tensor>(model.weights);
  for (const parameter of graph.parameters) {
    for (const state of optimizerState(optimizer, parameter)) trained.set(state.name, zeros(state));
  }
  const segments = segmentModel(graph);
  let plan: Plan | null = null;
  for (const record of records) {
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

  constructor(
    options: ReplayOptions,
    at: { graph: Graph; segments: readonly Segment[]; plan: Plan; chain: ChainPlan },
  ) {
    this.#options = options;
    this.#plan = at.plan;
    this.#chain = at.chain;
    const { loss, optimizer } = jobSpecOf(options.job);
    this.#stages = at.chain.stages.map(({ copy: id }) => {
      const copy = present(
        at.plan.copies.find((candidate) => candidate.id === id),
        id,
      );
      const programs = stagePrograms(at.graph, at.segments, copy.from, copy.to, {
        loss: loss,
        optimizer: optimizer,
      });
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
      for (const port of trainedInputs(programs)) {
        held.set(key(port), present(trained.get(port.of), port.of));
      }
    }
    const source = samplesOf(this.#chain.source);
    for (let b = 0; b < this.#chain.work; b++) {
      const step = round * this.#chain.work + b;
      const { features, labels } = source.batch({
        seed: job.seed,
        node: this.#chain.source,
        step,
        size: job.batch,
      });
      await this.#batch(features, labels);
    }
    return new Map(
      this.#stages.map(({ copy, programs, held }) => [
        copy.id,
        new Map(
          trainedInputs(programs).map((port) => [port.of, present(held.get(key(port)), port.of)]),
        ),
      ]),
    );
  }

  async #batch(features: Tensor, labels: Tensor): Promise<void> {
    let feature = features;
    for (const [i, stage] of this.#stages.entries()) {
      if (stage.programs.forward === null) break;
      const out = await this.#run(stage, stage.programs.forward, feature, null);
      feature = this.#carry(i, "codecUp", present(out.get("feature"), "a feature"));
    }
    const last = present(this.#stages.at(-1), "a last stage");
    let out = await this.#run(last, present(last.programs.step, "a step"), feature, labels);
    for (let i = this.#stages.length - 2; i >= 0; i--) {
      const stage = present(this.#stages[i], "a stage");
      const { backward } = stage.programs;
      if (backward === null) break;
      const gradient = this.#carry(i, "codecDown", present(out.get("gradient"), "a gradient"));
      out = await this.#run(stage, backward, gradient, null);
      if (stage.programs.update !== null) await this.#run(stage, stage.programs.update, null, null);
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

  /** Runs a program with every tensor passed by value; returns what leaves the stage, by role. */
  async #run(
    stage: Stage,
    program: Program,
    crossing: Tensor | null,
    labels: Tensor | null,
  ): Promise<Map<string, Tensor>> {
    const { engine } = this.#options;
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs)
      feeds.set(port.name, this.#input(stage, program, port, crossing, labels));
    const copies = new Map([...feeds].map(([name, value]) => [name, copyOf(value)]));
    await engine.load([program]);
    const { outputs } = await engine.run({
      program: program.id,
      feeds: copies,
      keep: new Map(),
      fetch: program.outputs.map((port) => port.name),
    });
    const leaving = new Map<string, Tensor>();
    for (const port of program.outputs) {
      const value = present(outputs.get(port.name), port.name);
      if (port.role === "feature" || port.role === "gradient") leaving.set(port.role, value);
      else stage.held.set(key(port), value);
    }
    return leaving;
  }

  #input(
    stage: Stage,
    program: Program,
    port: Port,
    crossing: Tensor | null,
    labels: Tensor | null,
  ): Tensor {
    switch (port.role) {
      case "labels":
        return present(labels, "labels");
      case "learningRate":
        return tensor("float32", [], Float32Array.of(this.#learningRate));
      case "gradient":
        return present(crossing, "a gradient");
      case "feature":
        // Backward may want the stage's input again.
        if (program.kind !== "backward") stage.held.set(key(port), present(crossing, "a feature"));
        return present(stage.held.get(key(port)), "a feature");
      default:
        return present(stage.held.get(key(port)), `${port.role} ${port.of}`);
    }
  }
}

const key = (port: Port): string => `${port.role} ${port.of}`;

const copyOf = (value: Tensor): Tensor => {
  const { data, dtype, shape } = dense(value);
  return tensor(dtype, shape, data.slice());
};

/** Parameters and state, as the program that changes them takes them in. */
function trainedInputs({ step, update }: StagePrograms): readonly Port[] {
  const ports = (step ?? update)?.inputs ?? [];
  return ports.filter((port) => port.role === "parameter" || port.role === "state");
}
