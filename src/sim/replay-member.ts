/** One member of an exchange in a replay: what it trains, shares and goes on with, as the log says. */
import { present } from "../base/assert.ts";
import type { CopyId } from "../base/ids.ts";
import { dense, type Tensor, tensor, zeros } from "../base/tensor.ts";
import { sparseCoding } from "../codec/sparse.ts";
import {
  movedPorts,
  neededPorts,
  type Port,
  type Program,
  type StagePrograms,
} from "../compile/program.ts";
import type { SampleSource } from "../data/source.ts";
import { batchesToUpdate, type ExchangePlan, type MovedKind } from "../plan/exchange.ts";
import type { ChainPlan, CopyPlan, GroupPlan, Plan } from "../plan/plan.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { Participant, RoundCommitted, Took, Transfer } from "../run/metrics/record.ts";
import { drawNoise } from "../run/noise.ts";
import type { UpdateCoding } from "../run/update-coding.ts";
import type { SharedPart } from "../sync/joining.ts";
import { ExchangeMember } from "../sync/member.ts";
import { heldOutOf, mixedWeights, type TransferRules } from "../sync/transfer.ts";

/** What a round with an exchange began with. */
export interface ExchangeRound {
  readonly job: Job;
  readonly engine: Engine;
  readonly plan: Plan;
  readonly record: RoundCommitted;
  readonly trained: ReadonlyMap<string, Tensor>;
  samplesOf(node: ChainPlan["source"]): SampleSource;
  /** How what is brought travels home. */
  readonly updates: UpdateCoding;
  /** Batches that a source had drawn before the round. */
  firstStepOf(chain: ChainPlan): number;
  /** Programs of a copy that sums up so many batches to an update, which others join in or not. */
  compile(copy: CopyPlan, microBatches: number, isJoined: boolean): StagePrograms;
}

/** What each has shared so far, with whom. */
export type Shared = ReadonlyMap<CopyId, Map<CopyId, SharedPart>[]>;

interface MemberOf {
  readonly group: GroupPlan;
  readonly exchange: ExchangePlan;
  readonly copy: CopyPlan;
  readonly chain: ChainPlan;
  /** Undefined where it was dropped. */
  readonly brought: Participant | undefined;
}

export class MemberReplay {
  readonly #round: ExchangeRound;
  readonly #of: MemberOf;
  readonly #programs: StagePrograms;
  #member: ExchangeMember;
  readonly #held = new Map<string, Tensor>();
  readonly #ports: readonly Port[];
  readonly #outgoing: ExchangePlan["topology"];
  readonly #senders: ReadonlySet<CopyId>;
  readonly #microBatches: number;
  /** Batches to an update of its own. */
  readonly #toUpdate: number;
  /** Parts that it had joined by the end of each exchange, by chain, where that is not all in time. */
  #told: ReadonlyMap<string, readonly number[]> = new Map();
  /** Weights that it took over. */
  taken: readonly Transfer[] = [];
  /** Batches that it took before each exchange, where the log says so. */
  #took: readonly number[] = [];
  #learningRate: number;
  /** Batches that it had drawn before this round, since the last one that was committed. */
  #drawn = 0;
  #exchanges = 0;
  #sums = new Map<string, Tensor>();

  constructor(round: ExchangeRound, of: MemberOf) {
    this.#round = round;
    this.#of = of;
    const { exchange, copy, chain } = of;
    const { microBatches = 1 } = chain;
    this.#microBatches = microBatches;
    this.#learningRate = round.record.learningRate;
    this.#toUpdate = batchesToUpdate(exchange, microBatches);
    this.#programs = round.compile(copy, this.#toUpdate, exchange.every === 1);
    for (const port of neededPorts(this.#programs)) {
      this.#held.set(port.of, present(round.trained.get(port.of), port.of));
    }
    this.#outgoing = exchange.topology.filter(({ from }) => from === copy.id);
    this.#senders = new Set(
      exchange.topology.flatMap(({ from, to }) => (to === copy.id ? [from] : [])),
    );
    const { update, step } = this.#programs;
    const moving = present(update ?? step, "a program that moves parameters");
    // What moves has a gradient; running statistics move as well, and have none.
    const moved = round.compile(copy, microBatches, true).update?.outputs ?? [];
    const names = new Set(moved.filter(({ role }) => role === "parameter").map((port) => port.of));
    this.#ports = moving.outputs.filter((port) => port.role === "parameter" && names.has(port.of));
    this.#member = this.#newMember();
  }

