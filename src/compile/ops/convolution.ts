/**
 * Convolution and its transpose over one or two spatial axes, with groups,
 * strides, padding and dilations.
 *
 * Gradients are made of standard inference operators: the input's gradient is the
 * transposed convolution of the output's gradient with the same weight; the
 * weight's gradient has a file of its own, `weight-gradient.ts`, because it is the
 * most expensive piece of a training step and has several possible forms.
 */
import { ModelError } from "../../base/errors.ts";
import { elementCount, formatType, type TensorType } from "../../base/tensor.ts";
import { integer, integers, readAttributes, word } from "./attributes.ts";
import { numbers, pack } from "./elements.ts";
import { integerList, summed } from "./gradients.ts";
import { inputGradient } from "./input-gradient.ts";
import { inputType, inputValue, requireFloat, requireRank, requireSameDType } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";
import { weightGradient } from "./weight-gradient.ts";
import {
  type Convolution,
  eachTap,
  flatWindow,
  perAxis,
  type Window,
  type WindowAttributes,
  windowAttributes,
  windowOver,
} from "./windows.ts";

export interface ConvAttributes extends WindowAttributes {
  readonly group: number;
}

const windowReaders = {
  kernel_shape: integers,
  strides: integers,
  pads: integers,
  dilations: integers,
  auto_pad: word("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"),
  group: integer(1, 1),
};

function convolution(inputs: InputTypes, attributes: ConvAttributes): Convolution {
  const x = requireFloat(inputType(inputs, 0));
  const weight = inputType(inputs, 1);
  requireRank(x, 3, 4);
  requireRank(weight, x.shape.length, x.shape.length, "the weight");
  requireSameDType(x, weight);
  const [batch, channels, ...input] = x.shape as [number, number, ...number[]];
  const [filters, channelsIn, ...kernel] = weight.shape as [number, number, ...number[]];
  const { group } = attributes;
  if (channels !== channelsIn * group || filters % group !== 0) {
    throw new ModelError(
      `${formatType(x)} with weight ${formatType(weight)} in ${group} group(s): ` +
        `allowed: ${channelsIn * group} channels, a number of filters that ${group} divides`,
    );
  }
  const window = windowOver(input, kernel, attributes);
  return { ...window, batch, group, channelsIn, channelsOut: filters / group };
}

function requireBias(inputs: InputTypes, filters: number): void {
  const bias = inputs[2];
  if (bias === undefined || bias === null) return;
  requireSameDType(inputType(inputs, 0), bias);
  if (bias.shape.length !== 1 || bias.shape[0] !== filters) {
    throw new ModelError(`the bias is ${formatType(bias)}; allowed: shape [${filters}]`);
  }
}

/** Multiplications and additions of one convolution, forward or transposed. */
const convolutionFlops = (c: Convolution): number =>
  2 *
  c.batch *
  c.group *
  c.channelsIn *
  c.channelsOut *
  elementCount(c.kernel) *
  elementCount(c.output);

/**
 * Calls `visit(x, y, w)` once per channel pair and kernel position with the flat offsets of an
 * input plane, an output plane and the weight between them, and that position's (i, j).
 */
function eachPlane(
  c: Convolution,
  visit: (x: number, y: number, w: number, i: number, j: number) => void,
): void {
  const [kernelHeight, kernelWidth] = c.kernel as [number, number];
  const [planeX, planeY] = [elementCount(c.input), elementCount(c.output)];
  const { batch, group, channelsIn, channelsOut } = c;
  for (let n = 0; n < batch; n++) {
    for (let m = 0; m < group * channelsOut; m++) {
      const firstChannel = Math.floor(m / channelsOut) * channelsIn;
      const y = (n * group * channelsOut + m) * planeY;
      for (let channel = 0; channel < channelsIn; channel++) {
        const x = (n * group * channelsIn + firstChannel + channel) * planeX;
        for (let i = 0; i < kernelHeight; i++) {
          for (let j = 0; j < kernelWidth; j++) {
            visit(x, y, ((m * channelsIn + channel) * kernelHeight + i) * kernelWidth + j, i, j);
          }
        }
      }
    }
  }
}

const flat = (c: Convolution): Convolution => ({ ...c, ...flatWindow(c) });

