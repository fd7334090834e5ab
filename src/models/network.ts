/**
 * A builder for models of any shape: each method adds a layer behind a value and returns the
 * new value's name. Names of layers and parameters are PyTorch's ("layer1.0.conv1.weight"), so
 * that weights can be compared and carried over. Initial weights are drawn from integers alone
 * and computed once, by who starts the run.
 */
import { assert } from "../base/assert.ts";
import { type Random, random } from "../base/random.ts";
import {
  type DenseTensor,
  elementCount,
  float32,
  int64,
  sameShape,
  tensor,
} from "../base/tensor.ts";
import { GraphBuilder } from "../compile/builder.ts";
import type { Attributes, Model, Value } from "../compile/graph.ts";
import { castCode } from "../compile/ops/elementwise.ts";
import type { OpName } from "../compile/ops/table.ts";

/** Name of the open first dimension of a model's input. */
const batchDimension = "batch";

/** A size for both directions, or one for each. */
export type Sizes = number | readonly number[];

/** Kernel size, stride and padding of a convolution, the same in all directions. */
export interface ConvOptions {
  readonly kernel: Sizes;
  readonly stride?: Sizes;
  readonly pad?: Sizes;
  /** Groups of channels that are kept apart; 1 where absent. */
  readonly groups?: number;
  /** Whether a bias is added; true where absent. */
  readonly bias?: boolean;
}

/** Settings of batch normalisation; PyTorch's defaults where absent. */
export interface BatchNormOptions {
  readonly epsilon?: number;
  /** Share of the running statistics that stays in one step. */
  readonly kept?: number;
  /** Name of the running statistics, where layers of one name share weight and bias but not these. */
  readonly statistics?: string;
}

/**
 * Bounds of uniform initial weights by the number of values that a unit takes in: `default` is
 * PyTorch's, 1/sqrt(fan in); `he` keeps the size of activations through deep stacks of ReLU
 * (He et al. 2015), sqrt(6/fan in).
 */
const bounds = {
  default: (fanIn: number) => 1 / Math.sqrt(fanIn),
  he: (fanIn: number) => Math.sqrt(6 / fanIn),
} as const;

/**
 * A model under construction.
 * @example
 * const net = new Network("block", { seed: 1 });
 * const x = net.input([16, 8, 8]);
 * const y = net.add("sum", x, net.conv("conv", x, 16, { kernel: 3, pad: 1 }));
 * const model = net.model(net.linear("fc", net.flatten("flat", y), 10));
 */
export class Network {
  readonly #name: string;
  readonly #seed: number;
  readonly #bound: (fanIn: number) => number;
  readonly #builder: GraphBuilder;
  readonly #weights = new Map<string, DenseTensor>();

  constructor(
    name: string,
    { seed, init = "default" }: { seed: number; init?: keyof typeof bounds },
  ) {
    this.#name = name;
    this.#seed = seed;
    this.#bound = bounds[init];
    this.#builder = new GraphBuilder(name);
  }

  /** The model's input, float32 [batch, ...shape]. */
  input(shape: readonly number[]): string {
    // Layers do not depend on the batch size, so a batch of one stands for all.
    return this.#builder.input("input", { dtype: "float32", shape: [1, ...shape] });
  }

  /** Shape of a value; its first dimension is that of a batch of one. */
  shape(x: string): readonly number[] {
    return this.#builder.type(x).shape;
  }

