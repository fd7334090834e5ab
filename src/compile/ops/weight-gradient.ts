/**
 * The gradient of a convolution's weight, as standard operators. It is the dearest
 * piece of a training step, so it has five forms. All compute the same; which one is
 * taken where is what was fastest in onnxruntime on a CPU.
 *
 * - a 1x1 kernel: a batch of matrix products, summed over the images
 * - few channels: one product of the output's gradient with all shifted copies of the
 *   input (im2col, made of slices)
 * - more channels: one product per kernel position, so that no copy of all shifts is made
 * - one channel per group: see `depthwise-gradient.ts`
 * - other groups: a convolution with the output's gradient as the filter; images and
 *   channels change places, strides and dilations change places
 */
import { elementCount } from "../../base/tensor.ts";
import { depthwiseGradient } from "./depthwise-gradient.ts";
import { integerList, reshaped, summed, transposed } from "./gradients.ts";
import type { GradientContext } from "./rule.ts";
import { joined, kernelPositions, shift } from "./shifts.ts";
import { type Convolution, padsOf } from "./windows.ts";

type Context = GradientContext<unknown>;

/** Up to so many input channels, one large product beats one per kernel position. */
const fewChannels = 8;

/** Emits the gradient of the weight of `c`, from the forward input and the output's gradient. */
export function weightGradient(context: Context, x: string, g: string, c: Convolution): string {
  if (c.group > 1 && c.channelsIn === 1 && c.channelsOut === 1) {
    return depthwiseGradient(context, x, g, c);
  }
  if (c.group > 1) return byConvolution(context, x, g, c);
  const isPointwise =
    elementCount(c.kernel) === 1 &&
    c.strides.every((stride) => stride === 1) &&
    padsOf(c).every((pad) => pad === 0);
  if (isPointwise) return byImages(context, x, g, c);
  const image = paddedChannelsFirst(context, x, c);
  const spatial = c.output.map((_, axis) => axis + 2);
  const columns = c.batch * elementCount(c.output);
  const gradient = reshaped(context, transposed(context, g, [1, 0, ...spatial]), [
    c.channelsOut,
    columns,
  ]);
  const product = (shifted: string, rows: number): string =>
    context.emit("Gemm", [gradient, reshaped(context, shifted, [rows, columns])], { transB: 1 });
  // Either way the result is [filters, kernel positions * channels].
  const positions = elementCount(c.kernel);
  const flat =
    c.channelsIn <= fewChannels
      ? product(allShifts(context, image, c), positions * c.channelsIn)
      : joined(
          context,
          kernelPositions(c.kernel).map((at) =>
            product(shift(context, image, at, c), c.channelsIn),
          ),
          1,
        );
  const split = reshaped(context, flat, [c.channelsOut, positions, c.channelsIn]);
  return reshaped(context, transposed(context, split, [0, 2, 1]), weightShape(c));
}

const weightShape = (c: Convolution): number[] => [
  c.group * c.channelsOut,
  c.channelsIn,
  ...c.kernel,
];

/** Sum over images of gradient [filters, P] times input transposed [P, channels]. */
function byImages(context: Context, x: string, g: string, c: Convolution): string {
  const plane = elementCount(c.output);
  const images = reshaped(context, x, [c.batch, c.channelsIn, plane]);
  const gradients = reshaped(context, g, [c.batch, c.channelsOut, plane]);
  const products = context.emit("MatMul", [gradients, transposed(context, images, [0, 2, 1])]);
  return reshaped(context, summed(context, products, [0]), weightShape(c));
}

/** The input as [channels, images, ...] with its padding. */
function paddedChannelsFirst(context: Context, x: string, c: Convolution): string {
  const spatial = c.input.map((_, axis) => axis + 2);
  const image = transposed(context, x, [1, 0, ...spatial]);
  if (padsOf(c).every((pad) => pad === 0)) return image;
  const pads = [0, 0, ...c.padsBegin, 0, 0, ...c.padsEnd];
  return context.emit("Pad", [image, integerList(context, pads)]);
}

/**
 * All shifts, joined along the channels in the order of kernel positions. One axis after the
 * other, the last one first: K slices for each axis instead of K * K at once.
 */
function allShifts(context: Context, image: string, c: Convolution): string {
  return c.kernel.reduceRight((value, size, axis) => {
    const offsets = Array.from({ length: size }, (_, offset) => offset);
    const slices = offsets.map((offset) => shift(context, value, [offset], c, [axis]));
    return joined(context, slices, 0);
  }, image);
}

function byConvolution(context: Context, x: string, g: string, c: Convolution): string {
  const { batch, group, channelsIn, input, output, kernel } = c;
  const spatial = input.map((_, axis) => axis);
  // [N, G, Cin, ...] -> [Cin, G * N, ...]: the images of a group become its channels.
  const grouped = reshaped(context, x, [batch, group, channelsIn, ...input]);
  const images = reshaped(
    context,
    transposed(context, grouped, [2, 1, 0, ...spatial.map((axis) => axis + 3)]),
    [channelsIn, group * batch, ...input],
  );
  // [N, G * Cout, ...] -> [G * Cout, N, ...]: one filter per output channel.
  const axes = spatial.map((axis) => axis + 2);
  const full = context.emit("Conv", [images, transposed(context, g, [1, 0, ...axes])], {
    kernel_shape: output,
    strides: c.dilations,
    dilations: c.strides,
    pads: padsOf(c),
    group,
  });
  // Rows and columns that the forward windows never reached make the result too large.
  const sizes = context.type(full).shape.slice(2);
  const bounds = [spatial.map(() => 0), kernel, axes];
  const exact = sizes.every((size, axis) => size === kernel[axis])
    ? full
    : context.emit("Slice", [full, ...bounds.map((list) => integerList(context, list))]);
  return transposed(context, exact, [1, 0, ...axes]);
}
