/** Recommendation: how likely a user is to choose an item, as one logit for binary cross-entropy. */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/** Column `index` of whole numbers [batch, n]. */
const column = (net: Network, name: string, numbers: string, index: number): string =>
  net.op("Gather", name, [numbers, net.integer(index)], { axis: 1 });

/**
 * Neural collaborative filtering (He et al. 2017): the product of embeddings and a perceptron
 * over others, side by side. A sample is [user, item], both below `vocabulary`. Users and items have biases as well
 * (Koren et al., "Matrix factorization techniques for recommender systems", 2009), which start at 0: most of
 * what a rating is they tell, and rows that are seldom seen have little to learn.
 */
export function ncf(options: ModelOptions): Model {
  const { seed, vocabulary = 1000 } = options;
  const [factors, layers] = [32, [64, 32, 16]];
  const net = new Network("ncf", { seed });
  const pair = net.input([2]);
  const sides = { user: column(net, "user", pair, 0), item: column(net, "item", pair, 1) };
  const both = (kind: string, width: number, bound: number): string[] =>
    Object.entries(sides).map(([side, numbers]) =>
      net.embedding(`${kind}.${side}`, numbers, vocabulary, width, { bound }),
    );
  const product = net.op("Mul", "gmf", both("gmf", factors, embeddingBound));
  // Beside the product, so that no more tensors cross a cut.
  const linear = net.op("Concat", "linear", [...both("bias", 1, 0), product], { axis: 1 });
  let x = net.op("Concat", "mlp.both", both("mlp", factors, embeddingBound), { axis: 1 });
  for (const [i, width] of layers.entries()) {
    x = net.relu(`mlp.relus.${i}`, net.linear(`mlp.${i}`, x, width));
  }
  const all = net.op("Concat", "all", [linear, x], { axis: 1 });
  const part = (name: string, from: number, to: number): string =>
    net.op("Slice", name, [all, net.integers(from), net.integers(to), net.integers(1)]);
  const biases = net.op("ReduceSum", "bias", [part("biases", 0, 2), net.integers(1)], {
    keepdims: 1,
  });
  const [, width = 0] = net.shape(all);
  return net.model(net.add("logit", net.linear("fc", part("factors", 2, width), 1), biases));
}

/** Small, so that products of embeddings begin as nothing much. */
const embeddingBound = 0.3;

/**
 * Deep interest network (Zhou et al. 2018): the candidate decides how much each item of the
 * user's history counts. A sample is [candidate, ...history], 0 for none.
 */
export function din(options: ModelOptions): Model {
  const { seed, vocabulary = 1000, length = 20 } = options;
  const width = 32;
  const net = new Network("din", { seed });
  const items = net.embedding("items", net.input([1 + length]), vocabulary, width);
  const between = (name: string, from: number, to: number): string =>
    net.op("Slice", name, [items, net.integers(from), net.integers(to), net.integers(1)]);
  const [candidate, history] = [between("candidate", 0, 1), between("history", 1, 1 + length)];
  const candidates = net.op("Tile", "candidates", [candidate, net.integers(1, length, 1)]);
  const compared = [
    history,
    candidates,
    net.op("Sub", "difference", [history, candidates]),
    net.op("Mul", "product", [history, candidates]),
  ];
  const pairs = net.op("Concat", "pairs", compared, { axis: 2 });
  let weight = net.linear("attention.0", net.reshape("rows", pairs, -1, 4 * width), 36);
  weight = net.linear("attention.1", net.op("Sigmoid", "attention.act", [weight]), 1);
  const weights = net.reshape("weights", weight, -1, 1, length);
  const interest = net.op("MatMul", "interest", [weights, history]);
  const both = net.op("Concat", "both", [interest, candidate], { axis: 2 });
  let x = net.flatten("flatten", both);
  for (const [i, size] of [64, 32].entries()) {
    const slope = net.parameter(`mlp.acts.${i}.weight`, [1], { fill: 0.25 });
    x = net.op("PRelu", `mlp.acts.${i}`, [net.linear(`mlp.${i}`, x, size), slope]);
  }
  return net.model(net.linear("fc", x, 1));
}