  /** The model that gives `output`, with its first dimension open. */
  model(output: string): Model {
    const graph = this.#builder.graph([output]);
    const inputs = graph.inputs.map(
      (input): Value => ({ ...input, shape: [batchDimension, ...input.shape.slice(1)] }),
    );
    return { graph: { ...graph, inputs }, weights: this.#weights };
  }

  /** Any operator with one output, which has this name, or one like it where another one has it. */
  op(op: OpName, name: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.#builder.emit(op, inputs, attributes, this.#builder.free(name));
  }

  /** A constant list of integers: a shape, axes. */
  integers(...values: number[]): string {
    return this.#builder.constant(int64([values.length], values));
  }

  /** A constant whole number: an index. */
  integer(value: number): string {
    return this.#builder.constant(int64([], [value]));
  }

  /** What makes scores [tokens, tokens] of later tokens vanish in a softmax. */
  causalMask(tokens: number): string {
    const values = Array.from({ length: tokens * tokens }, (_, i) =>
      i % tokens > Math.floor(i / tokens) ? maskedScore : 0,
    );
    return this.#builder.constant(float32([tokens, tokens], values));
  }

  /** A constant number. */
  number(value: number): string {
    return this.#builder.constant(float32([], [value]));
  }

  /**
   * A parameter, uniform in +-bound; all `fill` where that is given. A name that there is already gives the
   * parameter that has it: layers of one name share theirs.
   */
  parameter(
    name: string,
    shape: readonly number[],
    { bound, fill, buffer }: { bound?: number; fill?: number; buffer?: true },
  ): string {
    const known = this.#weights.get(name);
    if (known !== undefined) {
      assert(sameShape(known.shape, shape), `"${name}" has shape [${known.shape}], not [${shape}]`);
      return name;
    }
    const draw = random(this.#seed).fork(`${this.#name} ${name}`);
    this.#weights.set(name, drawn(shape, fill ?? bound ?? 0, fill === undefined ? draw : null));
    return this.#builder.parameter(name, { dtype: "float32", shape, ...(buffer && { buffer }) });
  }

  /** Convolution over one or two dimensions; the weight is [out, in / groups, ...kernel]. */
  conv(name: string, x: string, channels: number, options: ConvOptions): string {
    const { kernel, stride = 1, pad = 0, groups = 1, bias = true } = options;
    const [, channelsIn = 1, ...spatial] = this.shape(x);
    const each = (sizes: Sizes): number[] => spatial.map((_, i) => sizeAt(sizes, i));
    const shape = [channels, channelsIn / groups, ...each(kernel)];
    const bound = this.#bound(elementCount(shape.slice(1)));
    const parameters = [this.parameter(`${name}.weight`, shape, { bound })];
    if (bias) {
      const narrow = bounds.default(elementCount(shape.slice(1)));
      parameters.push(this.parameter(`${name}.bias`, [channels], { bound: narrow }));
    }
    return this.op("Conv", name, [x, ...parameters], {
      kernel_shape: each(kernel),
      strides: each(stride),
      pads: [...each(pad), ...each(pad)],
      ...(groups !== 1 && { group: groups }),
    });
  }

  /** Transposed convolution without bias; the weight is [in, out, ...kernel]. */
  convTranspose(name: string, x: string, channels: number, options: ConvOptions): string {
    const { kernel, stride = 1, pad = 0 } = options;
    const [, channelsIn = 1, ...spatial] = this.shape(x);
    const each = (sizes: Sizes): number[] => spatial.map((_, i) => sizeAt(sizes, i));
    const shape = [channelsIn, channels, ...each(kernel)];
    const bound = this.#bound(elementCount(shape.slice(1)));
    const weight = this.parameter(`${name}.weight`, shape, { bound });
    return this.op("ConvTranspose", name, [x, weight], {
      kernel_shape: each(kernel),
      strides: each(stride),
      pads: [...each(pad), ...each(pad)],
    });
  }

  /** Batch normalisation over all axes but the second. */
  batchNorm(
    name: string,
    x: string,
    { epsilon = 1e-5, kept = 0.9, statistics = "" }: BatchNormOptions = {},
  ): string {
    const shape = [this.shape(x)[1] ?? 1];
    const owner = statistics === "" ? name : `${name}.${statistics}`;
    const inputs = [
      x,
      this.parameter(`${name}.weight`, shape, { fill: 1 }),
      this.parameter(`${name}.bias`, shape, { fill: 0 }),
      this.parameter(`${owner}.running_mean`, shape, { fill: 0, buffer: true }),
      this.parameter(`${owner}.running_var`, shape, { fill: 1, buffer: true }),
    ];
    return this.op("BatchNormalization", name, inputs, { epsilon, momentum: kept });
  }

  /** Layer normalisation over the last axis. */
  layerNorm(name: string, x: string, epsilon = 1e-5): string {
    const shape = [this.shape(x).at(-1) ?? 1];
    const inputs = [
      x,
      this.parameter(`${name}.weight`, shape, { fill: 1 }),
      this.parameter(`${name}.bias`, shape, { fill: 0 }),
    ];
    return this.op("LayerNormalization", name, inputs, { axis: -1, epsilon });
  }

  /** Fully connected layer on rows [n, in]; the weight is [out, in]. */
  linear(
    name: string,
    x: string,
    features: number,
    { bias = true }: { bias?: boolean } = {},
  ): string {
    const [, featuresIn = 1] = this.shape(x);
    const bound = this.#bound(featuresIn);
    const parameters = [this.parameter(`${name}.weight`, [features, featuresIn], { bound })];
    if (bias) {
      const narrow = bounds.default(featuresIn);
      parameters.push(this.parameter(`${name}.bias`, [features], { bound: narrow }));
    }
    return this.op("Gemm", name, [x, ...parameters], { transB: 1 });
  }

  /**
   * Rows of a trained table by whole numbers, which arrive as float32 as all data do. They start within +-bound,
   * or where it is absent with the spread of PyTorch's normal distribution.
   */
  embedding(
    name: string,
    numbers: string,
    rows: number,
    width: number,
    { bound = Math.sqrt(3) }: { bound?: number } = {},
  ): string {
    const ids = this.op("Cast", `${name}.ids`, [numbers], { to: castCode("int64") });
    const table = this.parameter(`${name}.weight`, [rows, width], { bound });
    return this.op("Gather", name, [table, ids], { axis: 0 });
  }

  /** The larger of 0 and the value. */
  relu(name: string, x: string): string {
    return this.op("Relu", name, [x]);
  }

  /** The sum of two values of one shape. */
  add(name: string, a: string, b: string): string {
    return this.op("Add", name, [a, b]);
  }

  /** Largest value of squares, disjoint unless a stride is given. */
  maxPool(name: string, x: string, size: number, { stride = size, pad = 0 } = {}): string {
    const spatial = this.shape(x).slice(2);
    return this.op("MaxPool", name, [x], {
      kernel_shape: spatial.map(() => size),
      strides: spatial.map(() => stride),
      ...(pad !== 0 && { pads: [...spatial, ...spatial].map(() => pad) }),
    });
  }

  /** Mean over all positions. */
  globalAveragePool(name: string, x: string): string {
    return this.op("GlobalAveragePool", name, [x]);
  }

  /** One row of features per sample, for {@link linear}. */
  flatten(name: string, x: string): string {
    return this.op("Flatten", name, [x], { axis: 1 });
  }

  /** Another shape; one size may be -1, and holds what is left (the batch, say). */
  reshape(name: string, x: string, ...shape: number[]): string {
    return this.op("Reshape", name, [x, this.integers(...shape)]);
  }

  /** The axes in another order. */
  transpose(name: string, x: string, ...perm: number[]): string {
    return this.op("Transpose", name, [x], { perm });
  }

  /** Drops this share of the values while training; nothing where the share is 0. */
  dropout(name: string, x: string, ratio: number): string {
    return ratio === 0 ? x : this.op("Dropout", name, [x, this.number(ratio)]);
  }
}

/** Low enough that its exponential is 0 in float32, and finite. */
const maskedScore = -1e9;

const sizeAt = (sizes: Sizes, axis: number): number =>
  typeof sizes === "number" ? sizes : (sizes[axis] ?? 1);

/** Uniform numbers in +-bound, or `bound` everywhere where nothing is drawn. */
function drawn(shape: readonly number[], bound: number, draw: Random | null): DenseTensor {
  const values = Float32Array.from({ length: elementCount(shape) }, () =>
    draw === null ? bound : (2 * draw.uniform() - 1) * bound,
  );
  return tensor("float32", shape, values);
}
