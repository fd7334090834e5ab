/**
 * What a batch's tensors are after they have crossed a border, as a replay computes it: encoded and decoded by the two ends
 * of the link. What the ends remember belongs to the chain and is what its last committed round came to.
 */
import { present } from "../base/assert.ts";
import type { NodeId } from "../base/ids.ts";
import type { Tensor } from "../base/tensor.ts";
import { openReceiver, openSender, type Receiver, type Sender } from "../codec/link-codec.ts";
import { RowMemory } from "../codec/row-memory.ts";
import type { ChainPlan, Plan } from "../plan/plan.ts";
import { type Job, jobSpecOf } from "../run/job.ts";
import {
  crossingCodec,
  type LinkEnd,
  type MemoryRoom,
  type MemoryRules,
  memoryName,
  rememberingEnds,
  roomFor,
} from "../run/link-memory.ts";
import { roundingSeed } from "../run/noise.ts";

/** What all links remember after the last committed round, by name. */
export type LinkMemory = Map<string, RowMemory>;

/** Two ends of a link for one tensor. */
interface Ends {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly isOfSamples: boolean;
}

/** What crosses a border. */
export interface CrossingBatch {
  /** The stage before the border. */
  readonly border: number;
  readonly way: "up" | "down";
  /** Batches of the chain before this one. */
  readonly step: number;
  readonly samples: readonly number[];
  readonly values: readonly Tensor[];
}

/** The links of a chain in a round. */
export class ChainLinks {
  readonly #seed: number;
  readonly #rules: MemoryRules;
  readonly #plan: Plan;
  readonly #chain: ChainPlan;
  readonly #memory: LinkMemory;
  readonly #remembering: readonly LinkEnd[];
  readonly #open = new Map<string, Ends>();

  constructor(job: Job, { plan, chain }: { plan: Plan; chain: ChainPlan }, memory: LinkMemory) {
    this.#seed = job.seed;
    this.#rules = jobSpecOf(job);
    this.#plan = plan;
    this.#chain = chain;
    this.#memory = memory;
    this.#remembering = rememberingEnds(plan).get(chain.id) ?? [];
  }

  /** What arrives. */
  carry({ values, samples, ...at }: CrossingBatch): Tensor[] {
    const crossing = { seed: this.#seed, chain: this.#chain.id, ...at };
    return values.map((value, place) => {
      const { sender, receiver, isOfSamples } = this.#endsFor(value, place, at);
      const passage = {
        seed: roundingSeed(crossing, place),
        samples: isOfSamples ? samples : null,
      };
      return present(receiver.decode(sender.encode(value, passage)), "what was sent");
    });
  }

  #endsFor(value: Tensor, place: number, at: Pick<CrossingBatch, "border" | "way">): Ends {
    const key = `${at.border} ${at.way} ${place}`;
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const [from, to] = [this.#nodeOf(at.border), this.#nodeOf(at.border + 1)];
    const link = this.#plan.links.find(
      (candidate) =>
        candidate.chain === this.#chain.id && candidate.from === from && candidate.to === to,
    );
    const named = link?.[at.way === "up" ? "codecUp" : "codecDown"] ?? "float32";
    const codec = crossingCodec(named, this.#chain, at);
    const cut = this.#copyAt(at.border + 1).from;
    const isHere = (end: LinkEnd): boolean => end.cut === cut && end.way === at.way;
    const own = this.#remembering.filter(isHere);
    const memoryOf = (side: LinkEnd["side"]): RowMemory | null => {
      const end = own.find((one) => one.side === side);
      return end === undefined
        ? null
        : this.#memoryOf(end, place, roomFor(end, value, this.#rules));
    };
    const opened: Ends = {
      sender: openSender(codec, value, { memory: memoryOf("sender") }),
      receiver: openReceiver(codec, value, { memory: memoryOf("receiver") }),
      isOfSamples: own.some((end) => roomFor(end, value, this.#rules).isOfSamples),
    };
    this.#open.set(key, opened);
    return opened;
  }

  #memoryOf(end: LinkEnd, place: number, { rowLength, capacity }: MemoryRoom): RowMemory {
    const name = memoryName(end, place);
    const memory = this.#memory.get(name) ?? new RowMemory(rowLength, capacity);
    this.#memory.set(name, memory);
    return memory;
  }

  #copyAt(stage: number) {
    const id = present(this.#chain.stages[stage], "a stage").copy;
    return present(
      this.#plan.copies.find((copy) => copy.id === id),
      id,
    );
  }

  #nodeOf(stage: number): NodeId {
    return this.#copyAt(stage).node;
  }
}