  /** Another round begins: what was remembered of exchanges is gone, and what the log says is of it. */
  enter(at: OneRound, before: readonly OneRound[]): void {
    this.#learningRate = at.learningRate;
    this.#told = toldOf(this.#of, at);
    this.taken = takenBy(this.#of, at);
    this.#took = tookBy(this.#of, at);
    this.#drawn = before.reduce((sum, each) => sum + this.#batchesOf(tookBy(this.#of, each)), 0);
    this.#exchanges = 0;
    this.#sums = new Map();
    this.#member = this.#newMember();
  }

  #newMember(): ExchangeMember {
    const of = this.#of;
    const { exchange, copy } = of;
    const microBatches = this.#microBatches;
    return new ExchangeMember({
      ...{ rules: exchange, microBatches, coding: sparseCoding(exchange.codec) },
      outgoing: this.#outgoing.map(({ to, bytes }) => {
        return { chain: to, bytes, place: of.group.members.indexOf(to) };
      }),
      place: of.group.members.indexOf(copy.id),
      jointBatches: [...this.#senders].reduce(
        (sum, id) => sum + this.#microBatchesOf(id),
        microBatches,
      ),
      voices: this.#senders.size + 1,
      learningRate: this.#learningRate,
    });
  }

  get copy(): CopyPlan {
    return this.#of.copy;
  }

  get chain(): ChainPlan {
    return this.#of.chain;
  }

  get updates(): number {
    return this.chain.work / this.#microBatches;
  }

  #chainOf(copy: CopyId): ChainPlan {
    return present(
      this.#round.plan.chains.find(({ stages }) => stages[0]?.copy === copy),
      copy,
    );
  }

  #microBatchesOf(copy: CopyId): number {
    return this.#chainOf(copy).microBatches ?? 1;
  }

  begin(): void {
    if (this.#of.exchange.every > 1) this.#member.begin(this.weights);
  }

  get isParticipant(): boolean {
    return this.#of.brought !== undefined;
  }

  /** What it has come to, of some kinds. */
  tensors(kinds: readonly MovedKind[]): Map<string, Tensor> {
    const weights = new Set(this.#ports.map(({ of }) => of));
    const kindOf = ({ role, of }: Port): MovedKind =>
      role === "state" ? "state" : weights.has(of) ? "weight" : "statistic";
    const ports = movedPorts(this.#programs).filter((port) => kinds.includes(kindOf(port)));
    return new Map(ports.map(({ of }) => [of, present(this.#held.get(of), of)]));
  }

  get weights(): Float32Array[] {
    return this.#ports.map(({ of }) => valuesOf(present(this.#held.get(of), of)));
  }

  #gradients(): Float32Array[] {
    return this.#ports.map(({ of }) => valuesOf(present(this.#sums.get(of), of)));
  }

  /** Takes the batches of one update; what is summed stays. */
  sum(update: number): Promise<void> {
    return this.#sum(update * this.#microBatches, this.#microBatches);
  }

  /** Batches of a round in which it took so many before each exchange, or those of the plan. */
  #batchesOf(took: readonly number[]): number {
    const { computeMs } = this.#of.exchange;
    return computeMs === undefined
      ? this.chain.work
      : took.reduce((sum, batches) => sum + batches, 0);
  }

  /** Batches that it takes for one of the plan's updates, from which one on. */
  #within(update: number): readonly [from: number, to: number] {
    const { computeMs, every } = this.#of.exchange;
    if (computeMs === undefined) {
      return [update * this.#microBatches, (update + 1) * this.#microBatches];
    }
    // All of those before an exchange go with the last update before it.
    const from = this.#batchesOf(this.#took.slice(0, Math.floor(update / every)));
    // What nobody has told nobody has joined.
    const taken = this.#took[Math.floor(update / every)] ?? 0;
    return [from, (update + 1) % every === 0 ? from + taken : from];
  }

  /** Takes as many batches, and updates by itself as often as it has enough for one. */
  async trainAlone(update: number): Promise<void> {
    const [from, end] = this.#within(update);
    for (let at = from; at < end; at += this.#toUpdate) {
      await this.#sum(at, this.#toUpdate);
      await this.update();
    }
  }

  async #sum(from: number, batches: number): Promise<void> {
    const { job, samplesOf, firstStepOf } = this.#round;
    const { source } = this.chain;
    this.#sums = new Map();
    const first = firstStepOf(this.chain) + this.#drawn + from;
    const { transfer } = this.#of.exchange;
    const heldOut = transfer === undefined ? 0 : heldOutOf(samplesOf(source).samples, job.batch);
    const among = heldOut === 0 ? {} : { among: { heldOut, isHeldOut: false } };
    for (let step = first; step < first + batches; step++) {
      const at = { seed: job.seed, node: source, step, size: job.batch };
      const { features, labels } = samplesOf(source).batch({ ...at, ...among });
      await this.#run(present(this.#programs.step, "a step"), { step, features, labels });
    }
  }

  async update(): Promise<void> {
    if (this.#programs.update !== null) await this.#run(this.#programs.update, null);
  }

  share(fragment: number | null): { own: SharedPart; sent: Map<CopyId, SharedPart> } {
    const { every, select } = this.#of.exchange;
    const { weights } = this;
    const { own, sent } =
      every === 1
        ? this.#member.share(this.#gradients(), select.kind === "significant" ? weights : null)
        : this.#member.share(weights, null, fragment);
    this.#exchanges++;
    const parts = sent.map(({ arrived }, i): [CopyId, SharedPart] => {
      const { to } = present(this.#outgoing[i], "an edge");
      return [to, { batches: own.batches, tensors: arrived }];
    });
    return { own, sent: new Map(parts) };
  }

  /** What it joined then, of everybody's parts so far, in the order of the plan. */
  parts(own: SharedPart, shared: Shared): SharedPart[] {
    return this.#taken(own, shared).flat();
  }

  /** The same, by member. */
  #taken(own: SharedPart, shared: Shared): SharedPart[][] {
    const { copy, group } = this.#of;
    return group.members.map((id): SharedPart[] => {
      if (id === copy.id) return [own];
      if (!this.#senders.has(id)) return [];
      const sent = present(shared.get(id), id);
      const [from, to] = this.#joinedOf(id);
      return sent.slice(from, to).map((each) => present(each.get(copy.id), "a part"));
    });
  }

  join(parts: readonly SharedPart[]): Float32Array[] {
    return this.#member.join(parts);
  }

  /** What came of its slice, and what it sends of it. */
  reduce(parts: readonly SharedPart[]): { own: SharedPart; sent: Map<CopyId, SharedPart> } {
    this.#exchanges++;
    const own = { batches: this.#microBatches, tensors: this.#member.reduce(parts).arrived };
    return { own, sent: new Map(this.#outgoing.map(({ to }) => [to, own])) };
  }

  gather(own: SharedPart, shared: Shared): Float32Array[] {
    const slices = this.#taken(own, shared).map((parts) => parts.at(-1)?.tensors ?? null);
    return this.#member.gather(slices);
  }

  /** From what came of an exchange of all entries. */
  goOn(joint: readonly Float32Array[]): void {
    this.#set(this.#of.exchange.every === 1 ? this.#sums : this.#held, joint);
  }

  /** From what came of a fragment's, and a share of what it has come to since. */
  mix(joint: readonly Float32Array[]): void {
    this.#set(this.#held, this.#member.mixed(joint, this.weights));
  }

  /** Goes part of the way to another member's weights. */
  takeOver(other: readonly Float32Array[], rules: TransferRules): void {
    const mixed = mixedWeights(this.weights, other, rules);
    this.#set(this.#held, mixed);
    this.#member.moved(mixed);
  }

  #set(held: Map<string, Tensor>, values: readonly Float32Array[]): void {
    values.forEach((data, i) => {
      const { of, shape } = present(this.#ports[i], "a port");
      held.set(of, tensor("float32", shape, data));
    });
  }

  /** How many parts of a neighbour it had joined before this exchange, and after. */
  #joinedOf(id: CopyId): [number, number] {
    const at = this.#exchanges - 1;
    const parts = this.#told.get(this.#chainOf(id).id);
    if (parts === undefined) return [at, at + 1];
    // What nobody has told went no further.
    const after = (exchange: number): number => parts[exchange] ?? parts.at(-1) ?? 0;
    return [at === 0 ? 0 : after(at - 1), after(at)];
  }

  async #run(
    program: Program,
    batch: { readonly step: number; readonly features: Tensor; readonly labels: Tensor } | null,
  ): Promise<void> {
    const { engine } = this.#round;
    const feeds = new Map(
      program.inputs.map((port) => {
        const { data, dtype, shape } = dense(this.#input(port, batch));
        return [port.name, tensor(dtype, shape, data.slice())] as const;
      }),
    );
    await engine.load([program]);
    const fetch = program.outputs.map(({ name }) => name);
    const { outputs } = await engine.run({ program: program.id, feeds, keep: new Map(), fetch });
    for (const port of program.outputs) {
      const value = present(outputs.get(port.name), port.name);
      if (port.role === "parameterGradient") this.#sums.set(port.of, value);
      else if (port.role === "parameter" || port.role === "state") this.#held.set(port.of, value);
    }
  }

  #input(
    port: Port,
    batch: { readonly step: number; readonly features: Tensor; readonly labels: Tensor } | null,
  ): Tensor {
    const { job } = this.#round;
    switch (port.role) {
      case "feature":
        return present(batch, "a batch").features;
      case "labels":
        return present(batch, "a batch").labels;
      case "noise": {
        const { step } = present(batch, "a batch");
        return drawNoise(port, { seed: job.seed, node: this.chain.source, step, of: port.of });
      }
      case "learningRate":
        return tensor("float32", [], Float32Array.of(this.#learningRate));
      case "parameterGradient":
        return this.#sums.get(port.of) ?? zeros(port);
      default:
        return present(this.#held.get(port.of), port.of);
    }
  }
}

const valuesOf = (value: Tensor): Float32Array => dense(value).data as Float32Array;

/** A round as members' logs are of it, committed by itself or as part of a later one. */
type OneRound = {
  readonly learningRate: number;
  readonly participants: readonly Pick<Participant, "chain" | "joined" | "took" | "transfers">[];
};

/** Batches that a member took before each exchange, as it has told itself, or else who has heard most of it. */
function tookBy({ chain }: MemberOf, { participants }: OneRound): readonly number[] {
  const told = participants.flatMap(({ took = [] }) =>
    took.filter((one) => one.chain === chain.id),
  );
  const most = (a: Took, b: Took): Took => (b.batches.length > a.batches.length ? b : a);
  return told.length === 0 ? [] : told.reduce(most).batches;
}

/** What a member joined, as it has told itself, or else the neighbour that has heard most of it. */
function toldOf({ chain }: MemberOf, { participants }: OneRound) {
  const told = new Map<string, readonly number[]>();
  const brought = participants.find((one) => one.chain === chain.id);
  const all = brought === undefined ? participants : [brought];
  for (const { by, chain: of, parts } of all.flatMap(({ joined = [] }) => joined)) {
    const isItself = brought === undefined ? by === chain.id : by === undefined;
    if (isItself && parts.length > (told.get(of)?.length ?? -1)) told.set(of, parts);
  }
  return told;
}

/** Weights that a member took over, as it has told itself, or else the neighbour that has heard most of it. */
function takenBy({ chain }: MemberOf, { participants }: OneRound): Transfer[] {
  const brought = participants.find((one) => one.chain === chain.id);
  const logs = brought === undefined ? participants : [brought];
  const told = logs.map(({ transfers = [] }) =>
    transfers.filter(({ by }) => (brought === undefined ? by === chain.id : by === undefined)),
  );
  const most = Math.max(0, ...told.map(({ length }) => length));
  return told.find(({ length }) => length === most)?.filter(({ isTaken }) => isTaken) ?? [];
}
