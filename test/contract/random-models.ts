/**
 * Random small models for property tests: images of 2x4x4 through layers, ways around them and
 * ways side by side, to one or three numbers. A recipe is plain data, so that a failing one is
 * printed and made smaller.
 */
import fc from "fast-check";
import type { Graph, GraphNode, Model } from "../../src/compile/graph.ts";
import { type LossSpec, lossSpec } from "../../src/compile/loss.ts";
import { Network } from "../../src/models/network.ts";

/** Layers of one input that keep height and width. */
const keeping = {
  conv: (net, x, name) => net.conv(name, x, 3, { kernel: 3, pad: 1 }),
  depthwise: (net, x, name) => {
    const channels = channelsOf(net, x);
    return net.conv(name, x, channels, { kernel: 3, pad: 1, groups: channels, bias: false });
  },
  pointwise: (net, x, name) => net.conv(name, x, 2, { kernel: 1 }),
  scale: (net, x, name) => {
    const factor = net.parameter(`${name}.factor`, [channelsOf(net, x), 1, 1], { bound: 1 });
    return net.op("Mul", name, [x, factor]);
  },
  offset: (net, x, name) => {
    const offset = net.parameter(`${name}.offset`, net.shape(x).slice(1), { bound: 1 });
    return net.add(name, x, offset);
  },
  batchNorm: (net, x, name) => net.batchNorm(name, x),
  groupNorm: (net, x, name) => {
    const shape = [channelsOf(net, x)];
    const scale = net.parameter(`${name}.weight`, shape, { bound: 1 });
    const bias = net.parameter(`${name}.bias`, shape, { bound: 1 });
    return net.op("GroupNormalization", name, [x, scale, bias], { num_groups: 1 });
  },
  dropout: (net, x, name) => net.op("Dropout", name, [x, net.number(net.dropped)]),
  relu: (net, x, name) => net.relu(name, x),
  tanh: (net, x, name) => net.op("Tanh", name, [x]),
  hardSwish: (net, x, name) => net.op("HardSwish", name, [x]),
  clip: (net, x, name) => net.op("Clip", name, [x, net.number(-0.5), net.number(1)]),
  square: (net, x, name) => net.op("Mul", name, [x, x]),
  softmax: (net, x, name) => net.op("Softmax", name, [x], { axis: 1 }),
  overlapping: (net, x, name) =>
    net.op("MaxPool", name, [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  averagePool: (net, x, name) =>
    net.op("AveragePool", name, [x], { kernel_shape: [2, 2], pads: [0, 0, 1, 1] }),
  /** By a factor that is known only once it is computed. */
  folded: (net, x, name) => {
    const factor = net.op("Add", `${name}.factor`, [net.number(0.25), net.number(0.5)]);
    return net.op("Mul", name, [x, factor]);
  },
} satisfies Record<string, Layer>;

/** Layers that halve height and width while there is something to halve. */
const halving = {
  maxPool: (net, x, name) => (sideOf(net, x) < 2 ? net.relu(name, x) : net.maxPool(name, x, 2)),
  strided: (net, x, name) =>
    sideOf(net, x) < 2
      ? net.op("Sigmoid", name, [x])
      : net.conv(name, x, 2, { kernel: 2, stride: 2 }),
} satisfies Record<string, Layer>;

type Layer = (net: RandomNetwork, x: string, name: string) => string;

/** One part of a model. */
export type Block =
  | { readonly kind: keyof typeof keeping | keyof typeof halving }
  /** Its blocks, and the way around them. */
  | { readonly kind: "residual"; readonly inner: readonly Block[] }
  /** Ways side by side, so that as many tensors cross a border between them. */
  | {
      readonly kind: "ways";
      readonly ways: readonly (readonly Block[])[];
      readonly join: "Concat" | "Sum";
    };

/** A model and what it is trained with. */
export interface Recipe {
  readonly blocks: readonly Block[];
  readonly loss: "entropy" | "smoothed" | "binary" | "squared" | "own";
  /** Whether rows are made as exporters do, of the batch's own size. */
  readonly isExported: boolean;
  readonly seed: number;
}

const plain = fc.record({
  kind: fc.constantFrom(...(Object.keys(keeping) as (keyof typeof keeping)[])),
});
const residualOf = (inner: fc.Arbitrary<Block>): fc.Arbitrary<Block> =>
  fc.record({
    kind: fc.constant("residual" as const),
    inner: fc.array(inner, { minLength: 1, maxLength: 2 }),
  });
const insideWays = fc.oneof({ arbitrary: plain, weight: 4 }, residualOf(plain));
const ways: fc.Arbitrary<Block> = fc.record({
  kind: fc.constant("ways" as const),
  ways: fc.array(fc.array(insideWays, { minLength: 1, maxLength: 2 }), {
    minLength: 2,
    maxLength: 3,
  }),
  join: fc.constantFrom("Concat" as const, "Sum" as const),
});
const halved = fc.record({
  kind: fc.constantFrom(...(Object.keys(halving) as (keyof typeof halving)[])),
});
const block: fc.Arbitrary<Block> = fc.oneof(
  { arbitrary: plain, weight: 5 },
  { arbitrary: halved, weight: 1 },
  { arbitrary: residualOf(fc.oneof(plain, ways)), weight: 2 },
  { arbitrary: ways, weight: 2 },
);

/** Any recipe. */
export const recipes: fc.Arbitrary<Recipe> = fc.record({
  blocks: fc.array(block, { minLength: 1, maxLength: 5 }),
  loss: fc.constantFrom("entropy", "smoothed", "binary", "squared", "own"),
  isExported: fc.boolean(),
  seed: fc.nat(1e6),
});

/** The loss of a recipe. */
export function lossOf({ loss }: Recipe): LossSpec {
  switch (loss) {
    case "entropy":
      return lossSpec("softmax-cross-entropy");
    case "smoothed":
      return lossSpec("softmax-cross-entropy", { labelSmoothing: 0.2, classWeights: [1, 2, 0.5] });
    case "binary":
      return lossSpec("binary-cross-entropy");
    case "squared":
      return lossSpec("mean-squared-error");
    case "own":
      return lossSpec("mean-output");
  }
}

/** The model of a recipe, with an open batch. Its dropout drops `dropped` of the values. */
export function modelOf({ blocks, loss, isExported, seed }: Recipe, dropped = 0.4): Model {
  const net = new RandomNetwork(seed, dropped);
  const image = net.input([2, 4, 4]);
  const flat = net.flatten("flat", append(net, image, blocks, ""));
  const isSingle = loss === "binary" || loss === "own";
  const model = net.model(net.linear("fc", flat, isSingle ? 1 : 3));
  return isExported ? { ...model, graph: asExported(model.graph) } : model;
}

class RandomNetwork extends Network {
  readonly dropped: number;

  constructor(seed: number, dropped: number) {
    super("random", { seed });
    this.dropped = dropped;
  }
}

const channelsOf = (net: Network, x: string): number => net.shape(x)[1] as number;
const sideOf = (net: Network, x: string): number => net.shape(x)[2] as number;

function append(
  net: RandomNetwork,
  start: string,
  blocks: readonly Block[],
  prefix: string,
): string {
  let x = start;
  for (const [i, block] of blocks.entries()) {
    const name = `${prefix}${i}.${block.kind}`;
    switch (block.kind) {
      case "residual": {
        const inner = append(net, x, block.inner, `${name}.`);
        const around = withChannels(net, x, `${name}.around`, channelsOf(net, inner));
        x = net.add(name, inner, around);
        break;
      }
      case "ways": {
        const ends = block.ways.map((way, j) => append(net, x, way, `${name}.${j}.`));
        x =
          block.join === "Concat"
            ? net.op("Concat", name, ends, { axis: 1 })
            : net.op(
                "Sum",
                name,
                ends.map((end, j) => withChannels(net, end, `${name}.${j}.to`, 2)),
              );
        break;
      }
      default:
        x = ({ ...keeping, ...halving } as Record<string, Layer>)[block.kind]?.(net, x, name) ?? x;
    }
  }
  return x;
}

const withChannels = (net: Network, x: string, name: string, channels: number): string =>
  channelsOf(net, x) === channels ? x : net.conv(name, x, channels, { kernel: 1, bias: false });

/** The graph with rows made as exporters make them: the batch's own size, joined with -1. */
function asExported(graph: Graph): Graph {
  const node = (
    op: GraphNode["op"],
    name: string,
    inputs: readonly string[],
    attributes: GraphNode["attributes"] = {},
  ): GraphNode => ({ op, name, inputs, outputs: [name], attributes });
  const integers = (...values: number[]): bigint[] => values.map(BigInt);
  const constant = (shape: number[], ...values: number[]) => ({
    dtype: "int64" as const,
    shape,
    data: BigInt64Array.from(integers(...values)),
  });
  return {
    ...graph,
    constants: new Map([
      ...graph.constants,
      ["flat.zero", constant([], 0)],
      ["flat.axes", constant([1], 0)],
      ["flat.rest", constant([1], -1)],
    ]),
    nodes: graph.nodes.flatMap((other) =>
      other.name !== "flat"
        ? [other]
        : [
            node("Shape", "flat.shape", other.inputs),
            node("Gather", "flat.size", ["flat.shape", "flat.zero"], { axis: 0 }),
            node("Unsqueeze", "flat.sizes", ["flat.size", "flat.axes"]),
            node("Concat", "flat.target", ["flat.sizes", "flat.rest"], { axis: 0 }),
            node("Reshape", "flat", [other.inputs[0] ?? "", "flat.target"]),
          ],
    ),
  };
}
