/**
 * Direct knowledge transfer of a member of an exchange, for one round: it tells neighbours what its batches lose, asks the best of
 * those who have come clearly further for its weights, and goes part of the way there if that loses less on
 * samples of its own that nobody trains on.
 *
 * Invariants:
 * 1. Weights are given, and taken over, between two exchanges: their version is the number of exchanges before.
 *    What is given is what a member had before it took over any itself.
 * 2. A member takes over no version that it has not reached itself.
 * 3. Nobody is waited for, and a neighbour's word decides nothing but who is asked. One whose weights were no
 *    better is not asked again in the round.
 */
import { present } from "../../base/assert.ts";
import { isAllFinite } from "../../base/finite.ts";
import { elementCount, type Tensor, tensor } from "../../base/tensor.ts";
import { decodeSparse, sparseCoding } from "../../codec/sparse.ts";
import { type Port, portOf } from "../../compile/program.ts";
import {
  bestOf,
  heldOutOf,
  isBetter,
  mixedWeights,
  type TransferRules,
} from "../../sync/transfer.ts";
import type { DataSource, Outcome, Slot } from "../host.ts";
import type { Transfer } from "../metrics/record.ts";
import type { Tensors } from "../wire/frame.ts";
import type { ExchangeMessage, PullMessage, WeightsMessage } from "../wire/messages.ts";
import type { ExchangeNeighbour, ExchangeSetup } from "./exchange-setup.ts";
import type { StageSetup } from "./stage-setup.ts";
import type { StageSurroundings } from "./stage-surroundings.ts";

/** What a transfer needs of the exchange that it is part of. */
export interface TransferAround {
  readonly rules: TransferRules;
  /** What is trained, in the order in which it is shared. */
  readonly ports: readonly Port[];
  readonly at: { readonly term: number; readonly round: number };
  isOver(): boolean;
  /** What is to be said of what was joined by the end of so many exchanges. */
  joinedBy(exchanges: number): Pick<ExchangeMessage, "joined">;
  /** The member goes on from other weights. */
  moved(weights: readonly Float32Array[]): void;
}

/** Weights of a neighbour that wait to be looked at. */
interface Answer {
  readonly version: number;
  readonly weights: readonly Float32Array[];
}

export class StageTransfer {
  readonly #setup: StageSetup;
  readonly #exchange: ExchangeSetup;
  readonly #around: StageSurroundings;
  readonly #of: TransferAround;
  /** Losses of batches since they were told last, and what was told. */
  #sum = 0;
  #batches = 0;
  #told: number | null = null;
  /** What neighbours have told last. */
  readonly #heard = new Map<string, number>();
  /** Who was asked and has not answered, and who is asked no more. */
  readonly #asked = new Set<string>();
  readonly #passedOver = new Set<string>();
  readonly #answers = new Map<string, Answer>();
  /** Who waits for weights, and how often each was given some. */
  readonly #pulls = new Set<ExchangeNeighbour>();
  readonly #given = new Map<string, number>();
  readonly #transfers: Transfer[] = [];

  constructor(
    setup: StageSetup,
    exchange: ExchangeSetup,
    around: StageSurroundings,
    of: TransferAround,
  ) {
    this.#setup = setup;
    this.#exchange = exchange;
    this.#around = around;
    this.#of = of;
  }

  /** What has become of weights that neighbours gave. */
  get transfers(): readonly Transfer[] {
    return this.#transfers;
  }

  /** A batch's loss; null where nothing is computed. */
  trained(loss: number | null): void {
    this.#sum += loss ?? Number.NaN;
    this.#batches++;
  }

