/**
 * The single-process replay of a committed log: the plainest way to compute what a distributed run must
 * have computed. It follows the `planned` and `round` records, one chain after the other (those that share
 * a copy by its turns), with the same stage programs, codecs and order of reduction, and none of the
 * peers' code. A distributed run is right when its weights equal the replay's bit for bit.
 */
import { present } from "../base/assert.ts";
import type { CopyId, NodeId } from "../base/ids.ts";
import { type DenseTensor, dense, type Tensor, tensor, zeros } from "../base/tensor.ts";
import { frozen } from "../compile/freeze.ts";
import type { Model } from "../compile/graph.ts";
import { optimizerState } from "../compile/optimizer.ts";
import { movedPorts, neededPorts, type Port, type Program, portOf } from "../compile/program.ts";
import { trainingModel } from "../compile/training-model.ts";
import type { SampleSource } from "../data/source.ts";
import { inRound } from "../plan/phases.ts";
import type { ChainPlan, Plan } from "../plan/plan.ts";
import { Draws } from "../run/coordinator/draws.ts";
import {
  type BroughtPart,
  broughtParts,
  mergeGroups,
  partWeights,
} from "../run/coordinator/merge.ts";
import type { Engine } from "../run/host.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import { type RoundCommitted, type RunRecord, standing } from "../run/metrics/record.ts";
import { drawNoise } from "../run/noise.ts";
import { spreadColumns } from "../run/spread-columns.ts";
import { stalenessOf, staleRate, updatesMissed } from "../run/staleness.ts";
import { UpdateCoding } from "../run/update-coding.ts";
import { stalePartWeight } from "../sync/sync.ts";
import { replayExchanges } from "./replay-exchange.ts";
import { ChainLinks, type LinkMemory } from "./replay-links.ts";
import { type Compile, sharedPrograms } from "./replay-programs.ts";
import type { CopyReplay, Stage, UnderWay } from "./replay-stage.ts";
import { Starts } from "./replay-starts.ts";

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
  const { graph, segments } = trainingModel(frozen(model.graph, job.frozen), jobSpecOf(job));
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
  const draws = new Draws();
  const memory: LinkMemory = new Map();
  for (const record of log) {
    if (record.type === "planned") plans.set(record.plan.term, record.plan);
    if (record.type !== "round") continue;
    starts.begin(record, trained);
    // A plan may come before the last round of the one before it is home.
    const whole = present(plans.get(record.term), `the plan of term ${record.term}`);
    const plan = inRound(whole, record.round);
    const together = await replayExchanges({
      ...{ ...options, plan, record, trained, updates },
      firstStepOf: ({ source }) => draws.next(source),
      compile: (copy, microBatches, isJoined) =>
        compile(copy, { isReplayed: false, isMerged: false, microBatches, isJoined }),
    });
    // Who was late in an earlier round had brought that, with what its codecs remember, before it began this one.
    const folded: BroughtPart[] = [];
    for (const part of record.folded ?? []) {
      const start = starts.of(part);
      const staleness = record.round - start.record.round;
      const given = { compile, updates, plan, trained: start.trained, memory };
      const replayed = new RoundReplay(options, given);
      const [{ samples, tensors }] = (await replayed.train({
        ...{ ...start.record, participants: [part], turns: [] },
      })) as [BroughtPart];
      folded.push({ samples: stalePartWeight(samples, staleness), tensors });
    }
    const given = { compile, updates, plan, trained, together, memory };
    const parts = await new RoundReplay(options, given).train(record);
    parts.push(...folded);
    draws.committed(plan, record);
    const merged = mergeGroups(plan, parts, (name) => present(trained.get(name), name));
    for (const [name, value] of merged) trained.set(name, value);
    options.onCommitted?.(record.round + 1, trained);
  }
  return new Map([...trained].map(([name, value]) => [name, dense(value)]));
}

/** What a round is replayed of: how programs are made, the plan, and the tensors at its start. */
interface RoundGiven {
  readonly compile: Compile;
  readonly updates: UpdateCoding;
  readonly plan: Plan;
  readonly trained: ReadonlyMap<string, Tensor>;
  /** What codecs remember. */
  readonly memory: LinkMemory;
  /** What copies came to that agreed while they trained. */
  readonly together?: ReadonlyMap<CopyId, ReadonlyMap<string, Tensor>>;
}

