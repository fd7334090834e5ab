/**
 * The gradient of a depthwise convolution's weight (one filter for each channel), as standard
 * operators. A convolution with the gradient as its filter, as groups have it otherwise, takes
 * two to three times as long in onnxruntime on a CPU.
 *
 * - narrow images: for each row of the kernel one product per channel, of the input's columns with
 *   the gradient's columns over all rows and images; the sums wanted stand on its diagonals
 * - wide images, where most of that product would be for nothing: for each kernel position the
 *   sum of what it had read times the gradient
 */
import { type DenseTensor, elementCount, type TensorType } from "../../base/tensor.ts";
import { pack } from "./elements.ts";
import { integerList, reshaped, summed, transposed } from "./gradients.ts";
import type { GradientContext } from "./rule.ts";
import { joined, kernelPositions, shift } from "./shifts.ts";
import { type Convolution, padsOf } from "./windows.ts";

type Context = GradientContext<unknown>;

/** Up to so many columns are narrow. */
const narrow = 64;

/** Emits the gradient of the weight [channels, 1, ...kernel] of a convolution with one channel per group. */
export function depthwiseGradient(context: Context, x: string, g: string, c: Convolution): string {
  const columns = c.output.at(-1) as number;
  return columns <= narrow ? byDiagonals(context, x, g, c) : bySums(context, x, g, c);
}

const weightShape = (c: Convolution): number[] => [c.group, 1, ...c.kernel];

function padded(context: Context, x: string, c: Convolution): string {
  if (padsOf(c).every((pad) => pad === 0)) return x;
  const pads = [0, 0, ...c.padsBegin, 0, 0, ...c.padsEnd];
  return context.emit("Pad", [x, integerList(context, pads)]);
}

function byDiagonals(context: Context, x: string, g: string, c: Convolution): string {
  const { emit } = context;
  const last = c.kernel.length - 1;
  const turn = [1, 0, ...c.kernel.map((_, axis) => axis + 2)];
  const image = padded(context, transposed(context, x, turn), c);
  const width = context.type(image).shape.at(-1) as number;
  const out = c.output[last] as number;
  const rows = (c.batch * elementCount(c.output)) / out;
  const gradient = reshaped(context, transposed(context, g, turn), [c.group, rows, out]);
  const diagonals = context.constant(diagonalSums(context.type(g), { width, out }, c));
  const leading = kernelPositions(c.kernel.slice(0, last));
  const sums = leading.map((at) => {
    const axes = at.map((_, axis) => axis);
    const read = at.length === 0 ? image : shift(context, image, at, c, axes);
    const lines = reshaped(context, read, [c.group, rows, width]);
    const products = emit("MatMul", [transposed(context, lines, [0, 2, 1]), gradient]);
    return emit("MatMul", [reshaped(context, products, [c.group, width * out]), diagonals]);
  });
  return reshaped(context, joined(context, sums, 1), weightShape(c));
}

/** [width * out, kernel width]: 1 where a kernel position had read that column for that output. */
function diagonalSums(
  { dtype }: TensorType,
  { width, out }: { width: number; out: number },
  c: Convolution,
): DenseTensor {
  const last = c.kernel.length - 1;
  const [kernel, stride, dilation] = [c.kernel[last], c.strides[last], c.dilations[last]] as [
    number,
    number,
    number,
  ];
  const values = new Float64Array(width * out * kernel);
  for (let o = 0; o < out; o++) {
    for (let j = 0; j < kernel; j++) {
      values[((o * stride + j * dilation) * out + o) * kernel + j] = 1;
    }
  }
  return pack({ dtype, shape: [width * out, kernel] }, values);
}

function bySums(context: Context, x: string, g: string, c: Convolution): string {
  const image = padded(context, x, c);
  const plane = [c.batch, c.group, elementCount(c.output)];
  const sums = kernelPositions(c.kernel).map((at) => {
    const product = context.emit("Mul", [shift(context, image, at, c), g]);
    // Rows first: engines sum what lies together fastest.
    const perImage = summed(context, reshaped(context, product, plane), [2]);
    return reshaped(context, summed(context, perImage, [0]), [c.group, 1]);
  });
  return reshaped(context, joined(context, sums, 1), weightShape(c));
}
