/**
 * Transformers (Vaswani et al., "Attention is all you need", 2017) with normalisation before each
 * part: a small GPT over bytes and a small ViT. Tokens of all samples lie in one matrix
 * [batch * tokens, width] but for attention, so that every linear layer is one matrix product.
 */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

interface BlockOptions {
  readonly tokens: number;
  readonly width: number;
  readonly heads: number;
  readonly dropout: number;
  /** Whether a token sees only itself and those before it. */
  readonly isCausal: boolean;
}

/** Attention and a two-layer perceptron, each added to what came in. */
function block(net: Network, name: string, x: string, options: BlockOptions): string {
  const { width, dropout } = options;
  let y = attention(net, `${name}.attention`, net.layerNorm(`${name}.norm1`, x), options);
  const seen = net.add(`${name}.add1`, x, net.dropout(`${name}.drop1`, y, dropout));
  y = net.linear(`${name}.fc1`, net.layerNorm(`${name}.norm2`, seen), 4 * width);
  y = net.linear(`${name}.fc2`, net.op("Gelu", `${name}.gelu`, [y]), width);
  return net.add(`${name}.add2`, seen, net.dropout(`${name}.drop2`, y, dropout));
}

function attention(net: Network, name: string, x: string, options: BlockOptions): string {
  const { tokens, width, heads, isCausal } = options;
  const size = width / heads;
  const packed = net.linear(`${name}.qkv`, x, 3 * width);
  const parts = net.reshape(`${name}.split`, packed, -1, tokens, 3, heads, size);
  const [q, k, v] = ["query", "key", "value"].map((part, i) => {
    const own = net.op("Gather", `${name}.${part}`, [parts, net.integer(i)], { axis: 2 });
    // Keys come the other way round, ready for the product with queries.
    const order = part === "key" ? [0, 2, 3, 1] : [0, 2, 1, 3];
    return net.transpose(`${name}.${part}s`, own, ...order);
  }) as [string, string, string];
  const scaled = net.op("Mul", `${name}.scaled`, [q, net.number(1 / Math.sqrt(size))]);
  let scores = net.op("MatMul", `${name}.scores`, [scaled, k]);
  if (isCausal) scores = net.add(`${name}.masked`, scores, net.causalMask(tokens));
  const shares = net.op("Softmax", `${name}.shares`, [scores], { axis: -1 });
  const mixed = net.op("MatMul", `${name}.mixed`, [shares, v]);
  const rows = net.reshape(
    `${name}.rows`,
    net.transpose(`${name}.heads`, mixed, 0, 2, 1, 3),
    -1,
    width,
  );
  return net.linear(`${name}.out`, rows, width);
}

/** A language model in the manner of GPT-2: scores [batch, length, vocabulary] for each next token. */
export function gpt(options: ModelOptions): Model {
  const { seed, vocabulary = 256, length = 64, dropout = 0.1 } = options;
  const [width, heads, depth] = [128, 4, 4];
  const net = new Network("gpt", { seed });
  const tokens = net.embedding("tokens", net.input([length]), vocabulary, width);
  const positions = net.parameter("positions", [length, width], { bound: 0.02 });
  let x = net.reshape("rows", net.add("placed", tokens, positions), -1, width);
  x = net.dropout("drop", x, dropout);
  for (let i = 0; i < depth; i++) {
    const shape = { tokens: length, width, heads, dropout, isCausal: true };
    x = block(net, `blocks.${i}`, x, shape);
  }
  x = net.linear("head", net.layerNorm("norm", x), vocabulary, { bias: false });
  return net.model(net.reshape("scores", x, -1, length, vocabulary));
}

/** Dosovitskiy et al., "An image is worth 16x16 words", 2021, with the mean of all patches as the answer. */
export function vit(options: ModelOptions): Model {
  const { seed, classes = 10, channels = 3, size = 32, dropout = 0 } = options;
  const [width, heads, depth] = [192, 3, 6];
  const patch = Math.max(4, Math.round(size / 8));
  const side = Math.floor(size / patch);
  const tokens = side * side;
  const net = new Network("vit", { seed });
  const image = net.input([channels, size, size]);
  const patches = net.conv("patches", image, width, { kernel: patch, stride: patch });
  const listed = net.reshape("listed", patches, -1, width, tokens);
  const positions = net.parameter("positions", [tokens, width], { bound: 0.02 });
  const placed = net.add("placed", net.transpose("turned", listed, 0, 2, 1), positions);
  let x = net.reshape("rows", placed, -1, width);
  for (let i = 0; i < depth; i++) {
    x = block(net, `blocks.${i}`, x, { tokens, width, heads, dropout, isCausal: false });
  }
  const seen = net.reshape("seen", net.layerNorm("norm", x), -1, tokens, width);
  const mean = net.op("ReduceMean", "mean", [seen], { axes: [1], keepdims: 0 });
  return net.model(net.linear("head", mean, classes));
}
