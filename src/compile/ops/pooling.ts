/**
 * Pooling over windows of one or two spatial axes.
 *
 * In a tie the first element of the window in row-major order wins, alone, as in
 * PyTorch and ONNX Runtime; its gradient goes to that element only. Where windows
 * are disjoint the gradient of MaxPool is a MaxUnpool on the winners' indices; where
 * they overlap, several windows may have one winner and the gradients are added. Windows
 * that tile the input exactly, the usual kind, find their winners by cheaper means.
 */
import { ModelError } from "../../base/errors.ts";
import { elementCount, float32, sameType, type TensorType } from "../../base/tensor.ts";
import {
  flag,
  integer,
  integers,
  type NoAttributes,
  noAttributes,
  readAttributes,
  word,
} from "./attributes.ts";
import { numbers, pack } from "./elements.ts";
import { castCode } from "./elementwise.ts";
import { type Emitter, expanded, integerList, reshaped, scalar, zerosLike } from "./gradients.ts";
import { inputType, inputValue, requireDType, requireFloat, requireRank } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";
import {
  eachTap,
  flatWindow,
  isDisjoint,
  isInside,
  isTiling,
  padsOf,
  type Window,
  type WindowAttributes,
  windowOver,
} from "./windows.ts";

export interface PoolAttributes extends WindowAttributes {
  readonly ceil_mode: boolean;
}

const poolReaders = {
  kernel_shape: integers,
  strides: integers,
  pads: integers,
  dilations: integers,
  auto_pad: word("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"),
  ceil_mode: flag(false),
};

/** The window of a pooling node over an input [N, C, ...]. */
function poolWindow(inputs: InputTypes, attributes: PoolAttributes): Window {
  const x = requireFloat(inputType(inputs, 0));
  requireRank(x, 3, 4);
  const window = windowOver(x.shape.slice(2), null, attributes, attributes.ceil_mode);
  const reach = (axis: number): number =>
    ((window.kernel[axis] as number) - 1) * (window.dilations[axis] as number) + 1;
  if (padsOf(window).some((pad, i) => pad >= reach(i % window.input.length))) {
    throw new ModelError(`pads [${padsOf(window).join(",")}]; allowed: less than the window`);
  }
  return window;
}

const poolType = (inputs: InputTypes, window: Window): TensorType => {
  const x = inputType(inputs, 0);
  return { dtype: x.dtype, shape: [...x.shape.slice(0, 2), ...window.output] };
};

const poolFlops = (inputs: InputTypes, attributes: PoolAttributes): number => {
  const window = poolWindow(inputs, attributes);
  return elementCount(poolType(inputs, window).shape) * elementCount(window.kernel);
};

export interface MaxPoolAttributes extends PoolAttributes {
  readonly storage_order: number;
}

/** Flat position of each window's winner in the whole input. */
function winners(inputs: InputTypes, x: ArrayLike<number>, attributes: PoolAttributes): Int32Array {
  const window = flatWindow(poolWindow(inputs, attributes));
  const [planeX, planeY] = [elementCount(window.input), elementCount(window.output)];
  const planes = elementCount(inputType(inputs, 0).shape.slice(0, 2));
  const best = new Int32Array(planes * planeY).fill(-1);
  const [kernelHeight, kernelWidth] = window.kernel as [number, number];
  for (let plane = 0; plane < planes; plane++) {
    for (let i = 0; i < kernelHeight; i++) {
      for (let j = 0; j < kernelWidth; j++) {
        eachTap(window, i, j, (output, input) => {
          const at = plane * planeY + output;
          const candidate = plane * planeX + input;
          const champion = best[at] as number;
          if (champion < 0 || (x[candidate] as number) > (x[champion] as number)) {
            best[at] = candidate;
          }
        });
      }
    }
  }
  return best;
}

/** float32 counts exactly up to here; larger codes would mistake one winner for another. */
const largestCode = 2 ** 24;

