/**
 * The exchange of a lone stage for one round: after its batches it shares what they gave with each neighbour,
 * waits for theirs as far as the staleness bound says, and goes on with what came of all of it.
 *
 * Invariants:
 * 1. A neighbour's parts are joined once each, in their order, none before the own one of the same
 *    exchange; parts are joined in the order of the plan's members, whenever they came.
 * 2. Who is gone, or has sent what does not fit, is waited for no longer. What it had sent by then is joined.
 * 3. A neighbour can make a stage keep no more of its parts than it may be ahead by.
 */
import { present } from "../../base/assert.ts";
import { areFinite } from "../../base/finite.ts";
import type { SparseParts, SparseValues } from "../../base/sparse.ts";
import { elementCount, hollow, type Tensor, tensor } from "../../base/tensor.ts";
import { decodeSparse, hollowSparse, sparseCoding } from "../../codec/sparse.ts";
import { type Port, portsOf } from "../../compile/program.ts";
import type { SharedPart } from "../../sync/joining.ts";
import { ExchangeMember } from "../../sync/member.ts";
import { chosenUnseen } from "../../sync/selection.ts";
import { lengthOf, sliceAt } from "../../sync/slices.ts";
import { fragmentSlices } from "../../sync/streaming.ts";
import type { Outcome, Slot } from "../host.ts";
import type { Joined, Took, Transfer } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ExchangeMessage, PullMessage, WeightsMessage } from "../wire/messages.ts";
import type { ExchangeNeighbour, ExchangeSetup } from "./exchange-setup.ts";
import { LocalSteps } from "./local-steps.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";
import { StageTransfer } from "./stage-transfer.ts";
import { TakenBatches } from "./taken-batches.ts";

/** A neighbour's standing in the round. */
interface Incoming {
  readonly from: ExchangeNeighbour;
  /** Parts that have come and are not joined, by exchange; null in a world without values. */
  readonly parts: Map<number, SharedPart | null>;
  /** Parts that have been joined, after each exchange. */
  readonly joined: number[];
  /** What it has joined of others before each part that has come, as far as that is to be said. */
  readonly told: Map<number, NonNullable<ExchangeMessage["joined"]>>;
  /** What it said of weights that it was given. */
  transfers: readonly Transfer[];
  isGone: boolean;
}

/** What the round is. */
interface RoundOf {
  readonly term: number;
  readonly round: number;
  readonly learningRate: number;
}

/** The exchange of a stage's round; null where it has none. */
export function stageExchange(
  setup: StageSetup,
  around: StageSurroundings,
  at: RoundOf,
  isOver: () => boolean,
): StageExchange | null {
  const { exchange } = setup;
  return exchange === null ? null : new StageExchange(setup, exchange, around, { ...at, isOver });
}

export class StageExchange {
  readonly #setup: StageSetup;
  readonly #exchange: ExchangeSetup;
  readonly #around: StageSurroundings;
  readonly #at: RoundOf & { isOver: () => boolean };
  readonly #member: ExchangeMember;
  /** Gradients of the trained parameters, in the order in which they are shared. */
  readonly #ports: readonly Port[];
  readonly #incoming: readonly Incoming[];
  /** Null where members take over no weights. */
  readonly #transfer: StageTransfer | null;
  /** Chains that are out of the round, as the coordinator says. */
  readonly #dropped = new Set<string>();
  #isAlone = false;
  /** Null where gradients are exchanged before each update. */
  readonly #localSteps: LocalSteps | null;
  /** Where members compute for a time. */
  readonly #taken = new TakenBatches();
  /** Messages to each neighbour so far. */
  #exchanges = 0;
  /** What goes with the parts of the exchange under way, beside those. */
  #said: Pick<ExchangeMessage, "loss" | "transfers" | "took"> = {};
  /** Goes on once there is nobody to wait for; null where nothing waits. */
  #waiting: (() => void) | null = null;

