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
import { openReceiver, openSender, type Receiver, type Sender } from "../codec/link-codec.ts";
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
import { type BroughtPart, mergeGroups, partWeights } from "../run/coordinator/merge.ts";
import type { Engine } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import {
  type FoldedPart,
  type Participant,
  type RoundCommitted,
  type RunRecord,
  standing,
} from "../run/metrics/record.ts";
import { drawNoise, roundingSeed } from "../run/noise.ts";
import { UpdateCoding } from "../run/update-coding.ts";
import { stalePartWeight } from "../sync/sync.ts";

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
  const compile = sharedPrograms(graph, segments, job);
  const updates = new UpdateCoding(segments, jobSpecOf(job));
  const plans = new Map<number, Plan>();
  const log = standing(records, (each) => each);
  const starts = new Starts(log);
  for (const record of log) {
    if (record.type === "planned") plans.set(record.plan.term, record.plan);
    if (record.type !== "round") continue;
    starts.begin(record, trained);
    // A plan may come before the last round of the one before it is home.
    const plan = present(plans.get(record.term), `the plan of term ${record.term}`);
    const parts: BroughtPart[] = [];
    const weightOf = partWeights(plan);
    for (const participant of [...record.participants, ...(record.folded ?? [])]) {
      const { chain: id, samples } = participant;
      const chain = present(
        plan.chains.find((candidate) => candidate.id === id),
        id,
      );
      const late = record.folded?.find((part) => part === participant);
      const start = late === undefined ? { record, trained } : starts.of(late);
      const run = new ChainReplay(options, { compile, updates, plan, chain });
      const tensors = await run.train(start.record, participant, start.trained);
      const staleness = record.round - start.record.round;
      parts.push({ samples: stalePartWeight(weightOf(chain.id, samples), staleness), tensors });
    }
    for (const [name, value] of mergeGroups(plan, parts)) trained.set(name, value);
    options.onCommitted?.(record.round + 1, trained);
  }
  return new Map([...trained].map(([name, value]) => [name, dense(value)]));
}

/** How a round began. */
interface RoundStart {
  readonly record: RoundCommitted;
  readonly trained: ReadonlyMap<string, Tensor>;
}

/** Keeps how rounds began whose late parts were folded into later ones. */
class Starts {
  readonly #wanted: ReadonlySet<number>;
  readonly #starts = new Map<number, RoundStart>();

  constructor(log: readonly RunRecord[]) {
    const folded = log.flatMap((record) => (record.type === "round" ? (record.folded ?? []) : []));
    this.#wanted = new Set(folded.map(({ round }) => round));
  }

  begin(record: RoundCommitted, trained: ReadonlyMap<string, Tensor>): void {
    if (!this.#wanted.has(record.round)) return;
    this.#starts.set(record.round, { record, trained: new Map(trained) });
  }

  of({ round }: FoldedPart): RoundStart {
    return present(this.#starts.get(round), `the start of round ${round}`);
  }
}

/** The programs of a copy's segments; `isReplayed` where backward starts again from the features. */
type Compile = (copy: CopyPlan, isReplayed: boolean) => StagePrograms;

/** Stages of the same segments have the same programs, in every chain and plan. */
function sharedPrograms(graph: Graph, segments: readonly Segment[], job: Job): Compile {
  const spec = jobSpecOf(job);
  const known = new Map<string, StagePrograms>();
  return ({ from, to }, isReplayed) => {
    const recompute = isReplayed || spec.recompute;
    const key = `${from} ${to} ${recompute}`;
    const programs =
      known.get(key) ?? stagePrograms(graph, segments, from, to, { ...spec, recompute });
    known.set(key, programs);
    return programs;
  };
}

interface Stage {
  readonly copy: CopyPlan;
  readonly programs: StagePrograms;
  readonly isReplayed: boolean;
  /** The passes that it has still to take, F forward and B backward. */
  passes: string;
  /** What it holds from batch to batch, by `of` and role: parameters, optimizer state, sums of gradients. */
  readonly held: Map<string, Tensor>;
  /** Batches that went forward and have not come back, by step. */
  readonly underWay: Map<number, UnderWay>;
  /** What has arrived, by step: features with their labels, and gradients. */
  readonly features: Map<number, { crossing: Tensor[]; labels: Tensor }>;
  readonly gradients: Map<number, Tensor[]>;
  /** Passes taken each way. */
  forward: number;
  backward: number;
}

/** What one batch leaves at a stage for its way back. */
interface UnderWay {
  /** Its features and what was saved of it. */
  readonly own: Map<string, Tensor>;
  /** What the stage held when it went forward. */
  readonly stashed: ReadonlyMap<string, Tensor>;
}

/** What a chain is trained under. */
interface Under {
  readonly compile: Compile;
  readonly updates: UpdateCoding;
  readonly plan: Plan;
  readonly chain: ChainPlan;
}

/** One chain's round, from the tensors at its start to each copy's tensors at its end. */
class ChainReplay {
  readonly #options: ReplayOptions;
  readonly #plan: Plan;
  readonly #chain: ChainPlan;
  readonly #stages: readonly Stage[];
  readonly #updates: UpdateCoding;
  #learningRate = 0;
  #firstStep = 0;
  /** Batches of the round. */
  #work = 0;
  /** The ends of links, which may remember for as long as the round; by border, way and place. */
  readonly #ends = new Map<string, { sender: Sender; receiver: Receiver }>();

  constructor(options: ReplayOptions, at: Under) {
    this.#options = options;
    this.#updates = at.updates;
    this.#plan = at.plan;
    this.#chain = at.chain;
    this.#stages = at.chain.stages.map(({ copy: id, backward }) => {
      const copy = present(
        at.plan.copies.find((candidate) => candidate.id === id),
        id,
      );
      const isReplayed = backward === "replay";
      return {
        copy,
        programs: at.compile(copy, isReplayed),
        isReplayed,
        passes: "",
        held: new Map(),
        underWay: new Map(),
        features: new Map(),
        gradients: new Map(),
        forward: 0,
        backward: 0,
      };
    });
  }