function maxPoolGradient(context: GradientContext<MaxPoolAttributes>): (string | null)[] {
  const g = context.gradient(0);
  if (g === null) return [null];
  const type = context.type(context.inputs[0] as string);
  const window = poolWindow([type], context.attributes);
  const [, ...sample] = type.shape;
  const isCodable = type.dtype !== "float16" && elementCount(sample) < largestCode;
  if (isTiling(window) && isCodable) return [unpooled(context, g, winnersOfTiles(context), window)];
  const indices = context.output(1);
  // MaxUnpool overwrites where windows share a winner, and needs room for every window.
  if (isDisjoint(window) && isInside(window)) return [unpooled(context, g, indices, window)];
  const count = elementCount(context.type(g).shape);
  const inputs = [
    zerosLike(context, g, [elementCount(type.shape)]),
    reshaped(context, indices, [count]),
    reshaped(context, g, [count]),
  ];
  const added = context.emit("ScatterElements", inputs, { axis: 0, reduction: "add" });
  return [reshaped(context, added, type.shape)];
}

/** Puts the gradient of every window at its winner. */
function unpooled(
  context: GradientContext<MaxPoolAttributes>,
  g: string,
  indices: string,
  window: Window,
): string {
  const { shape } = context.type(context.inputs[0] as string);
  return context.emit("MaxUnpool", [g, indices, integerList(context, shape)], {
    kernel_shape: window.kernel,
    strides: window.strides,
  });
}

/**
 * Winners of windows that tile the input, without MaxPool's second output: asking for it
 * makes the forward node ten times slower in onnxruntime. Every element that equals its
 * window's maximum is marked with a code that falls along row-major order, and pooling
 * the codes finds the first of them.
 */
function winnersOfTiles(context: GradientContext<MaxPoolAttributes>): string {
  const x = context.inputs[0] as string;
  const { dtype, shape } = context.type(x);
  const [batch, ...sample] = shape as [number, ...number[]];
  const window = poolWindow([{ dtype, shape }], context.attributes);
  const maxima = resized(context, context.output(0), window.kernel);
  const isWinner = context.emit("Equal", [maxima, x]);
  const marks = context.emit("Cast", [isWinner], { to: castCode(dtype) });
  const count = elementCount(sample);
  const codes = Float64Array.from({ length: count }, (_, i) => count - i);
  const code = context.constant(pack({ dtype, shape: [1, ...sample] }, codes));
  const best = context.emit("MaxPool", [context.emit("Mul", [marks, code])], {
    kernel_shape: window.kernel,
    strides: window.strides,
  });
  // Where an input is not a number nothing equals the maximum; the index must stay legal.
  const legal = context.emit("Max", [best, scalar(context, best, 1)]);
  const ends = Float64Array.from({ length: batch }, (_, n) => (n + 1) * count);
  const end = pack({ dtype: "int64", shape: [batch, ...sample.map(() => 1)] }, ends);
  const whole = context.emit("Cast", [legal], { to: castCode("int64") });
  return context.emit("Sub", [context.constant(end), whole]);
}

/** Repeats every element `scales` times along the spatial axes. */
const resized = (context: Emitter, value: string, scales: readonly number[]): string =>
  context.emit(
    "Resize",
    [value, "", context.constant(float32([scales.length + 2], [1, 1, ...scales]))],
    {
      mode: "nearest",
      coordinate_transformation_mode: "asymmetric",
      nearest_mode: "floor",
    },
  );

const MaxPool: OpRule<MaxPoolAttributes> = {
  inputs: [1, 1],
  outputs: [1, 2],
  attributes: (raw) =>
    readAttributes<MaxPoolAttributes>(raw, { ...poolReaders, storage_order: integer(0, 0, 0) }),
  types: (inputs, attributes, _known, outputs) => {
    const type = poolType(inputs, poolWindow(inputs, attributes));
    return outputs === 1 ? [type] : [type, { dtype: "int64", shape: type.shape }];
  },
  flops: (inputs, _outputs, attributes) => poolFlops(inputs, attributes),
  gradient: maxPoolGradient,
  compute: (inputs, attributes, outputs) => {
    const x = numbers(inputValue(inputs, 0));
    const best = winners([inputValue(inputs, 0)], x, attributes);
    const [type, indices] = outputs as [TensorType, TensorType?];
    const values = Float64Array.from(best, (index) => x[index] as number);
    return [pack(type, values), ...(indices === undefined ? [] : [pack(indices, best)])];
  },
};

