/**
 * MobileNetV2 (Sandler et al. 2018) and MobileNetV3-large (Howard et al. 2019). Layers are named
 * as in torchvision. Small images keep their size through the first convolution and the first
 * block of stride 2, so that something is left to see at the end.
 */
import type { Model } from "../compile/graph.ts";
import { type BatchNormOptions, Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

/** Images up to this side are small. */
const smallSize = 64;

type Activation = "Relu" | "Relu6" | "HardSwish";

interface ConvNorm {
  readonly kernel: number;
  readonly stride?: number;
  readonly groups?: number;
  readonly activation?: Activation | null;
}

/** Convolution, normalisation and activation: what both networks are made of. */
class MobileBuilder {
  readonly net: Network;
  readonly #norm: BatchNormOptions;

  constructor(net: Network, norm: BatchNormOptions) {
    this.net = net;
    this.#norm = norm;
  }

  /** @param names of the convolution and of the normalisation */
  layer(names: readonly [string, string], x: string, channels: number, options: ConvNorm): string {
    const { net } = this;
    const { kernel, stride = 1, groups = 1, activation = null } = options;
    const conv = { kernel, stride, groups, pad: (kernel - 1) / 2, bias: false };
    const y = net.batchNorm(names[1], net.conv(names[0], x, channels, conv), this.#norm);
    return activation === null ? y : this.activate(`${names[1]}.act`, y, activation);
  }

  activate(name: string, x: string, activation: Activation): string {
    const { net } = this;
    return activation === "Relu6"
      ? net.op("Clip", name, [x, net.number(0), net.number(6)])
      : net.op(activation, name, [x]);
  }
}

/** Expansion, channels, blocks and stride of each stage. */
const stagesV2 = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/** Channels of the narrowest hidden layer as published; where a model is made narrower or wider, all layers are by as much. */
const publishedWidth = 16;

export function mobilenetV2(options: ModelOptions): Model {
  const { seed, classes = 10, channels = 3, size = 32, dropout = 0.2 } = options;
  const { width: narrowest = publishedWidth } = options;
  const scaled = (published: number): number =>
    Math.max(1, Math.round((published * narrowest) / publishedWidth));
  const isSmall = size <= smallSize;
  const net = new Network("mobilenetv2", { seed, init: "he" });
  const mobile = new MobileBuilder(net, {});
  const first = { kernel: 3, stride: isSmall ? 1 : 2, activation: "Relu6" } as const;
  let x = mobile.layer(
    ["features.0.0", "features.0.1"],
    net.input([channels, size, size]),
    scaled(32),
    first,
  );
  let number = 1;
  for (const [stage, [expansion, width, blocks, stride]] of stagesV2.entries()) {
    for (let block = 0; block < blocks; block++) {
      const step = block > 0 || (isSmall && stage === 1) ? 1 : stride;
      x = invertedV2(mobile, `features.${number++}`, x, {
        expansion,
        width: scaled(width),
        stride: step,
      });
    }
  }
  const last = { kernel: 1, activation: "Relu6" } as const;
  x = mobile.layer(["features.18.0", "features.18.1"], x, scaled(1280), last);
  x = net.flatten("flatten", net.globalAveragePool("pool", x));
  return net.model(net.linear("classifier.1", net.dropout("classifier.0", x, dropout), classes));
}

function invertedV2(
  mobile: MobileBuilder,
  name: string,
  x: string,
  { expansion, width, stride }: { expansion: number; width: number; stride: number },
): string {
  const [, widthIn = 1] = mobile.net.shape(x);
  const inner = widthIn * expansion;
  let at = 0;
  let y = x;
  if (expansion !== 1) {
    const names = [`${name}.conv.0.0`, `${name}.conv.0.1`] as const;
    y = mobile.layer(names, y, inner, { kernel: 1, activation: "Relu6" });
    at = 1;
  }
  const deep = { kernel: 3, stride, groups: inner, activation: "Relu6" } as const;
  y = mobile.layer([`${name}.conv.${at}.0`, `${name}.conv.${at}.1`], y, inner, deep);
  y = mobile.layer([`${name}.conv.${at + 1}`, `${name}.conv.${at + 2}`], y, width, { kernel: 1 });
  return stride === 1 && widthIn === width ? mobile.net.add(`${name}.add`, x, y) : y;
}

/** Kernel, inner channels, channels, squeeze, activation and stride of each block. */
const blocksV3 = [
  [3, 16, 16, false, "Relu", 1],
  [3, 64, 24, false, "Relu", 2],
  [3, 72, 24, false, "Relu", 1],
  [5, 72, 40, true, "Relu", 2],
  [5, 120, 40, true, "Relu", 1],
  [5, 120, 40, true, "Relu", 1],
  [3, 240, 80, false, "HardSwish", 2],
  [3, 200, 80, false, "HardSwish", 1],
  [3, 184, 80, false, "HardSwish", 1],
  [3, 184, 80, false, "HardSwish", 1],
  [3, 480, 112, true, "HardSwish", 1],
  [3, 672, 112, true, "HardSwish", 1],
  [5, 672, 160, true, "HardSwish", 2],
  [5, 960, 160, true, "HardSwish", 1],
  [5, 960, 160, true, "HardSwish", 1],
] as const;

export function mobilenetV3Large(options: ModelOptions): Model {
  const { seed, classes = 10, channels = 3, size = 32, dropout = 0.2 } = options;
  const isSmall = size <= smallSize;
  const net = new Network("mobilenetv3-large", { seed, init: "he" });
  const mobile = new MobileBuilder(net, { epsilon: 1e-3, kept: 0.99 });
  const first = { kernel: 3, stride: isSmall ? 1 : 2, activation: "HardSwish" } as const;
  let x = mobile.layer(
    ["features.0.0", "features.0.1"],
    net.input([channels, size, size]),
    16,
    first,
  );
  for (const [i, block] of blocksV3.entries()) {
    const stride = isSmall && i === 1 ? 1 : block[5];
    x = invertedV3(mobile, `features.${i + 1}.block`, x, block, stride);
  }
  const last = { kernel: 1, activation: "HardSwish" } as const;
  x = mobile.layer(["features.16.0", "features.16.1"], x, 960, last);
  x = net.flatten("flatten", net.globalAveragePool("avgpool", x));
  x = net.op("HardSwish", "classifier.1", [net.linear("classifier.0", x, 1280)]);
  return net.model(net.linear("classifier.3", net.dropout("classifier.2", x, dropout), classes));
}

function invertedV3(
  mobile: MobileBuilder,
  name: string,
  x: string,
  [kernel, inner, width, isSqueezed, activation]: (typeof blocksV3)[number],
  stride: number,
): string {
  const { net } = mobile;
  const [, widthIn = 1] = net.shape(x);
  let at = 0;
  const names = (): [string, string] => [`${name}.${at}.0`, `${name}.${at++}.1`];
  let y = x;
  if (inner !== widthIn) y = mobile.layer(names(), y, inner, { kernel: 1, activation });
  y = mobile.layer(names(), y, inner, { kernel, stride, groups: inner, activation });
  if (isSqueezed) y = squeezed(net, `${name}.${at++}`, y);
  y = mobile.layer(names(), y, width, { kernel: 1 });
  return stride === 1 && widthIn === width ? net.add(`${name}.add`, x, y) : y;
}

/** Squeeze and excitation (Hu et al. 2018): each channel is weighed by what all of them show. */
function squeezed(net: Network, name: string, x: string): string {
  const [, channels = 1] = net.shape(x);
  let y = net.globalAveragePool(`${name}.avgpool`, x);
  y = net.relu(
    `${name}.activation`,
    net.conv(`${name}.fc1`, y, inEights(channels / 4), { kernel: 1 }),
  );
  y = net.conv(`${name}.fc2`, y, channels, { kernel: 1 });
  const scale = net.op("HardSigmoid", `${name}.scale`, [y], { alpha: 1 / 6, beta: 0.5 });
  return net.op("Mul", `${name}.mul`, [x, scale]);
}

/** The nearest multiple of 8, and not much below the number. */
function inEights(channels: number): number {
  const nearest = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return nearest < 0.9 * channels ? nearest + 8 : nearest;
}