  async train(
    { round, learningRate }: RoundCommitted,
    { passes, steps, firstStep = round * this.#chain.work }: Participant,
    trained: ReadonlyMap<string, Tensor>,
  ): Promise<Map<CopyId, Map<string, Tensor>>> {
    const work = steps ?? this.#chain.work;
    this.#work = work;
    this.#learningRate = learningRate;
    this.#firstStep = firstStep;
    for (const [i, stage] of this.#stages.entries()) {
      // What takes the passes in another order computes the same, unless the log says so.
      stage.passes = passes?.[i] || "FB".repeat(work);
      for (const port of neededPorts(stage.programs)) {
        stage.held.set(key(port), present(trained.get(port.of), port.of));
      }
    }
    while (await this.#advance()) {}
    const open = this.#stages.find(({ backward }) => backward < work);
    if (open !== undefined) throw new Error(`the log's passes of ${open.copy.id} lead nowhere`);
    return new Map(
      this.#stages.map(({ copy, programs, held }) => {
        const values = new Map(
          movedPorts(programs).map((port) => [port.of, present(held.get(key(port)), port.of)]),
        );
        const baseOf = (name: string): Tensor => present(trained.get(name), name);
        const origin = { copy: copy.id, round };
        return [copy.id, this.#updates.asBrought({ values, baseOf }, origin)];
      }),
    );
  }

  /** Takes a pass wherever what it needs is there. @returns whether there was any */
  async #advance(): Promise<boolean> {
    let hasAdvanced = false;
    for (const [i, stage] of this.#stages.entries()) {
      const { forward, backward, features, gradients } = stage;
      const isForward = stage.programs.step !== null || stage.passes[forward + backward] === "F";
      if (forward < this.#work && isForward) {
        if (i === 0) this.#draw(forward);
        const feature = features.get(forward);
        if (feature === undefined) continue;
        features.delete(forward);
        stage.forward++;
        await this.#goForward(i, forward, feature);
      } else {
        const gradient = gradients.get(backward);
        if (gradient === undefined) continue;
        gradients.delete(backward);
        await this.#goBackward(i, backward, gradient);
      }
      hasAdvanced = true;
    }
    return hasAdvanced;
  }