  constructor(
    setup: StageSetup,
    exchange: ExchangeSetup,
    around: StageSurroundings,
    at: RoundOf & { isOver: () => boolean },
  ) {
    this.#setup = setup;
    this.#exchange = exchange;
    this.#around = around;
    this.#at = at;
    const { incoming, outgoing, microBatches, place, plan: rules } = exchange;
    this.#member = new ExchangeMember({
      ...{ rules, outgoing, microBatches, learningRate: at.learningRate },
      coding: sparseCoding(rules.codec),
      jointBatches: incoming.reduce((sum, other) => sum + other.microBatches, microBatches),
      ...{ voices: incoming.length + 1, place },
    });
    const { update, step } = setup.programs;
    // Updates of single batches, each by itself, are part of the step.
    const moving = present(update ?? step, "a program that moves parameters");
    this.#ports = portsOf(moving.outputs, "parameter").filter(({ of }) =>
      setup.tensors.isMoved(of),
    );
    this.#incoming = incoming.map((from) => ({
      ...{ from, parts: new Map(), joined: [], told: new Map(), isGone: false },
      transfers: [],
    }));
    const { term, round, isOver } = at;
    this.#transfer =
      rules.transfer === undefined
        ? null
        : new StageTransfer(setup, exchange, around, {
            ...{ rules: rules.transfer, ports: this.#ports, at: { term, round }, isOver },
            joinedBy: (exchanges) => this.#joinedBy(exchanges),
            moved: (weights) => this.#member.moved(weights),
          });
    this.#localSteps =
      rules.every === 1
        ? null
        : new LocalSteps(exchange, {
            ...{ member: this.#member, ports: this.#ports, isHollow: this.#isHollow },
            read: (ports, use) => this.#read(this.#slotsOf(ports), use),
            write: (ports, values) => this.#write(this.#slotsOf(ports), values, ports),
            now: () => this.#around.host.now(),
            took: (at, batches) => this.#taken.note({ chain: setup.chain.id, at, batches }, true),
            agree: (values, at, done) => this.#agree(values, at, done),
          });
  }

  /** Where no number of batches ends the round, whether its exchanges have; null elsewhere. */
  get isTrained(): boolean | null {
    return this.#localSteps?.isTrained ?? null;
  }

  /** Before the first batch: where changes of weights are shared, they are changes from here. */
  begin(): void {
    this.#localSteps?.begin();
  }

  /** The sums of an update's gradients are there; `go` runs the update. */
  beforeUpdate(go: () => void): void {
    if (this.#localSteps !== null) return go();
    const { tensors } = this.#setup;
    const slots = this.#ports.map(({ of }) => tensors.spaceSlot("parameterGradient", 0, of));
    const isSignificance = this.#exchange.plan.select.kind === "significant";
    const weightSlots = isSignificance ? this.#slotsOf(this.#ports) : [];
    this.#read([...slots, ...weightSlots], (values) => {
      this.#agree(values, null, (joint) => {
        this.#write(slots, joint);
        go();
      });
    });
  }

  /** A batch's loss; null where nothing is computed. */
  trained(loss: number | null): void {
    this.#transfer?.trained(loss);
  }

  /** An update is done; `go` goes on with the next batch. */
  afterUpdate(go: () => void): void {
    const done = (): void => {
      if (this.#transfer === null) go();
      else this.#transfer.after(this.#exchanges, go);
    };
    if (this.#localSteps === null) done();
    else this.#localSteps.after(go, done);
  }

  #slotsOf(ports: readonly Port[]): Slot[] {
    return ports.map(({ of }) => this.#setup.tensors.slot(of));
  }

  /** A neighbour has sent its part of an exchange, wants weights, or gives them. */
  take(message: ExchangeMessage | PullMessage | WeightsMessage, tensors: Tensors): void {
    const { term, round, isOver } = this.#at;
    if (isOver() || message.term !== term || message.round !== round) return;
    if (message.type === "pull") return this.#asked(message);
    const incoming = this.#incoming.find(({ from }) => from.chain === message.chain);
    if (incoming === undefined || incoming.isGone) return;
    if (message.type === "weights") this.#given(incoming, message, tensors);
    else this.#shared(incoming, message, tensors);
  }

  #asked(message: PullMessage): void {
    const to = this.#exchange.outgoing.find(({ chain }) => chain === message.chain);
    if (to !== undefined && !this.#dropped.has(to.chain)) this.#transfer?.asked(to, message);
  }

  #given(incoming: Incoming, message: WeightsMessage, tensors: Tensors): void {
    if (this.#transfer?.take(message, tensors) === false) this.#giveUp(incoming);
    else this.#note(incoming, message);
    this.#settle();
  }

  #shared(incoming: Incoming, message: ExchangeMessage, tensors: Tensors): void {
    // Who has had the last part from here can be one exchange further, and by the bound beyond.
    const ahead = this.#exchanges + this.#exchange.plan.staleness;
    if (message.step < joinedOf(incoming) || message.step > ahead) return;
    if (incoming.parts.has(message.step)) return;
    const part = this.#decode(message, incoming.from, tensors);
    if (part === "misfit") this.#giveUp(incoming);
    else {
      incoming.parts.set(message.step, part);
      this.#note(incoming, message);
      for (const one of message.took ?? []) this.#taken.note(one, one.chain === message.chain);
      if (message.loss !== undefined) this.#transfer?.heard(message.chain, message.loss);
    }
    this.#settle();
  }

  /** What a neighbour says of itself, which it may not live to say again. */
  #note(
    incoming: Incoming,
    { step, joined = [], transfers = [] }: ExchangeMessage | WeightsMessage,
  ): void {
    if (!incoming.told.has(step)) incoming.told.set(step, joined);
    if (transfers.length > incoming.transfers.length) incoming.transfers = transfers as Transfer[];
  }

  #giveUp(incoming: Incoming): void {
    incoming.isGone = true;
    this.#transfer?.lost(incoming.from.chain);
  }

  /** A neighbour's chain is out of the round. */
  lost(chain: string): void {
    this.#dropped.add(chain);
    this.#transfer?.lost(chain);
    const incoming = this.#incoming.find(({ from }) => from.chain === chain);
    if (incoming === undefined) return;
    incoming.isGone = true;
    this.#settle();
  }

  /** The coordinator is away: nobody knows who will be there to bring what all have. */
  goAlone(): void {
    this.#isAlone = true;
  }

  /** Whether another member that is in the round brings what all have at its end. */
  get isRest(): boolean {
    if (this.#isAlone) return false;
    return this.#exchange.alikeBefore.some((chain) => !this.#dropped.has(chain));
  }

  /**
   * What was joined when, of whom it is not one part each time, and what became of weights that were given; also by
   * neighbours, who may not live to tell it.
   */
  get told(): {
    readonly joined?: readonly Joined[];
    readonly took?: readonly Took[];
    readonly transfers?: readonly Transfer[];
  } {
    const late = this.#incoming.filter(({ joined }) => joined.some((parts, i) => parts !== i + 1));
    const own = late.map(({ from, joined: parts }): Joined => ({ chain: from.chain, parts }));
    const joined = [...own, ...this.#incoming.flatMap(toldBy)];
    const given = this.#incoming.flatMap(({ from, transfers: theirs }) =>
      theirs.map((one): Transfer => ({ ...one, by: from.chain })),
    );
    const transfers = [...(this.#transfer?.transfers ?? []), ...given];
    const took = this.#taken.all;
    return {
      ...(joined.length > 0 && { joined }),
      ...(took.length > 0 && { took }),
      ...(transfers.length > 0 && { transfers }),
    };
  }

  #decode(
    { step, batches, chosen }: ExchangeMessage,
    { microBatches, place }: ExchangeNeighbour,
    tensors: Tensors,
  ): SharedPart | "misfit" | null {
    if (batches !== ExchangeMember.weightOf(this.#exchange.plan, microBatches)) return "misfit";
    if (this.#isHollow) return null;
    const { plan } = this.#exchange;
    const isScattered = plan.reduce === "scatter";
    const all = this.#countsOf(isScattered ? Math.floor(step / 2) : step);
    // Slices go by turns to who joins them, and come from there.
    const joiner = step % 2 === 0 ? this.#exchange.place : place;
    const counts = isScattered ? this.#sliceCounts(joiner, all) : all;
    const values = decodeSparse(plan.codec, { chosen, tensors }, counts);
    if (values === null || !values.every((own) => areFinite(own.values))) return "misfit";
    return { batches, tensors: values };
  }

  get #isHollow(): boolean {
    return this.#around.host.engine.isHollow === true;
  }

  /** Entries of each tensor that an exchange is of. @param at its place in the round */
  #countsOf(at: number): number[] {
    const counts = this.#ports.map(({ shape }) => elementCount(shape));
    const { times, plan } = this.#exchange;
    return fragmentSlices(counts, plan.stream, times[at]?.fragment ?? null).map(lengthOf);
  }

  /**
   * Shares values; `done` is told what came of them and of everybody's, once there is nobody to wait for.
   * @param at its place in the round, where changes of weights are shared
   */
  #agree(
    values: readonly Tensor["data"][],
    at: number | null,
    done: (joint: readonly Float32Array[] | null) => void,
  ): void {
    const exchange = this.#exchanges++;
    this.#said = { ...this.#transfer?.said(exchange), ...this.#heard() };
    const counts = this.#countsOf(at ?? exchange);
    const fragment = at === null ? null : (this.#exchange.times[at]?.fragment ?? null);
    const own = this.#isHollow ? null : this.#share(values as readonly Float32Array[], fragment);
    if (own === null) this.#shareUnseen(exchange, counts);
    this.#await(() => {
      const taken = this.#takeParts();
      const parts = own && taken.toSpliced(this.#exchange.position, 0, [own]).flat();
      if (this.#exchange.plan.reduce === "scatter") this.#gather(parts, counts, done);
      else done(parts && this.#member.join(parts));
    });
  }

  /** Sends everybody what came of the slice that it joins for all, and puts theirs together. */
  #gather(
    parts: readonly SharedPart[] | null,
    all: readonly number[],
    done: (joint: readonly Float32Array[] | null) => void,
  ): void {
    const { place, outgoing } = this.#exchange;
    this.#exchanges++;
    this.#said = { ...this.#said, ...this.#heard() };
    const reduced = parts && this.#member.reduce(parts);
    const counts = this.#sliceCounts(place, all);
    const { codec } = this.#exchange.plan;
    const sent = reduced === null ? hollowSparse(codec, counts, counts) : reduced.parts;
    for (const i of outgoing.keys()) this.#send(i, sent);
    this.#await(() => {
      const taken = this.#takeParts();
      if (reduced === null) return done(null);
      const slices: (readonly SparseValues[] | null)[] = taken.map(() => null);
      for (const [i, { from }] of this.#incoming.entries()) {
        slices[from.place] = taken[i]?.at(-1)?.tensors ?? null;
      }
      slices[place] = reduced.arrived;
      done(this.#member.gather(slices));
    });
  }

  /** Goes on once there is nobody to wait for. */
  #await(moveOn: () => void): void {
    this.#waiting = moveOn;
    this.#settle();
  }

  /** Of entries that are exchanged of each tensor, those that the member at a place joins for all. */
  #sliceCounts(place: number, all: readonly number[]): number[] {
    return sliceAt(all, this.#incoming.length + 1, place).map(lengthOf);
  }

  /** @param all what is shared, and the weights behind it where they are asked for */
  #share(all: readonly Float32Array[], fragment: number | null): SharedPart {
    const values = all.slice(0, this.#ports.length);
    const weights = all.length > values.length ? all.slice(values.length) : null;
    const { own, sent } = this.#member.share(values, weights, fragment);
    sent.forEach(({ parts }, i) => {
      this.#send(i, parts);
    });
    return own;
  }

  #shareUnseen(exchange: number, all: readonly number[]): void {
    const { plan, outgoing } = this.#exchange;
    outgoing.forEach(({ bytes: bytesMax, place }, i) => {
      const counts = plan.reduce === "scatter" ? this.#sliceCounts(place, all) : all;
      const { bytesOf } = sparseCoding(plan.codec);
      const chosen = chosenUnseen(plan.select, counts, { exchange, bytesMax, bytesOf });
      this.#send(i, hollowSparse(plan.codec, counts, chosen));
    });
  }

  #send(to: number, { chosen, tensors }: SparseParts): void {
    const { chain } = this.#setup;
    const { node } = present(this.#exchange.outgoing[to], "a neighbour");
    const { plan, microBatches } = this.#exchange;
    const { term, round } = this.#at;
    const batches = ExchangeMember.weightOf(plan, microBatches);
    const step = this.#exchanges - 1;
    const at = { to: node, term, round, step, chain: chain.id, stage: 0 };
    const said = { ...this.#joinedBy(step), ...this.#said };
    this.#around.send({ type: "exchange", ...at, batches, chosen, ...said }, tensors);
  }

  /** Who took how many batches, as far as it has not been said. */
  #heard(): Pick<ExchangeMessage, "took"> {
    const took = this.#taken.news();
    return took.length === 0 ? {} : { took };
  }

  /** What is to be said of what was joined by the end of so many exchanges. */
  #joinedBy(exchanges: number): Pick<ExchangeMessage, "joined"> {
    const joined = this.#incoming
      .filter((incoming) => joinedOf(incoming) !== exchanges)
      .map((incoming) => ({ chain: incoming.from.chain, parts: joinedOf(incoming) }));
    return joined.length === 0 ? {} : { joined };
  }

  /** Writes what was joined; null where nothing was computed. */
  #write(slots: readonly Slot[], joint: readonly Float32Array[] | null, ports = this.#ports): void {
    const values = new Map<Slot, Tensor>();
    for (const [i, { dtype, shape }] of ports.entries()) {
      const data = joint?.[i];
      const value = data === undefined ? hollow({ dtype, shape }) : tensor(dtype, shape, data);
      values.set(present(slots[i], "a slot"), value);
    }
    this.#around.host.engine.write(values, (outcome: Outcome<null>) => {
      if (!outcome.ok && !this.#at.isOver()) this.#around.fail(outcome.error);
    });
  }

  /** Goes on where nobody is to be waited for any more. */
  #settle(): void {
    const waiting = this.#waiting;
    if (waiting === null || this.#at.isOver()) return;
    const { staleness, backups } = this.#exchange.plan;
    const here = this.#incoming
      .filter(({ isGone }) => !isGone)
      .map((incoming) => joinedOf(incoming) + this.#ready(incoming));
    if (here.some((parts) => parts < this.#exchanges - staleness)) return;
    const behind = here.filter((parts) => parts < this.#exchanges).length;
    if (behind > (backups ?? behind)) return;
    this.#waiting = null;
    waiting();
  }

  /** Parts that have come and may be joined now: those behind one another, up to the exchange under way. */
  #ready(incoming: Incoming): number {
    const first = joinedOf(incoming);
    let next = first;
    while (next < this.#exchanges && incoming.parts.has(next)) next++;
    return next - first;
  }

  /** Takes what is joined now, of each neighbour. */
  #takeParts(): SharedPart[][] {
    return this.#incoming.map((incoming) => {
      const taken: SharedPart[] = [];
      const { parts, joined } = incoming;
      const first = joinedOf(incoming);
      const end = first + this.#ready(incoming);
      for (let step = first; step < end; step++) {
        const part = parts.get(step);
        parts.delete(step);
        if (part) taken.push(part);
      }
      joined.push(end);
      return taken;
    });
  }

  #read(slots: readonly Slot[], use: (values: readonly Tensor["data"][]) => void): void {
    this.#around.host.engine.read(slots, (outcome) => {
      if (this.#at.isOver()) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const { value } = outcome;
      use(slots.map((slot) => present(value.get(slot), slot).data));
    });
  }
}

const joinedOf = ({ joined }: Incoming): number => joined.at(-1) ?? 0;

/** What a neighbour said it joined of others before each of its parts: after its exchanges up to the last but one. */
function toldBy({ from, told }: Incoming): Joined[] {
  const exchanges = Math.max(0, ...told.keys());
  const chains = new Set([...told.values()].flatMap((joined) => joined.map(({ chain }) => chain)));
  return [...chains].map((chain): Joined => {
    const parts = Array.from({ length: exchanges }, (_, i) => {
      return told.get(i + 1)?.find((one) => one.chain === chain)?.parts ?? i + 1;
    });
    return { by: from.chain, chain, parts };
  });
}