const Conv: OpRule<ConvAttributes> = {
  inputs: [2, 3],
  outputs: [1, 1],
  attributes: (raw) => readAttributes<ConvAttributes>(raw, windowReaders),
  types: (inputs, attributes) => {
    const { batch, group, channelsOut, output } = convolution(inputs, attributes);
    requireBias(inputs, group * channelsOut);
    return [{ dtype: inputType(inputs, 0).dtype, shape: [batch, group * channelsOut, ...output] }];
  },
  flops: (inputs, outputs, attributes) =>
    convolutionFlops(convolution(inputs, attributes)) +
    (inputs[2] === undefined || inputs[2] === null ? 0 : elementCount(outputs[0]?.shape ?? [])),
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null, null, null];
    const [x, weight, bias = ""] = context.inputs as [string, string, string?];
    const c = convolution([context.type(x), context.type(weight)], context.attributes);
    const spatialAxes = c.input.map((_, axis) => axis + 2);
    return [
      context.wanted(0) ? inputGradient(context, g, weight, c) : null,
      context.wanted(1) ? weightGradient(context, x, g, c) : null,
      bias !== "" && context.wanted(2) ? summed(context, g, [0, ...spatialAxes]) : null,
    ];
  },
  compute: (inputs, attributes, [type]) => {
    const [valueX, valueW] = [inputValue(inputs, 0), inputValue(inputs, 1)];
    const c = flat(convolution([valueX, valueW], attributes));
    const [x, weight] = [numbers(valueX), numbers(valueW)];
    const { shape } = type as TensorType;
    const y = new Float64Array(elementCount(shape));
    if (inputs[2]) {
      const bias = numbers(inputs[2]);
      const plane = elementCount(c.output);
      for (let i = 0; i < y.length; i++) {
        y[i] = bias[Math.floor(i / plane) % bias.length] as number;
      }
    }
    eachPlane(c, (fromX, fromY, w, i, j) => {
      const factor = weight[w] as number;
      eachTap(c, i, j, (output, input) => {
        y[fromY + output] = (y[fromY + output] as number) + factor * (x[fromX + input] as number);
      });
    });
    return [pack(type as TensorType, y)];
  },
};

export interface ConvTransposeAttributes extends ConvAttributes {
  readonly output_padding: readonly number[] | null;
  /** Sizes that the output shall have; the pads follow from them. */
  readonly output_shape: readonly number[] | null;
}

/**
 * The forward convolution whose input gradient this operator computes: its input is our
 * output, its output is our input.
 */
function transposedConvolution(
  inputs: InputTypes,
  attributes: ConvTransposeAttributes,
): Convolution {
  const x = requireFloat(inputType(inputs, 0));
  const weight = inputType(inputs, 1);
  requireRank(x, 3, 4);
  requireRank(weight, x.shape.length, x.shape.length, "the weight");
  requireSameDType(x, weight);
  const [batch, channels, ...output] = x.shape as [number, number, ...number[]];
  const [channelsOut, channelsIn, ...kernel] = weight.shape as [number, number, ...number[]];
  const { group } = attributes;
  if (channels !== channelsOut || channels % group !== 0) {
    throw new ModelError(
      `${formatType(x)} with weight ${formatType(weight)} in ${group} group(s): ` +
        `allowed: ${channelsOut} channels, a number that ${group} divides`,
    );
  }
  const given = perAxis("kernel_shape", attributes.kernel_shape ?? kernel, kernel.length, 1, 1);
  if (given.some((size, axis) => size !== kernel[axis])) {
    const sizes = `[${given.join(",")}] but the weight has [${kernel.join(",")}]`;
    throw new ModelError(`attribute kernel_shape: got ${sizes}`);
  }
  const window = transposedWindow(output, kernel, attributes);
  if (output.length > 2 || window.input.some((size) => size < 1)) {
    throw new ModelError(`${formatType(x)}: the output would have sizes [${window.input}]`);
  }
  return { ...window, batch, group, channelsIn, channelsOut: channels / group };
}

/**
 * Settles the window whose outputs are known and whose input sizes are asked for: by the pads,
 * or the other way round where the sizes are given or follow from auto_pad.
 */