/** One round: chains that share a copy batch by batch, by its turns; all others one after the other. */
class RoundReplay {
  readonly #options: ReplayOptions;
  readonly #given: RoundGiven;
  readonly #copies = new Map<CopyId, CopyReplay>();

  constructor(options: ReplayOptions, given: RoundGiven) {
    this.#options = options;
    this.#given = given;
  }

  /** What the chains that made it bring. */
  async train(record: RoundCommitted): Promise<BroughtPart[]> {
    const { participants, turns = [] } = record;
    const { plan, together } = this.#given;
    const runs = new Map(plan.chains.map((chain) => [chain.id, this.#chain(chain, record)]));
    const apart = participants.filter(({ copies }) => !copies.some((copy) => together?.has(copy)));
    for (const { chain, copies } of apart) {
      const isAlone = !turns.some(({ copy }) => copies.includes(copy));
      if (isAlone) await present(runs.get(chain), chain).train();
    }
    for (const { copy, chains } of turns) {
      const sharing = sharingIn(plan, copy);
      for (const turn of chains)
        await present(runs.get(present(sharing[turn], copy).id), copy).next();
    }
    for (const { chain } of apart) await present(runs.get(chain), chain).end();
    const weightOf = partWeights(plan);
    const made = plan.chains.flatMap((chain) =>
      participants
        .filter((own) => own.chain === chain.id)
        .map(({ samples }) => ({ chain, weight: weightOf(chain.id, samples) })),
    );
    return broughtParts(made, (id) => together?.get(id) ?? this.#brought(id, record.round));
  }

  /** What a copy brings, as it is once it has travelled. */
  #brought(id: CopyId, round: number): Map<string, Tensor> {
    const { updates, trained } = this.#given;
    const { programs, held } = present(this.#copies.get(id), id);
    const ports = movedPorts(programs);
    const values = new Map(ports.map((port) => [port.of, present(held.get(key(port)), port.of)]));
    const baseOf = (name: string): Tensor => present(trained.get(name), name);
    return updates.asBrought({ values, baseOf }, { copy: id, round });
  }

  #chain(chain: ChainPlan, record: RoundCommitted): ChainReplay {
    const participant = record.participants.find((own) => own.chain === chain.id);
    const work = participant?.steps ?? chain.work;
    const stages = chain.stages.map(({ copy, backward, merge = null }, i): Stage => {
      const isReplayed = backward === "replay";
      const passes = participant?.passes?.[i] ?? "";
      return {
        copy: this.#copy(copy, { isReplayed, merge }),
        isReplayed,
        // What takes the passes in another order computes the same, unless the log says so.
        passes: passes || "FB".repeat(work),
        begun: passes.split("F").length - 1,
        ...{ underWay: new Map(), features: new Map(), gradients: new Map() },
        ...{ forward: 0, backward: 0 },
      };
    });
    const { learningRate, round, turns = [] } = record;
    const shared = turns.find(({ copy }) => copy === chain.stages.at(-1)?.copy);
    const place =
      shared === undefined ? -1 : sharingIn(this.#given.plan, shared.copy).indexOf(chain);
    const { firstStep = shared?.first[place] ?? round * chain.work } = participant ?? {};
    const { plan, memory } = this.#given;
    const links = new ChainLinks(this.#options.job, { plan, chain }, memory);
    return new ChainReplay(this.#options, { links, chain, stages, learningRate, firstStep, work });
  }

  #copy(
    id: CopyId,
    { isReplayed, merge }: { isReplayed: boolean; merge: number | null },
  ): CopyReplay {
    const known = this.#copies.get(id);
    if (known !== undefined) return known;
    const { compile, plan, trained } = this.#given;
    const copy = present(
      plan.copies.find((candidate) => candidate.id === id),
      id,
    );
    const perUpdate = (merge ?? 1) * this.#options.job.optimizer.accumulate;
    const programs = compile(copy, { isReplayed, isMerged: merge !== null && perUpdate > 1 });
    const held = new Map<string, Tensor>();
    for (const port of neededPorts(programs)) {
      held.set(key(port), present(trained.get(port.of), port.of));
    }
    const made = { id, node: copy.node, programs, held, perUpdate, summed: 0 };
    this.#copies.set(id, made);
    return made;
  }
}

/** The chains that end in a copy, in the order in which its turns number them. */
const sharingIn = ({ chains }: Plan, copy: CopyId): ChainPlan[] =>
  chains.filter(({ stages }) => stages.at(-1)?.copy === copy);

/** A chain in a round. */
interface ChainGiven {
  readonly links: ChainLinks;
  readonly chain: ChainPlan;
  readonly stages: readonly Stage[];
  readonly learningRate: number;
  /** Batches of the chain before the round, and in it. */
  readonly firstStep: number;
  readonly work: number;
}

/** One chain's round, from the tensors at its start to those that its copies bring. */
class ChainReplay {
  readonly #options: ReplayOptions;
  readonly #links: ChainLinks;
  readonly #chain: ChainPlan;
  readonly #stages: readonly Stage[];
  readonly #learningRate: number;
  readonly #firstStep: number;
  readonly #work: number;
  /** Batches that it is to train for now. */
  #until = 0;
  /** The samples of batches that were drawn, by step. */
  readonly #samples = new Map<number, readonly number[]>();

  constructor(
    options: ReplayOptions,
    { links, chain, stages, learningRate, firstStep, work }: ChainGiven,
  ) {
    this.#options = options;
    this.#links = links;
    this.#chain = chain;
    this.#stages = stages;
    this.#learningRate = learningRate;
    this.#firstStep = firstStep;
    this.#work = work;
  }

  /** All batches of the round. */
  train(): Promise<void> {
    return this.#train(this.#work);
  }

  /** One batch more. */
  next(): Promise<void> {
    return this.#train(this.#until + 1);
  }

  async #train(until: number): Promise<void> {
    this.#until = until;
    while (await this.#advance()) {}
    const open = this.#stages.find(({ backward }) => backward < until);
    if (open !== undefined) throw new Error(`the log's passes of ${open.copy.id} lead nowhere`);
  }

  /** The last gradients, where they are too few for an update of their own. */
  async end(): Promise<void> {
    if (this.#until !== this.#work) throw new Error(`the log's turns leave out ${this.#chain.id}`);
    for (const stage of this.#stages) if (stage.copy.summed > 0) await this.#update(stage);
  }

  /** Takes a pass wherever what it needs is there. @returns whether there was any */
  async #advance(): Promise<boolean> {
    let hasAdvanced = false;
    for (const [i, stage] of this.#stages.entries()) {
      const { forward, backward, features, gradients } = stage;
      const isForward =
        stage.copy.programs.step !== null || stage.passes[forward + backward] === "F";
      if (forward < Math.max(this.#until, stage.begun) && isForward) {
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
    const { programs } = this.#stage(0).copy;
    const { inputs } = present(programs.step ?? programs.forward, "a program that goes forward");
    const batch = this.#drawn(this.#chain.source, step, portOf(inputs, "feature"));
    this.#samples.set(step, batch.samples);
    this.#stage(0).features.set(step, { crossing: [batch.features], labels: batch.labels });
  }

  /** What a node has of a batch, as the model's input. */
  #drawn(node: NodeId, step: number, type: Port) {
    const { job, samplesOf } = this.#options;
    const own = samplesOf(node);
    const at = { seed: job.seed, node: this.#chain.source, step: this.#firstStep + step };
    const batch = own.batch({ ...at, size: job.batch });
    return { ...batch, features: spreadColumns(batch.features, own.party, type) };
  }

  async #goForward(
    i: number,
    step: number,
    { crossing, labels }: { crossing: Tensor[]; labels: Tensor },
  ): Promise<void> {
    const stage = this.#stage(i);
    const own = new Map<string, Tensor>();
    const { underWay } = stage;
    const { programs, held } = stage.copy;
    if (programs.step !== null) {
      const batch = { own, stashed: held };
      const out = await this.#run(stage, programs.step, { step, batch, crossing, labels });
      return this.#wentBack(i, step, out.gradients);
    }
    const batch = { own, stashed: new Map(held), backThen: stage.backward };
    const program = present(programs.forward, "a forward program");
    const out = await this.#run(stage, program, { step, batch, crossing, labels });
    underWay.set(step, batch);
    const features = this.#carry(i, "up", step, out.features);
    this.#stage(i + 1).features.set(step, { crossing: features, labels });
  }

  async #goBackward(i: number, step: number, crossing: Tensor[]): Promise<void> {
    const stage = this.#stage(i);
    const { isReplayed, underWay } = stage;
    const { programs, held } = stage.copy;
    const { own, stashed, backThen } = present(underWay.get(step), "a batch under way");
    underWay.delete(step);
    const batch = { own, stashed: isReplayed ? held : stashed };
    const out =
      programs.backward === null
        ? { gradients: [] }
        : await this.#run(stage, programs.backward, { step, batch, crossing, labels: null });
    await this.#wentBack(i, step, out.gradients, backThen);
  }

  /** Passes gradients on, and moves the parameters after the last batch of an update. */
  async #wentBack(
    i: number,
    step: number,
    gradients: readonly Tensor[],
    backThen = step,
  ): Promise<void> {
    const stage = this.#stage(i);
    stage.backward++;
    if (i > 0) {
      const carried = this.#carry(i - 1, "down", step, gradients);
      this.#stage(i - 1).gradients.set(step, carried);
    }
    stage.copy.summed++;
    const { summed, perUpdate: accumulate } = stage.copy;
    if (summed < accumulate) return;
    await this.#update(stage, updatesMissed({ backThen, backNow: step, accumulate }));
  }

  /** @param missed updates that the last batch does not know of */
  async #update(stage: Stage, missed = 0): Promise<void> {
    const { programs, held } = stage.copy;
    const batch = { own: new Map(), stashed: held };
    if (programs.update !== null) {
      const learningRate =
        stalenessOf(this.#options.job) === "divided"
          ? staleRate(this.#learningRate, missed)
          : this.#learningRate;
      const none = { step: 0, crossing: [], labels: null };
      await this.#run(stage, programs.update, { ...none, batch, learningRate });
    }
    stage.copy.summed = 0;
  }

  #stage(i: number): Stage {
    return present(this.#stages[i], "a stage");
  }

  /** What a batch's tensors are after they have crossed the border between stages i and i+1. */
  #carry(border: number, way: "up" | "down", step: number, values: readonly Tensor[]): Tensor[] {
    const samples = this.#samples.get(step) ?? [];
    return this.#links.carry({ border, way, step: this.#firstStep + step, samples, values });
  }

  /** Runs a program with every tensor passed by value; returns what leaves the stage. */
  async #run(
    stage: Stage,
    program: Program,
    { crossing, ...run }: Run,
  ): Promise<{ features: Tensor[]; gradients: Tensor[] }> {
    const { engine } = this.#options;
    const way = program.kind === "backward" ? "gradient" : "feature";
    const waiting = [...crossing];
    const feeds = new Map<string, Tensor>();
    for (const port of program.inputs) {
      // Backward may want the stage's input again, which came with forward.
      if (port.role === way) run.batch.own.set(key(port), present(waiting.shift(), port.of));
      feeds.set(port.name, copyOf(this.#input(stage, program, port, run)));
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
      else if (port.role === "saved") run.batch.own.set(key(port), value);
      else stage.copy.held.set(key(port), value);
    }
    return leaving;
  }

  #input(
    stage: Stage,
    program: Program,
    port: Port,
    { step, batch, labels, learningRate = this.#learningRate }: Omit<Run, "crossing">,
  ): Tensor {
    const { seed } = this.#options.job;
    const { held, summed } = stage.copy;
    const at = this.#firstStep + step;
    switch (port.role) {
      case "labels":
        return present(labels, "labels");
      case "columns":
        return this.#drawn(stage.copy.node, step, port).features;
      case "learningRate":
        return tensor("float32", [], Float32Array.of(learningRate));
      case "batchShare":
        return tensor("float32", [], Float32Array.of(1 / summed));
      case "noise":
        return drawNoise(port, { seed, node: this.#chain.source, step: at, of: port.of });
      case "parameter":
        return present(batch.stashed.get(key(port)), port.of);
      default:
        return isFirstSum(program, port) && summed === 0
          ? zeros(port)
          : present(batch.own.get(key(port)) ?? held.get(key(port)), key(port));
    }
  }
}

/** What a run of a program is given beside what its stage holds. */
interface Run {
  readonly step: number;
  readonly batch: Pick<UnderWay, "own" | "stashed">;
  readonly crossing: readonly Tensor[];
  readonly labels: Tensor | null;
  /** Of an update: the round's where absent. */
  readonly learningRate?: number;
}

/** Whether a port takes the sum of gradients so far, which starts from zeros. */
const isFirstSum = (program: Program, { role }: Port): boolean =>
  role === "parameterGradient" && program.kind !== "update";

const key = (port: Port): string => `${port.role} ${port.of}`;

const copyOf = (value: Tensor): Tensor => {
  const { data, dtype, shape } = dense(value);
  return tensor(dtype, shape, data.slice());
};