  /** What goes with the part of the exchange that is the next after so many. */
  said(exchanges: number): Pick<ExchangeMessage, "loss" | "transfers"> {
    const isDue = (exchanges + 1) % this.#of.rules.every === 0;
    if (isDue && this.#batches > 0) {
      this.#told = this.#sum / this.#batches;
      this.#sum = 0;
      this.#batches = 0;
    }
    const loss = isDue && this.#told !== null && Number.isFinite(this.#told);
    return { ...(loss && { loss: this.#told as number }), ...this.#log };
  }

  get #log(): Pick<ExchangeMessage, "transfers"> {
    return this.#transfers.length === 0 ? {} : { transfers: this.#transfers };
  }

  /** A neighbour has told what its batches lose. */
  heard(chain: string, loss: number): void {
    this.#heard.set(chain, loss);
  }

  /** A neighbour is gone, or has sent what does not fit. */
  lost(chain: string): void {
    this.#heard.delete(chain);
    this.#asked.delete(chain);
    this.#answers.delete(chain);
    for (const to of this.#pulls) if (to.chain === chain) this.#pulls.delete(to);
  }

  /** A neighbour asks for weights; more often than the rules have it, in vain. */
  asked(to: ExchangeNeighbour, { step }: PullMessage): void {
    const given = this.#given.get(to.chain) ?? 0;
    if (given * this.#of.rules.every < step) this.#pulls.add(to);
  }

  /**
   * A neighbour gives its weights; those that nobody asked for are void.
   * @returns whether they are such weights as the member has, all finite
   */
  take({ chain, step }: WeightsMessage, tensors: Tensors): boolean {
    if (!this.#asked.delete(chain)) return true;
    const counts = this.#of.ports.map(({ shape }) => elementCount(shape));
    const values = decodeSparse("float32", { chosen: counts, tensors }, counts);
    if (values === null || ![...tensors.values()].every(isAllFinite)) return false;
    const weights = values.map((entries) => entries.values);
    this.#answers.set(chain, { version: step, weights });
    return true;
  }

  /** So many exchanges are done, and what came of them is in the engine: gives weights, and takes some over. */
  after(exchanges: number, go: () => void): void {
    const next = (): void => {
      this.#ask(exchanges);
      go();
    };
    const pulls = [...this.#pulls];
    const ready = [...this.#answers].find(([, { version }]) => version <= exchanges);
    if (pulls.length === 0 && ready === undefined) return next();
    this.#pulls.clear();
    this.#around.host.engine.read(this.#slots, (outcome) => {
      if (this.#of.isOver()) return;
      if (!outcome.ok) return this.#around.fail(outcome.error);
      const own = this.#slots.map(
        (slot) => present(outcome.value.get(slot), slot).data as Float32Array,
      );
      for (const to of pulls) this.#give(to, exchanges, own);
      if (ready === undefined) return next();
      const [chain, { version, weights }] = ready;
      this.#answers.delete(chain);
      this.#weigh(mixedWeights(own, weights, this.#of.rules), (ownLoss, mixedLoss) => {
        const isTaken = isBetter(mixedLoss, ownLoss);
        const lost = { ownLoss: finite(ownLoss), mixedLoss: finite(mixedLoss) };
        this.#transfers.push({ chain, version, at: exchanges, ...lost, isTaken });
        if (!isTaken) this.#passedOver.add(chain);
        next();
      });
    });
  }

  get #slots(): Slot[] {
    return this.#of.ports.map(({ of }) => this.#setup.tensors.slot(of));
  }

  /** Asks the best neighbour that has come clearly further, while there is time to use what it gives. */
  #ask(exchanges: number): void {
    const { rules } = this.#of;
    const isDue = exchanges % rules.every === 0 && exchanges < this.#exchange.exchanges;
    if (!isDue || this.#told === null || this.#heldOut === 0) return;
    const candidates = this.#exchange.incoming.flatMap(({ chain }): [string, number][] => {
      const loss = this.#heard.get(chain);
      const isOut = this.#asked.has(chain) || this.#passedOver.has(chain);
      return loss === undefined || isOut || this.#answers.has(chain) ? [] : [[chain, loss]];
    });
    const best = bestOf(this.#told, new Map(candidates), rules);
    if (best === null) return;
    this.#asked.add(best);
    const { node } = present(
      this.#exchange.incoming.find(({ chain }) => chain === best),
      best,
    );
    const from = { chain: this.#setup.chain.id, stage: 0 };
    this.#around.send({ type: "pull", to: node, ...this.#of.at, step: exchanges, ...from });
  }

  #give({ chain, node }: ExchangeNeighbour, version: number, own: readonly Float32Array[]): void {
    this.#given.set(chain, (this.#given.get(chain) ?? 0) + 1);
    const all = own.map((values) => ({ count: values.length, indices: null, values }));
    const from = { chain: this.#setup.chain.id, stage: 0 };
    const said = { ...this.#of.joinedBy(version), ...this.#log };
    const message = { type: "weights", to: node, ...this.#of.at, step: version, ...from } as const;
    this.#around.send({ ...message, ...said }, sparseCoding("float32").encode(all).parts.tensors);
  }

  get #train(): DataSource {
    return present(this.#around.host.train, "training data of a chain's source");
  }

  get #heldOut(): number {
    return heldOutOf(this.#train.samples, this.#setup.job.batch);
  }

  /** Measures its own weights and mixed ones on held-out samples, and goes on with the better ones. */
  #weigh(mixed: readonly Float32Array[], done: (ownLoss: number, mixedLoss: number) => void): void {
    const { engine } = this.#around.host;
    const { tensors, evaluation } = this.#setup;
    const program = evaluation(this.#heldOut);
    const mixedSlots = this.#of.ports.map(({ of }) => tensors.spaceSlot("mixed", 0, of));
    engine.load([program], this.#checked);
    engine.write(this.#valued(mixedSlots, mixed), this.#checked);
    const slots = new Map(this.#of.ports.map(({ of }, i) => [of, present(mixedSlots[i], of)]));
    this.#lossOf(
      program,
      (of) => tensors.slot(of),
      (ownLoss) => {
        this.#lossOf(
          program,
          (of) => slots.get(of) ?? tensors.slot(of),
          (mixedLoss) => {
            engine.drop(tensors.spaceSlot("mixed", 0, ""), this.#checked);
            if (isBetter(mixedLoss, ownLoss)) {
              engine.write(this.#valued(this.#slots, mixed), this.#checked);
              this.#of.moved(mixed);
            }
            done(ownLoss, mixedLoss);
          },
        );
      },
    );
  }

  #valued(slots: readonly Slot[], values: readonly Float32Array[]): Map<Slot, Tensor> {
    // The engine takes over the memory.
    const ports = this.#of.ports.map(({ dtype, shape }, i) =>
      tensor(dtype, shape, (values[i] as Float32Array).slice()),
    );
    return new Map(ports.map((value, i) => [present(slots[i], "a slot"), value]));
  }

  /** Mean loss of held-out samples under the weights in some slots. */
  #lossOf(
    program: ReturnType<StageSetup["evaluation"]>,
    slotOf: (of: string) => Slot,
    use: (loss: number) => void,
  ): void {
    const { job, chain } = this.#setup;
    const heldOut = this.#heldOut;
    const key = { seed: job.seed, node: chain.source, step: 0, size: heldOut };
    const among = { heldOut, isHeldOut: true };
    this.#train.batch({ ...key, among }, (batch) => {
      if (this.#of.isOver()) return;
      if (!batch.ok) return this.#around.fail(batch.error);
      const { features, labels } = batch.value;
      const feeds = new Map(
        program.inputs.map(({ name, role, of }): [string, Slot | Tensor] => {
          if (role === "feature") return [name, features];
          return [name, role === "labels" ? labels : slotOf(of)];
        }),
      );
      const { name } = portOf(program.outputs, "loss");
      const run = { program: program.id, feeds, keep: new Map(), fetch: [name] };
      this.#around.compute(program, run, (outcome) => {
        if (this.#of.isOver()) return;
        if (!outcome.ok) return this.#around.fail(outcome.error);
        use(Number(present(outcome.value.outputs.get(name), name).data?.[0]));
      });
    });
  }

  readonly #checked = (outcome: Outcome<null>): void => {
    if (!outcome.ok && !this.#of.isOver()) this.#around.fail(outcome.error);
  };
}

const finite = (loss: number): number | null => (Number.isFinite(loss) ? loss : null);
