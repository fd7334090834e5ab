/** Residual networks (He et al., "Deep residual learning for image recognition", 2016). */
import type { Model } from "../compile/graph.ts";
import { Network } from "./network.ts";
import type { ModelOptions } from "./options.ts";

interface Shape {
  /** Channels of each stage's blocks. */
  readonly widths: readonly number[];
  /** Blocks of each stage. */
  readonly blocks: readonly number[];
  /** How much wider a block's output is: 4 for bottlenecks of three convolutions, else 1. */
  readonly expansion: 1 | 4;
}

const shapes = {
  /** The one for 32x32 images, section 4.2; a shortcut that changes size is a 1x1 convolution. */
  resnet20: { widths: [16, 32, 64], blocks: [3, 3, 3], expansion: 1 },
  resnet18: { widths: [64, 128, 256, 512], blocks: [2, 2, 2, 2], expansion: 1 },
  resnet50: { widths: [64, 128, 256, 512], blocks: [3, 4, 6, 3], expansion: 4 },
} as const satisfies Record<string, Shape>;

/** Images up to this side get the small stem: one 3x3 convolution that keeps their size. */
const smallSize = 64;

/** Layers are named as in torchvision. */
export function resnet(name: keyof typeof shapes, options: ModelOptions): Model {
  const { seed, classes = 10, channels = 3, size = 32 } = options;
  const { widths, blocks, expansion }: Shape = shapes[name];
  const net = new Network(name, { seed, init: "he" });
  const stem = size <= smallSize ? { kernel: 3, pad: 1 } : { kernel: 7, stride: 2, pad: 3 };
  let x = net.input([channels, size, size]);
  x = net.conv("conv1", x, widths[0] ?? 64, { ...stem, bias: false });
  x = net.relu("relu", net.batchNorm("bn1", x));
  if (size > smallSize) x = net.maxPool("maxpool", x, 3, { stride: 2, pad: 1 });
  for (const [stage, width] of widths.entries()) {
    for (let block = 0; block < (blocks[stage] ?? 0); block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      x = residual(net, `layer${stage + 1}.${block}`, x, { width, stride, expansion });
    }
  }
  x = net.flatten("flatten", net.globalAveragePool("avgpool", x));
  return net.model(net.linear("fc", x, classes));
}

/** The block's convolutions, and the way around them. */
function residual(
  net: Network,
  name: string,
  x: string,
  { width, stride, expansion }: { width: number; stride: number; expansion: number },
): string {
  const normed = (i: number, y: string, channels: number, kernel: number, step: number): string => {
    const pad = (kernel - 1) / 2;
    const options = { kernel, stride: step, pad, bias: false };
    return net.batchNorm(`${name}.bn${i}`, net.conv(`${name}.conv${i}`, y, channels, options));
  };
  const out = width * expansion;
  let y: string;
  if (expansion === 1) {
    y = net.relu(`${name}.relu1`, normed(1, x, width, 3, stride));
    y = normed(2, y, width, 3, 1);
  } else {
    y = net.relu(`${name}.relu1`, normed(1, x, width, 1, 1));
    y = net.relu(`${name}.relu2`, normed(2, y, width, 3, stride));
    y = normed(3, y, out, 1, 1);
  }
  let around = x;
  if (stride !== 1 || net.shape(x)[1] !== out) {
    around = net.conv(`${name}.downsample.0`, x, out, { kernel: 1, stride, bias: false });
    around = net.batchNorm(`${name}.downsample.1`, around);
  }
  return net.relu(`${name}.relu`, net.add(`${name}.add`, y, around));
}
