/** A data set as peers draw from it: training batches by key, held-out samples in order. */
import { BatchSampler } from "./batches.ts";
import type { Batch, Dataset } from "./dataset.ts";

/** Names a training batch: equal keys give equal batches. */
export interface BatchKey {
  readonly seed: number;
  /** Name of the node that holds the samples. */
  readonly node: string;
  /** Batches that the node has drawn before this one. */
  readonly step: number;
  readonly size: number;
}

/**
 * Labelled samples that training and evaluation draw from. The same key gives the same batch on any machine.
 */
export class SampleSource {
  readonly samples: number;
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly classNames: readonly string[] | null;
  readonly #dataset: Dataset;
  readonly #samplers = new Map<string, BatchSampler>();

  constructor(dataset: Dataset) {
    this.#dataset = dataset;
    this.samples = dataset.samples;
    this.inputShape = dataset.inputShape;
    this.classes = dataset.classes;
    this.classNames = dataset.classNames ?? null;
  }

  /** The training batch of a key; see `data/batches.ts` for which samples those are. */
  batch({ seed, node, step, size }: BatchKey): Batch {
    const name = `${seed} ${node}`;
    let sampler = this.#samplers.get(name);
    if (sampler === undefined) {
      sampler = new BatchSampler(this.samples, seed, node);
      this.#samplers.set(name, sampler);
    }
    return this.#dataset.gather(sampler.indices(size, step));
  }

  /** Samples [from, to) in their stored order. */
  slice(from: number, to: number): Batch {
    return this.#dataset.gather(Int32Array.from({ length: to - from }, (_, i) => from + i));
  }
}