  #draw(step: number): void {
    const { job, samplesOf } = this.#options;
    const { source } = this.#chain;
    const { features, labels } = samplesOf(source).batch({
      seed: job.seed,
      node: source,
      step: this.#firstStep + step,
      size: job.batch,
    });
    this.#stage(0).features.set(step, { crossing: [features], labels });
  }

  async #goForward(
    i: number,
    step: number,
    { crossing, labels }: { crossing: Tensor[]; labels: Tensor },
  ): Promise<void> {
    const stage = this.#stage(i);
    const own = new Map<string, Tensor>();
    const { programs, held, underWay } = stage;
    if (programs.step !== null) {
      const batch = { own, stashed: held };
      const out = await this.#run(stage, programs.step, { step, batch, crossing, labels });
      return this.#wentBack(i, step, out.gradients);
    }
    const batch = { own, stashed: new Map(held) };
    const program = present(programs.forward, "a forward program");
    const out = await this.#run(stage, program, { step, batch, crossing, labels });
    underWay.set(step, batch);
    const features = this.#carry(i, "up", step, out.features);
    this.#stage(i + 1).features.set(step, { crossing: features, labels });
  }

  async #goBackward(i: number, step: number, crossing: Tensor[]): Promise<void> {
    const stage = this.#stage(i);
    const { programs, isReplayed, held, underWay } = stage;
    const { own, stashed } = present(underWay.get(step), "a batch under way");
    underWay.delete(step);
    const batch = { own, stashed: isReplayed ? held : stashed };
    const out =
      programs.backward === null
        ? { gradients: [] }
        : await this.#run(stage, programs.backward, { step, batch, crossing, labels: null });
    await this.#wentBack(i, step, out.gradients);
  }

  /** Passes gradients on, and moves the parameters after the last batch of an update. */
  async #wentBack(i: number, step: number, gradients: readonly Tensor[]): Promise<void> {
    const stage = this.#stage(i);
    stage.backward++;
    if (i > 0) {
      const carried = this.#carry(i - 1, "down", step, gradients);
      this.#stage(i - 1).gradients.set(step, carried);
    }
    const isLast = (this.#firstStep + step + 1) % this.#options.job.optimizer.accumulate === 0;
    if (stage.programs.update === null || !isLast) return;
    const batch = { own: new Map(), stashed: stage.held };
    await this.#run(stage, stage.programs.update, { step, batch, crossing: [], labels: null });
  }

  #stage(i: number): Stage {
    return present(this.#stages[i], "a stage");
  }

  /** What a batch's tensors are after they have crossed the border between stages i and i+1. */
  #carry(i: number, way: "up" | "down", step: number, values: readonly Tensor[]): Tensor[] {
    const from = this.#stage(i).copy.node;
    const to = this.#stage(i + 1).copy.node;
    const link = this.#plan.links.find(
      (candidate) =>
        candidate.chain === this.#chain.id && candidate.from === from && candidate.to === to,
    );
    const codec = link?.[way === "up" ? "codecUp" : "codecDown"] ?? "float32";
    const at = { chain: this.#chain.id, border: i, way, step: this.#firstStep + step };
    const crossing = { seed: this.#options.job.seed, ...at };
    return values.map((value, place) => {
      const name = `${i} ${way} ${place}`;
      const ends = this.#ends.get(name) ?? {
        sender: openSender(codec, value),
        receiver: openReceiver(codec, value),
      };
      this.#ends.set(name, ends);
      const passage = { seed: roundingSeed(crossing, place), samples: null };
      return present(ends.receiver.decode(ends.sender.encode(value, passage)), "what was sent");
    });
  }

  /** Runs a program with every tensor passed by value; returns what leaves the stage. */
  async #run(
    stage: Stage,
    program: Program,
    { step, batch, crossing, labels }: Run,
  ): Promise<{ features: Tensor[]; gradients: Tensor[] }> {
    const { engine } = this.#options;
    const way = program.kind === "backward" ? "gradient" : "feature";
    const waiting = [...crossing];
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs) {
      // Backward may want the stage's input again, which came with forward.
      if (port.role === way) batch.own.set(key(port), present(waiting.shift(), port.of));
      feeds.set(port.name, copyOf(this.#input(stage, program, port, { step, batch, labels })));
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
      else if (port.role === "saved") batch.own.set(key(port), value);
      else stage.held.set(key(port), value);
    }
    return leaving;
  }

  #input(
    stage: Stage,
    program: Program,
    port: Port,
    { step, batch, labels }: Omit<Run, "crossing">,
  ): Tensor {
    const { seed, optimizer } = this.#options.job;
    const at = this.#firstStep + step;
    switch (port.role) {
      case "labels":
        return present(labels, "labels");
      case "learningRate":
        return tensor("float32", [], Float32Array.of(this.#learningRate));
      case "noise":
        return drawNoise(port, { seed, node: this.#chain.source, step: at, of: port.of });
      case "parameter":
        return present(batch.stashed.get(key(port)), port.of);
      default:
        return isFirstSum(program, port) && at % optimizer.accumulate === 0
          ? zeros(port)
          : present(batch.own.get(key(port)) ?? stage.held.get(key(port)), key(port));
    }
  }
}

/** What a run of a program is given beside what its stage holds. */
interface Run {
  readonly step: number;
  readonly batch: UnderWay;
  readonly crossing: readonly Tensor[];
  readonly labels: Tensor | null;
}

/** Whether a port takes the sum of gradients so far, which starts from zeros. */
const isFirstSum = (program: Program, { role }: Port): boolean =>
  role === "parameterGradient" && program.kind !== "update";

const key = (port: Port): string => `${port.role} ${port.of}`;

const copyOf = (value: Tensor): Tensor => {
  const { data, dtype, shape } = dense(value);
  return tensor(dtype, shape, data.slice());
};