function transposedWindow(
  output: readonly number[],
  kernel: readonly number[],
  attributes: ConvTransposeAttributes,
): Window {
  const axes = output.length;
  const { auto_pad, output_shape } = attributes;
  const strides = perAxis("strides", attributes.strides, axes, 1, 1);
  const dilations = perAxis("dilations", attributes.dilations, axes, 1, 1);
  const extra = perAxis("output_padding", attributes.output_padding, axes, 0, 0);
  const full = output.map((size, axis) => {
    const reach = ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
    return (size - 1) * (strides[axis] as number) + reach + (extra[axis] as number);
  });
  const isSame = auto_pad === "SAME_UPPER" || auto_pad === "SAME_LOWER";
  const sizes = isSame ? output.map((size, axis) => size * (strides[axis] as number)) : null;
  const wanted = output_shape === null ? sizes : perAxis("output_shape", output_shape, axes, 1, 1);
  if (wanted === null) {
    const pads = perAxis("pads", attributes.pads, 2 * axes, 0, 0);
    const [padsBegin, padsEnd] = [pads.slice(0, axes), pads.slice(axes)];
    const input = full.map(
      (size, axis) => size - (padsBegin[axis] as number) - (padsEnd[axis] as number),
    );
    return { kernel, strides, dilations, padsBegin, padsEnd, input, output };
  }
  const totals = full.map((size, axis) => size - (wanted[axis] as number));
  if (totals.some((total) => total < 0)) {
    throw new ModelError(`output sizes [${wanted}]; allowed: at most [${full}] without padding`);
  }
  const small = totals.map((total) => Math.floor(total / 2));
  const large = totals.map((total, axis) => total - (small[axis] as number));
  // ONNX puts the odd one at the beginning, but for SAME_UPPER.
  const isUpper = auto_pad === "SAME_UPPER";
  const [padsBegin, padsEnd] = isUpper ? [small, large] : [large, small];
  return { kernel, strides, dilations, padsBegin, padsEnd, input: wanted, output };
}

/** The convolution with the same weight; where it reaches into `output_padding`, that is cut off. */
function transposedInputGradient(
  context: GradientContext<ConvTransposeAttributes>,
  g: string,
  c: Convolution,
): string {
  const full = context.emit("Conv", [g, context.inputs[1] as string], windowAttributes(c));
  const sizes = context.type(full).shape.slice(2);
  if (sizes.every((size, axis) => size === c.output[axis])) return full;
  const axes = sizes.map((_, axis) => axis + 2);
  const bounds = [axes.map(() => 0), c.output, axes];
  return context.emit("Slice", [full, ...bounds.map((list) => integerList(context, list))]);
}

const ConvTranspose: OpRule<ConvTransposeAttributes> = {
  inputs: [2, 3],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<ConvTransposeAttributes>(raw, {
      ...windowReaders,
      output_padding: integers,
      output_shape: integers,
    }),
  types: (inputs, attributes) => {
    const { batch, group, channelsIn, input } = transposedConvolution(inputs, attributes);
    requireBias(inputs, group * channelsIn);
    return [{ dtype: inputType(inputs, 0).dtype, shape: [batch, group * channelsIn, ...input] }];
  },
  flops: (inputs, outputs, attributes) =>
    convolutionFlops(transposedConvolution(inputs, attributes)) +
    (inputs[2] === undefined || inputs[2] === null ? 0 : elementCount(outputs[0]?.shape ?? [])),
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null, null, null];
    const [x, weight, bias = ""] = context.inputs as [string, string, string?];
    const c = transposedConvolution([context.type(x), context.type(weight)], context.attributes);
    const spatialAxes = c.input.map((_, axis) => axis + 2);
    return [
      context.wanted(0) ? transposedInputGradient(context, g, c) : null,
      // The roles of input and output's gradient change places with the direction.
      context.wanted(1) ? weightGradient(context, g, x, c) : null,
      bias !== "" && context.wanted(2) ? summed(context, g, [0, ...spatialAxes]) : null,
    ];
  },
  compute: (inputs, attributes, [type]) => {
    const [valueG, valueW] = [inputValue(inputs, 0), inputValue(inputs, 1)];
    const c = flat(transposedConvolution([valueG, valueW], attributes));
    const [g, weight] = [numbers(valueG), numbers(valueW)];
    const { shape } = type as TensorType;
    const y = new Float64Array(elementCount(shape));
    if (inputs[2]) {
      const bias = numbers(inputs[2]);
      const plane = elementCount(c.input);
      for (let i = 0; i < y.length; i++) {
        y[i] = bias[Math.floor(i / plane) % bias.length] as number;
      }
    }
    eachPlane(c, (toY, fromG, w, i, j) => {
      const factor = weight[w] as number;
      eachTap(c, i, j, (output, input) => {
        y[toY + input] = (y[toY + input] as number) + factor * (g[fromG + output] as number);
      });
    });
    return [pack(type as TensorType, y)];
  },
};

/** Operators of this family. */
export const convolutionOps = { Conv, ConvTranspose };
