/**
 * The gradient of a convolution's input, as standard operators. All forms compute the same;
 * which one is taken where is what was fastest in onnxruntime on a CPU.
 *
 * - few places (images times output positions): one product of the weight with all of the
 *   gradient, whose rows are then added up where their windows had read (col2im)
 * - stride 1 and many channels, or depthwise: a convolution with the weight turned around
 * - else the transposed convolution with the same weight, which is what engines are slow at
 */
import { elementCount } from "../../base/tensor.ts";
import { pack } from "./elements.ts";
import { integerList, reshaped, transposed } from "./gradients.ts";
import type { GradientContext } from "./rule.ts";
import { kernelPositions } from "./shifts.ts";
import { type Convolution, padsOf, reachOf, windowAttributes } from "./windows.ts";

type Context = GradientContext<unknown>;

/** Up to so many places the product beats a convolution, which would read its weight for so little. */
const fewPlaces = 256;

/** From so many input channels on, or one for each output, engines have fast convolutions. */
const manyChannels = 16;

/** Emits the gradient of the input of `c`, from the output's gradient and the weight. */
export function inputGradient(context: Context, g: string, weight: string, c: Convolution): string {
  const isStepwise = c.strides.every((stride) => stride === 1);
  const isCovered = padsOf(c).every((pad, i) => pad < reachOf(c, i % c.kernel.length));
  if (!isStepwise || !isCovered) return byTransposedConvolution(context, g, weight, c);
  const places = c.batch * elementCount(c.output);
  if (c.group === 1 && places <= fewPlaces) return byColumns(context, g, weight, c);
  const isDepthwise = c.channelsIn === 1 && c.channelsOut === 1;
  return isDepthwise || c.channelsIn >= manyChannels
    ? byTurnedWeight(context, g, weight, c)
    : byTransposedConvolution(context, g, weight, c);
}

/** What each window had read gets its share of the gradient: one row per channel and kernel position. */
function byColumns(context: Context, g: string, weight: string, c: Convolution): string {
  const { emit } = context;
  const { batch, channelsIn, channelsOut, input, output } = c;
  const at = kernelPositions(c.kernel);
  const spatial = output.map((_, axis) => axis + 2);
  const turn = [1, 0, ...spatial];
  const filters = reshaped(context, weight, [channelsOut, channelsIn * at.length]);
  const columns = [channelsOut, batch * elementCount(output)];
  const gradient = reshaped(context, transposed(context, g, turn), columns);
  const shares = emit("Gemm", [filters, gradient], { transA: 1 });
  const grouped = reshaped(context, shares, [channelsIn, at.length, columns[1] as number]);
  const placed = at.map((position, k) => {
    const bounds = [[k], [k + 1], [1]].map((list) => integerList(context, list));
    const own = at.length === 1 ? grouped : emit("Slice", [grouped, ...bounds]);
    const begin = position.map(
      (offset, axis) => offset * (c.dilations[axis] as number) - (c.padsBegin[axis] as number),
    );
    const end = begin.map(
      (size, axis) => (input[axis] as number) - (output[axis] as number) - size,
    );
    const images = reshaped(context, own, [channelsIn, batch, ...output]);
    // Negative pads cut off what windows had read of the padding.
    return [...begin, ...end].every((size) => size === 0)
      ? images
      : emit("Pad", [images, integerList(context, [0, 0, ...begin, 0, 0, ...end])]);
  });
  const sum = placed.length === 1 ? (placed[0] as string) : emit("Sum", placed);
  return transposed(context, sum, turn);
}

/** Every window position of the output's gradient that an input element took part in. */
function byTurnedWeight(context: Context, g: string, weight: string, c: Convolution): string {
  // [G * Cout, Cin, ...] -> [G * Cin, Cout, ...]
  const positions = elementCount(c.kernel);
  const shape = [c.group, c.channelsOut, c.channelsIn, positions];
  const grouped = reshaped(context, reversed(context, weight, c), shape);
  const swapped = transposed(context, grouped, [0, 2, 1, 3]);
  const filters = reshaped(context, swapped, [c.group * c.channelsIn, c.channelsOut, ...c.kernel]);
  return context.emit("Conv", [g, filters], {
    ...windowAttributes(c),
    pads: padsOf(c).map((pad, i) => reachOf(c, i % c.kernel.length) - 1 - pad),
  });
}

/**
 * The weight as rows of kernel positions, last position first. A product with a matrix of ones
 * in the other diagonal does it, exactly, and faster than a slice that walks backwards.
 */
function reversed(context: Context, weight: string, c: Convolution): string {
  const positions = elementCount(c.kernel);
  const rows = reshaped(context, weight, [c.group * c.channelsOut * c.channelsIn, positions]);
  if (positions === 1) return rows;
  const values = Array.from({ length: positions ** 2 }, (_, i) =>
    (i % positions) + Math.floor(i / positions) === positions - 1 ? 1 : 0,
  );
  const { dtype } = context.type(weight);
  const exchange = pack({ dtype, shape: [positions, positions] }, Float64Array.from(values));
  return context.emit("MatMul", [rows, context.constant(exchange)]);
}

/**
 * The transposed convolution with the same weight. What the forward windows left over at
 * the end of an axis comes back as `output_padding`.
 */
function byTransposedConvolution(
  context: Context,
  g: string,
  weight: string,
  c: Convolution,
): string {
  const outputPadding = c.input.map((size, axis) => {
    const covered =
      ((c.output[axis] as number) - 1) * (c.strides[axis] as number) + reachOf(c, axis);
    return size + (c.padsBegin[axis] as number) + (c.padsEnd[axis] as number) - covered;
  });
  return context.emit("ConvTranspose", [g, weight], {
    ...windowAttributes(c),
    ...(outputPadding.some((size) => size > 0) ? { output_padding: outputPadding } : {}),
  });
}
