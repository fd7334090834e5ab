/** Models that make images. */
import { InputError } from "../base/errors.ts";
import { frozen } from "../compile/freeze.ts";
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/**
 * Variational autoencoder (Kingma and Welling 2014) of images with values from 0 to 1. The model
 * gives its own loss for each sample, for the loss `mean-output`: the image's binary
 * cross-entropy plus the divergence of its code from the normal distribution, per pixel.
 */
export function vae(options: ModelOptions): Model {
  const { seed, channels = 1, size = 28 } = options;
  const [hidden, code] = [400, 20];
  const pixels = channels * size * size;
  const net = new Network("vae", { seed });
  const x = net.flatten("pixels", net.input([channels, size, size]));
  const seen = net.relu("encoder.relu", net.linear("encoder", x, hidden));
  const mean = net.linear("mean", seen, code);
  const logVariance = net.linear("logvar", seen, code);
  const half = net.op("Mul", "half", [logVariance, net.number(0.5)]);
  const deviation = net.op("Exp", "deviation", [half]);
  const noise = net.op("RandomNormalLike", "noise", [mean]);
  const sample = net.add("sample", mean, net.op("Mul", "spread", [noise, deviation]));
  const made = net.relu("decoder.relu", net.linear("decoder", sample, hidden));
  const logits = net.linear("image", made, pixels);
  const terms = [
    ["cross-entropy", crossEntropy(net, logits, x)],
    ["divergence", divergence(net, mean, logVariance)],
  ].map(([name = "", values = ""]) =>
    net.op("ReduceSum", name, [values, net.integers(1)], { keepdims: 0 }),
  );
  const loss = net.op("Sum", "bound", terms);
  return net.model(net.op("Mul", "loss", [loss, net.number(1 / pixels)]));
}

/** Per pixel: softplus(logit) - logit * value. */
function crossEntropy(net: Network, logits: string, x: string): string {
  const soft = net.op("Softplus", "softplus", [logits]);
  return net.op("Sub", "pixel-loss", [soft, net.op("Mul", "agreement", [logits, x])]);
}

/** Per number of the code: (m² + v - log v - 1) / 2. */
function divergence(net: Network, mean: string, logVariance: string): string {
  const square = net.op("Mul", "mean-square", [mean, mean]);
  const variance = net.op("Exp", "variance", [logVariance]);
  const rest = net.op("Sub", "less-log", [net.add("moments", square, variance), logVariance]);
  const less = net.op("Sub", "less-one", [rest, net.number(1)]);
  return net.op("Mul", "code-loss", [less, net.number(0.5)]);
}

/** The two networks of a GAN, and the generator seen through the discriminator. */
export interface AdversarialModels {
  /** From codes [batch, 100] to images in -1..1. */
  readonly generator: Model;
  /** From images to one logit each, for binary cross-entropy: 1 is real. */
  readonly discriminator: Model;
  /**
   * From codes to logits: what trains the generator. The discriminator's parameters are frozen; its
   * running statistics move, as they do in PyTorch.
   */
  readonly adversary: Model;
}

/**
 * DCGAN (Radford et al. 2016) for 32x32 images. Training alternates: a step of the discriminator on
 * real and generated images, then a step of the adversary on labels of 1. Parameters have the
 * same names in all three models, so one map of weights serves them.
 */
export function dcgan({ seed, channels = 3, width }: ModelOptions): AdversarialModels {
  const generator = new Network("dcgan", { seed });
  const made = generate(generator, generator.input([codeSize]), { channels, width });
  const discriminator = new Network("dcgan", { seed });
  const images = discriminator.input([channels, imageSize, imageSize]);
  const both = new Network("dcgan", { seed });
  const seen = generate(both, both.input([codeSize]), { channels, width });
  const adversary = both.model(discriminate(both, [{ kind: "", image: seen }], width));
  return {
    generator: generator.model(made),
    discriminator: discriminator.model(
      discriminate(discriminator, [{ kind: "", image: images }], width),
    ),
    adversary: {
      ...adversary,
      graph: frozen(adversary.graph, ["discriminator.*weight", "discriminator.*bias"]),
    },
  };
}

/**
 * Both networks of a DCGAN as one model, so that a job can train it, and split it, as any other: the
 * generator and the discriminator move at once, each along its own loss. Its input is real images with values
 * from 0 to 1, with a frame of zeros where they are smaller than 32x32; codes are drawn inside. It gives
 * the discriminator's loss for each sample, for the loss `mean-output`.
 *
 * The discriminator sees three images for each sample: a real one, a made one that no gradient passes, and
 * the same made one again. With logits r, s and m the model gives softplus(-r) + s + softplus(-m). As s and m are
 * equal, that is the discriminator's loss, softplus(-r) + softplus(m), and its parameters get that loss's
 * gradient: the one by s is 1, the one by m is sigmoid(m) - 1. The generator gets the latter alone, the gradient of
 * its own loss, softplus(-m) (Goodfellow et al. 2014, section 3). That holds with batch normalisation as well, because each of
 * the three kinds is normalised by itself: the statistics of s and m are equal, and gradients are sums over the batch.
 * @throws InputError for images that are larger, or smaller than a code
 */