export interface AveragePoolAttributes extends PoolAttributes {
  readonly count_include_pad: boolean;
}

/** How many elements each window position averages over, as one plane. */
function averageCounts(window: Window, includePad: boolean): Float64Array {
  const counts = new Float64Array(elementCount(window.output));
  const padded = (axis: number): number =>
    (window.padsBegin[axis] as number) +
    (window.input[axis] as number) +
    (window.padsEnd[axis] as number);
  const over: Window = includePad
    ? {
        ...window,
        input: [padded(0), padded(1)],
        padsBegin: [0, 0],
        padsEnd: [0, 0],
      }
    : window;
  for (let i = 0; i < (window.kernel[0] as number); i++) {
    for (let j = 0; j < (window.kernel[1] as number); j++) {
      eachTap(over, i, j, (output) => {
        counts[output] = (counts[output] as number) + 1;
      });
    }
  }
  return counts;
}

/**
 * Every window spreads its gradient, divided by its count, over its elements: a transposed
 * convolution with a kernel of ones, each channel for itself. Channels become images for it,
 * because engines run grouped transposed convolutions one group at a time.
 */
function averagePoolGradient(context: GradientContext<AveragePoolAttributes>): (string | null)[] {
  const g = context.gradient(0);
  if (g === null) return [null];
  const type = context.type(context.inputs[0] as string);
  const window = poolWindow([type], context.attributes);
  if (isTiling(window)) {
    const share = scalar(context, g, 1 / elementCount(window.kernel));
    return [resized(context, context.emit("Mul", [g, share]), window.kernel)];
  }
  const flat = flatWindow(window);
  const counts = averageCounts(flat, context.attributes.count_include_pad);
  const shares = context.constant(
    pack(
      { dtype: type.dtype, shape: window.output },
      counts.map((count) => 1 / count),
    ),
  );
  const ones = context.constant(
    pack(
      { dtype: type.dtype, shape: [1, 1, ...window.kernel] },
      new Float64Array(elementCount(window.kernel)).fill(1),
    ),
  );
  const planes = elementCount(type.shape.slice(0, 2));
  const shared = reshaped(context, context.emit("Mul", [g, shares]), [planes, 1, ...window.output]);
  // Windows may leave a rest uncovered at the end (padded with zeros here) or reach beyond it.
  const rest = window.input.map((size, axis) => {
    const reach = ((window.kernel[axis] as number) - 1) * (window.dilations[axis] as number) + 1;
    const end = ((window.output[axis] as number) - 1) * (window.strides[axis] as number) + reach;
    return size + (window.padsBegin[axis] as number) - end;
  });
  const spread = context.emit("ConvTranspose", [shared, ones], {
    kernel_shape: window.kernel,
    strides: window.strides,
    dilations: window.dilations,
    pads: [...window.padsBegin, ...rest.map((size) => Math.max(0, -size))],
    ...(rest.some((size) => size > 0)
      ? { output_padding: rest.map((size) => Math.max(0, size)) }
      : {}),
  });
  return [reshaped(context, spread, type.shape)];
}

