/** VGG (Simonyan and Zisserman, "Very deep convolutional networks", 2015), configurations A and E. */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/** Channels of convolutions; null is a pooling. */
const configurations = {
  vgg11: [64, null, 128, null, 256, 256, null, 512, 512, null, 512, 512, null],
  vgg19: [
    ...[64, 64, null, 128, 128, null, 256, 256, 256, 256, null],
    ...[512, 512, 512, 512, null, 512, 512, 512, 512, null],
  ],
} as const;

/** Sides up to this are small images, which get one linear layer instead of three. */
const smallSize = 64;

/**
 * Layers are numbered as in torchvision, where pooling comes after ReLU. Here it comes before
 * where both meet, which gives the same values and gradients at a quarter of the work.
 */
export function vgg(name: keyof typeof configurations, options: ModelOptions): Model {
  const { seed, classes = 10, channels = 3, size = 32, dropout = 0.5 } = options;
  const net = new Network(name, { seed, init: "he" });
  let x = net.input([channels, size, size]);
  let layer = 0;
  const configuration = configurations[name];
  for (const [i, width] of configuration.entries()) {
    if (width === null) continue;
    x = net.conv(`features.${layer}`, x, width, { kernel: 3, pad: 1 });
    const isPooled = configuration[i + 1] === null;
    if (isPooled) x = net.maxPool(`features.${layer + 2}`, x, 2);
    x = net.relu(`features.${layer + 1}`, x);
    layer += isPooled ? 3 : 2;
  }
  if (size <= smallSize) {
    return net.model(net.linear("classifier", net.flatten("flatten", x), classes));
  }
  x = net.flatten("flatten", x);
  for (const [i, first] of [0, 3].entries()) {
    x = net.relu(`classifier.${first + 1}`, net.linear(`classifier.${first}`, x, 4096));
    x = net.dropout(`classifier.${3 * i + 2}`, x, dropout);
  }
  return net.model(net.linear("classifier.6", x, classes));
}
