/** Models that make images. */
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
export function dcgan({ seed, channels = 3 }: ModelOptions): AdversarialModels {
  const generator = new Network("dcgan", { seed });
  const made = generate(generator, generator.input([codeSize]), channels);
  const discriminator = new Network("dcgan", { seed });
  const images = discriminator.input([channels, 32, 32]);
  const both = new Network("dcgan", { seed });
  const judged = discriminate(both, generate(both, both.input([codeSize]), channels));
  const adversary = both.model(judged);
  return {
    generator: generator.model(made),
    discriminator: discriminator.model(discriminate(discriminator, images)),
    adversary: {
      ...adversary,
      graph: frozen(adversary.graph, ["discriminator.*weight", "discriminator.*bias"]),
    },
  };
}

const codeSize = 100;
const dcganWidth = 64;

function generate(net: Network, code: string, channels: number): string {
  let x = net.reshape("generator.code", code, -1, codeSize, 1, 1);
  for (const [i, width] of [4 * dcganWidth, 2 * dcganWidth, dcganWidth].entries()) {
    const how = i === 0 ? { kernel: 4 } : { kernel: 4, stride: 2, pad: 1 };
    x = net.convTranspose(`generator.${i}.conv`, x, width, how);
    x = net.relu(`generator.${i}.relu`, net.batchNorm(`generator.${i}.bn`, x));
  }
  x = net.convTranspose("generator.3.conv", x, channels, { kernel: 4, stride: 2, pad: 1 });
  return net.op("Tanh", "generator.image", [x]);
}

function discriminate(net: Network, image: string): string {
  let x = image;
  for (const [i, width] of [dcganWidth, 2 * dcganWidth, 4 * dcganWidth].entries()) {
    const how = { kernel: 4, stride: 2, pad: 1, bias: false };
    x = net.conv(`discriminator.${i}.conv`, x, width, how);
    if (i > 0) x = net.batchNorm(`discriminator.${i}.bn`, x);
    x = net.op("LeakyRelu", `discriminator.${i}.act`, [x], { alpha: 0.2 });
  }
  x = net.conv("discriminator.3.conv", x, 1, { kernel: 4, bias: false });
  return net.flatten("discriminator.logit", x);
}
