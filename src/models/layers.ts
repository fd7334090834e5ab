/**
 * A builder for models that are a sequence of layers. Each layer is a node or
 * two of the graph; names of nodes and parameters are the layer's, in PyTorch's
 * manner ("conv1.weight"). Initial weights are PyTorch's default: uniform in
 * +-1/sqrt(fan in) for weights and biases (Kaiming uniform with a = sqrt(5); He et
 * al. 2015), drawn from integers alone and computed once, by who starts the run.
 */
import { type Random, random } from "../base/random.ts";
import { type DenseTensor, elementCount, tensor } from "../base/tensor.ts";
import { GraphBuilder } from "../compile/builder.ts";
import type { Model } from "../compile/graph.ts";

/** Name of the open first dimension of a model's input. */
const batchDimension = "batch";

/** Kernel size, stride and padding of a convolution, the same in both directions. */
export interface ConvOptions {
  readonly kernel: number;
  readonly stride?: number;
  readonly pad?: number;
}

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
  readonly #name: string;
  readonly #seed: number;
  readonly #builder: GraphBuilder;
  readonly #weights = new Map<string, DenseTensor>();
  #at: string;

  /** @param inputShape one sample's shape, [channels, height, width] or [features] */
  constructor(name: string, inputShape: readonly number[], seed: number) {
    this.#name = name;
    this.#seed = seed;
    this.#builder = new GraphBuilder(name);
    // Layers do not depend on the batch size, so a batch of one stands for all.
    this.#at = this.#builder.input("input", { dtype: "float32", shape: [1, ...inputShape] });
  }

  /** 2-D convolution with bias. */
  conv(name: string, channels: number, { kernel, stride = 1, pad = 0 }: ConvOptions): this {
    const [, channelsIn = 1] = this.#shape;
    const weight = this.#parameter(name, "weight", [channels, channelsIn, kernel, kernel]);
    const bias = this.#parameter(name, "bias", [channels], channelsIn * kernel * kernel);
    return this.#add("Conv", name, [weight, bias], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    });
  }

  /** Fully connected layer; the weight is [out, in]. */
  linear(name: string, features: number): this {
    const [, featuresIn = 1] = this.#shape;
    const weight = this.#parameter(name, "weight", [features, featuresIn]);
    const bias = this.#parameter(name, "bias", [features], featuresIn);
    return this.#add("Gemm", name, [weight, bias], { transB: 1 });
  }

  /** The larger of 0 and the value. */
  relu(name: string): this {
    return this.#add("Relu", name);
  }

  /** Largest value of disjoint squares. */
  maxPool(name: string, size = 2): this {
    return this.#add("MaxPool", name, [], { kernel_shape: [size, size], strides: [size, size] });
  }

  /** Mean over height and width. */
  globalAveragePool(name: string): this {
    return this.#add("GlobalAveragePool", name);
  }

  /** One row of features per sample, for {@link linear}. */
  flatten(name: string): this {
    return this.#add("Flatten", name, [], { axis: 1 });
  }

  /** The model of the layers so far, with its first dimension open. */
  model(): Model {
    const graph = this.#builder.graph([this.#at]);
    const inputs = graph.inputs.map((input) => ({
      ...input,
      shape: input.shape.with(0, batchDimension as never),
    }));
    return { graph: { ...graph, inputs }, weights: this.#weights };
  }

  get #shape(): readonly number[] {
    return this.#builder.type(this.#at).shape;
  }

  #add(
    op: Parameters<GraphBuilder["emit"]>[0],
    name: string,
    parameters: readonly string[] = [],
    attributes: Parameters<GraphBuilder["emit"]>[2] = {},
  ): this {
    this.#at = this.#builder.emit(op, [this.#at, ...parameters], attributes, name);
    return this;
  }

  #parameter(layer: string, kind: string, shape: readonly number[], fanIn?: number): string {
    const name = `${layer}.${kind}`;
    const draw = random(this.#seed).fork(`${this.#name} ${name}`);
    this.#weights.set(name, uniform(shape, fanIn ?? elementCount(shape.slice(1)), draw));
    return this.#builder.parameter(name, { dtype: "float32", shape });
  }
}

function uniform(shape: readonly number[], fanIn: number, draw: Random): DenseTensor {
  const bound = 1 / Math.sqrt(fanIn);
  const values = Float32Array.from(
    { length: elementCount(shape) },
    () => (2 * draw.uniform() - 1) * bound,
  );
  return tensor("float32", shape, values);
}