const AveragePool: OpRule<AveragePoolAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  // Dilations came with operator set 19, later than the one that we write.
  attributes: (raw) => {
    const { dilations: _, ...readers } = poolReaders;
    const parsed = readAttributes<Omit<AveragePoolAttributes, "dilations">>(raw, {
      ...readers,
      count_include_pad: flag(false),
    });
    return { ...parsed, dilations: null };
  },
  types: (inputs, attributes) => [poolType(inputs, poolWindow(inputs, attributes))],
  flops: (inputs, _outputs, attributes) => poolFlops(inputs, attributes),
  gradient: averagePoolGradient,
  compute: (inputs, attributes, [type]) => {
    const value = inputValue(inputs, 0);
    const x = numbers(value);
    const window = flatWindow(poolWindow([value], attributes));
    const counts = averageCounts(window, attributes.count_include_pad);
    const planeX = elementCount(window.input);
    const sums = new Float64Array(elementCount((type as TensorType).shape));
    for (let plane = 0; plane * counts.length < sums.length; plane++) {
      for (let i = 0; i < (window.kernel[0] as number); i++) {
        for (let j = 0; j < (window.kernel[1] as number); j++) {
          eachTap(window, i, j, (output, input) => {
            const at = plane * counts.length + output;
            sums[at] = (sums[at] as number) + (x[plane * planeX + input] as number);
          });
        }
      }
    }
    const averages = sums.map((sum, i) => sum / (counts[i % counts.length] as number));
    return [pack(type as TensorType, averages)];
  },
};

/** Elements per channel of [N, C, ...]. */
const planeSize = (inputs: InputTypes): number => elementCount(inputType(inputs, 0).shape.slice(2));

const GlobalAveragePool: OpRule<NoAttributes> = {
  inputs: [1, 1],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs) => {
    const { dtype, shape } = requireFloat(inputType(inputs, 0));
    requireRank({ dtype, shape }, 3, Infinity);
    return [{ dtype, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }];
  },
  flops: (inputs) => elementCount(inputType(inputs, 0).shape),
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return [null];
    const type = context.type(context.inputs[0] as string);
    const share = context.emit("Mul", [g, scalar(context, g, 1 / planeSize([type]))]);
    return [expanded(context, share, type.shape)];
  },
  compute: (inputs, _, [type]) => {
    const x = numbers(inputValue(inputs, 0));
    const plane = planeSize([inputValue(inputs, 0)]);
    const sums = new Float64Array(x.length / plane);
    for (let i = 0; i < x.length; i++) {
      const at = Math.floor(i / plane);
      sums[at] = (sums[at] as number) + (x[i] as number);
    }
    return [
      pack(
        type as TensorType,
        sums.map((sum) => sum / plane),
      ),
    ];
  },
};

export interface MaxUnpoolAttributes {
  readonly kernel_shape: readonly number[] | null;
  readonly strides: readonly number[] | null;
  readonly pads: readonly number[] | null;
}

/**
 * Puts each value at its index in a tensor of zeros. Emitted for MaxPool's gradient, always
 * with the output's shape as third input.
 */
const MaxUnpool: OpRule<MaxUnpoolAttributes> = {
  inputs: [3, 3],
  outputs: [1, 1],
  attributes: (raw) =>
    readAttributes<MaxUnpoolAttributes>(raw, {
      kernel_shape: integers,
      strides: integers,
      pads: integers,
    }),
  types: (inputs, _, known) => {
    const values = inputType(inputs, 0);
    const indices = inputType(inputs, 1);
    requireDType(inputType(inputs, 2), ["int64"], "the output shape");
    const shape = known[2];
    if (!sameType(indices, { dtype: "int64", shape: values.shape })) {
      throw new ModelError("values and indices (int64) differ in type");
    }
    if (shape === undefined || shape === null) {
      throw new ModelError("the output shape (input 2) must be a constant");
    }
    return [{ dtype: values.dtype, shape: Array.from(numbers(shape)) }];
  },
  flops: () => 0,
  gradient: "it is made for gradients only; second derivatives are not supported",
  compute: (inputs, _, [type]) => {
    const values = numbers(inputValue(inputs, 0));
    const indices = numbers(inputValue(inputs, 1));
    const result = new Float64Array(elementCount((type as TensorType).shape));
    for (let i = 0; i < values.length; i++) {
      result[indices[i] as number] = values[i] as number;
    }
    return [pack(type as TensorType, result)];
  },
};

/** Operators of this family. */
export const poolingOps = { MaxPool, AveragePool, GlobalAveragePool, MaxUnpool };