export function adversarialGame(options: ModelOptions): Model {
  const { seed, channels = 3, size = imageSize, width } = options;
  const net = new Network("dcgan", { seed });
  const images = net.input([channels, size, size]);
  const real = wholeRange(net, framed(net, images, size));
  // As many values of the input as a code has: noise takes its shape from a value, and looks at nothing else.
  const some = [net.integers(0), net.integers(codeSize), net.integers(1)];
  const like = net.op("Slice", "code.like", [net.flatten("pixels", images), ...some]);
  const code = net.op("RandomNormalLike", "code", [like]);
  const made = generate(net, code, { channels, width });
  const kinds = [
    { kind: "real", image: real },
    { kind: "seen", image: detached(net, "seen", made) },
    { kind: "made", image: made },
  ];
  const judged = discriminate(net, kinds, width);
  const logits = net.reshape("logits", judged, 3, -1);
  const [r = "", s = "", m = ""] = kinds.map(({ kind }, row) =>
    net.op("Gather", `${kind}.logit`, [logits, net.integer(row)], { axis: 0 }),
  );
  const denied = (name: string, logit: string): string =>
    net.op("Softplus", name, [net.op("Neg", `${name}.logit`, [logit])]);
  return net.model(net.op("Sum", "loss", [denied("real.loss", r), s, denied("made.loss", m)]));
}

/** Images with zeros around them, 32x32. */
function framed(net: Network, images: string, size: number): string {
  const frame = (imageSize - size) / 2;
  if (!Number.isInteger(frame) || frame < 0 || size ** 2 < codeSize) {
    throw new InputError({
      what: "modelOptions.size",
      received: `${size} for dcgan`,
      allowed: `an even number from ${Math.sqrt(codeSize)} to ${imageSize}`,
    });
  }
  if (frame === 0) return images;
  return net.op("Pad", "framed", [images, net.integers(0, 0, frame, frame, 0, 0, frame, frame)]);
}

/** Values from 0 to 1 as values from -1 to 1, which are those of a generator. */
function wholeRange(net: Network, images: string): string {
  const twice = net.op("Mul", "twice", [images, net.number(2)]);
  return net.op("Sub", "range", [twice, net.number(1)]);
}

/**
 * Values from -1 to 1, to 2^-22 of what they are, that no gradient passes. ONNX has no operator for this; rounding
 * to whole numbers has no gradient.
 */
function detached(net: Network, name: string, x: string): string {
  const steps = net.number(2 ** 22);
  const whole = net.op("Floor", `${name}.whole`, [net.op("Mul", `${name}.steps`, [x, steps])]);
  return net.op("Div", name, [whole, steps]);
}

const codeSize = 100;
const imageSize = 32;

/** Images of codes; the width is that of the layer beside the image. */
function generate(
  net: Network,
  code: string,
  { channels, width = 64 }: { readonly channels: number; readonly width: number | undefined },
): string {
  let x = net.reshape("generator.code", code, -1, codeSize, 1, 1);
  for (const [i, factor] of [4, 2, 1].entries()) {
    const how = i === 0 ? { kernel: 4 } : { kernel: 4, stride: 2, pad: 1 };
    x = net.convTranspose(`generator.${i}.conv`, x, factor * width, how);
    x = net.relu(`generator.${i}.relu`, net.batchNorm(`generator.${i}.bn`, x));
  }
  x = net.convTranspose("generator.3.conv", x, channels, { kernel: 4, stride: 2, pad: 1 });
  return net.op("Tanh", "generator.image", [x]);
}

/**
 * One logit for each image. Of several kinds of images all of the first kind come first, and so on; they are put
 * together behind the first layer, so that no cut is before it. Each kind is normalised by itself, as where a
 * discriminator is asked once for each, and has running statistics of its own.
 */
function discriminate(
  net: Network,
  images: readonly { readonly kind: string; readonly image: string }[],
  width = 64,
): string {
  const how = { kernel: 4, stride: 2, pad: 1, bias: false };
  const seen = images.map(({ image }) => net.conv("discriminator.0.conv", image, width, how));
  let x = net.op("LeakyRelu", "discriminator.0.act", [together(net, seen)], { alpha: 0.2 });
  for (const [i, factor] of [
    [1, 2],
    [2, 4],
  ] as const) {
    const name = `discriminator.${i}`;
    x = net.conv(`${name}.conv`, x, factor * width, how);
    const parts = apart(net, x, images.length).map((part, k) =>
      net.batchNorm(`${name}.bn`, part, { statistics: images[k]?.kind ?? "" }),
    );
    x = net.op("LeakyRelu", `${name}.act`, [together(net, parts)], { alpha: 0.2 });
  }
  x = net.conv("discriminator.3.conv", x, 1, { kernel: 4, bias: false });
  return net.flatten("discriminator.logit", x);
}

/** Batches one after the other. */
const together = (net: Network, parts: readonly string[]): string =>
  parts.length === 1
    ? (parts[0] as string)
    : net.op("Concat", "discriminator.images", parts, { axis: 0 });

/** Batches of one size that are one after the other. */
function apart(net: Network, x: string, count: number): string[] {
  if (count === 1) return [x];
  const [, ...shape] = net.shape(x);
  const all = net.reshape("discriminator.kinds", x, count, -1, ...shape);
  return Array.from({ length: count }, (_, k) =>
    net.op("Gather", "discriminator.kind", [all, net.integer(k)], { axis: 0 }),
  );
}
