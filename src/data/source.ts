/** A data set as peers draw from it: training batches by key, held-out samples in order. */
import type { Party } from "../base/party.ts";
import { random } from "../base/random.ts";
import { BatchSampler } from "./batches.ts";
import type { Batch, Dataset } from "./dataset.ts";

/** A share of a node's samples: so many that are held out of training, or the others. Which those are follows from seed and node. */
export interface SampleShare {
  readonly heldOut: number;
  readonly isHeldOut: boolean;
}

/** Names a training batch: equal keys give equal batches. */
export interface BatchKey {
  readonly seed: number;
  /** Name of the node that holds the samples. */
  readonly node: string;
  /** Batches that the node has drawn before this one. */
  readonly step: number;
  readonly size: number;
  /** Which of the samples it is drawn from; from all where absent. */
  readonly among?: SampleShare;
}

/**
 * Labelled samples that training and evaluation draw from. The same key gives the same batch on any machine.
 */
export class SampleSource {
  readonly samples: number;
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly classNames: readonly string[] | null;
  /** What it holds of samples that others hold the rest of; null where it holds all. */
  readonly party: Party | null;
  readonly #dataset: Dataset;
  readonly #samplers = new Map<string, { indices: BatchSampler["indices"] }>();

  constructor(dataset: Dataset, party: Party | null = null) {
    this.#dataset = dataset;
    this.party = party;
    this.samples = dataset.samples;
    this.inputShape = dataset.inputShape;
    this.classes = dataset.classes;
    this.classNames = dataset.classNames ?? null;
  }

  /** The training batch of a key, and which samples those are; see `data/batches.ts`. */
  batch({
    seed,
    node,
    step,
    size,
    among = all,
  }: BatchKey): Batch & { readonly samples: readonly number[] } {
    const name = `${seed} ${among.heldOut} ${among.isHeldOut} ${node}`;
    let sampler = this.#samplers.get(name);
    if (sampler === undefined) {
      sampler = this.#sampler(seed, node, among);
      this.#samplers.set(name, sampler);
    }
    const indices = sampler.indices(size, step);
    return { ...this.#dataset.gather(indices), samples: [...indices] };
  }

  #sampler(seed: number, node: string, { heldOut, isHeldOut }: SampleShare) {
    if (heldOut === 0) return new BatchSampler(this.samples, seed, node);
    // Stored orders may have classes one after the other.
    const order = Int32Array.from({ length: this.samples }, (_, i) => i);
    random(seed).fork(`held out of ${node}`).shuffle(order);
    const share = isHeldOut ? order.subarray(0, heldOut) : order.subarray(heldOut);
    const sampler = new BatchSampler(share.length, seed, node);
    return {
      indices: (size: number, step: number) =>
        sampler.indices(size, step).map((at) => share[at] as number),
    };
  }

  /** Samples [from, to) in their stored order. */
  slice(from: number, to: number): Batch {
    return this.#dataset.gather(Int32Array.from({ length: to - from }, (_, i) => from + i));
  }
}

const all: SampleShare = { heldOut: 0, isHeldOut: false };
