/** Models that are a sequence of layers: {@link Network} without the names of what is in between. */
import type { Model } from "../compile/graph.ts";
import { type ConvOptions, Network } from "./network.ts";

/**
 * A model layer by layer; names of layers become names of nodes and weights.
 * @example
 * const model = new Sequential("digits", [1, 28, 28], 1)
 *   .conv("conv1", 8, { kernel: 3 })
 *   .maxPool("pool1")
 *   .relu("relu1")
 *   .flatten("flatten")
 *   .linear("answer", 10)
 *   .model();
 */
export class Sequential {
  readonly #network: Network;
  #at: string;

  /** @param inputShape one sample's shape, [channels, height, width] or [features] */
  constructor(name: string, inputShape: readonly number[], seed: number) {
    this.#network = new Network(name, { seed });
    this.#at = this.#network.input(inputShape);
  }

  /** Convolution with bias. */
  conv(name: string, channels: number, options: ConvOptions): this {
    return this.#go(this.#network.conv(name, this.#at, channels, options));
  }

  /** Batch normalisation of each channel. */
  batchNorm(name: string): this {
    return this.#go(this.#network.batchNorm(name, this.#at));
  }

  /** Fully connected layer; the weight is [out, in]. */
  linear(name: string, features: number): this {
    return this.#go(this.#network.linear(name, this.#at, features));
  }

  /** The larger of 0 and the value. */
  relu(name: string): this {
    return this.#go(this.#network.relu(name, this.#at));
  }

  /** Largest value of disjoint squares. */
  maxPool(name: string, size = 2): this {
    return this.#go(this.#network.maxPool(name, this.#at, size));
  }

  /** Mean over all positions. */
  globalAveragePool(name: string): this {
    return this.#go(this.#network.globalAveragePool(name, this.#at));
  }

  /** One row of features per sample, for {@link linear}. */
  flatten(name: string): this {
    return this.#go(this.#network.flatten(name, this.#at));
  }

  /** Drops this share of the values while training. */
  dropout(name: string, ratio = 0.5): this {
    return this.#go(this.#network.dropout(name, this.#at, ratio));
  }

  /** The model of the layers so far, with its first dimension open. */
  model(): Model {
    return this.#network.model(this.#at);
  }

  #go(value: string): this {
    this.#at = value;
    return this;
  }
}
