/**
 * Normalisations that are written out: instance, group, root mean square, Lp, mean
 * and variance, local response. Most of them are a layer normalisation of rows.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, elementCount, type TensorType } from "../../base/tensor.ts";
import { float, integer, integers, readAttributes, required } from "./attributes.ts";
import { axesOf, axisOf, broadcastIndices, loopsAlong, numbers, pack } from "./elements.ts";
import { integerList, reshaped, scalar } from "./gradients.ts";
import { inputType, inputValue, requireFloat } from "./inputs.ts";
import { perChannel, requireChannels, statistics } from "./normalization.ts";
import type { InputTypes, LowerContext, OpRule } from "./rule.ts";

/** Normalises each row of [rows, run] by layer normalisation, without weights. */
function normalisedRows(
  context: LowerContext<unknown>,
  x: string,
  rows: number,
  epsilon: number,
): string {
  const { dtype, shape } = context.type(x);
  const run = elementCount(shape) / rows;
  const ones = context.constant(pack({ dtype, shape: [run] }, new Float64Array(run).fill(1)));
  const flat = reshaped(context, x, [rows, run]);
  const normal = context.emit("LayerNormalization", [flat, ones], { axis: -1, epsilon });
  return reshaped(context, normal, shape);
}

/** An operator that is written out: it has types and a reference, and no gradient of its own. */
function written<A>(
  rule: Pick<OpRule<A>, "inputs" | "attributes" | "types"> & {
    lower(context: LowerContext<A>): string;
    /** Computes all elements in float64. */
    reference(values: readonly DenseTensor[], attributes: A): Float64Array;
  },
): OpRule<A> {
  return {
    inputs: rule.inputs,
    outputs: [1, 1],
    attributes: rule.attributes,
    types: rule.types,
    flops: (inputs) => 8 * elementCount(inputType(inputs, 0).shape),
    gradient: "it is written out before",
    lower: (context) => [rule.lower(context)],
    compute: (values, attributes, [type]) => {
      const present = values.map((_, i) => inputValue(values, i));
      return [pack(type as TensorType, rule.reference(present, attributes))];
    },
  };
}

/** Group normalisation of [N, C, ...] values; a scale and a bias per channel. */
function groupReference(
  [x, scale, bias]: readonly DenseTensor[],
  groups: number,
  epsilon: number,
): Float64Array {
  const { shape } = x as DenseTensor;
  const values = Float64Array.from(numbers(x as DenseTensor));
  const [batch, channels] = shape as [number, number];
  const inner = elementCount(shape.slice(2));
  const run = (channels / groups) * inner;
  const [scales, biases] = [numbers(scale as DenseTensor), numbers(bias as DenseTensor)];
  for (let group = 0; group < batch * groups; group++) {
    const part = values.subarray(group * run, (group + 1) * run);
    const [mean, inverse] = statistics(part, epsilon);
    part.forEach((value, i) => {
      const c = Math.floor((group * run + i) / inner) % channels;
      part[i] = (value - mean) * inverse * (scales[c] as number) + (biases[c] as number);
    });
  }
  return values;
}

/** Scale and bias per channel after a normalisation. */
function scaledChannels(context: LowerContext<unknown>, normal: string): string {
  const [x = "", scale = "", bias = ""] = context.inputs;
  const rank = context.type(x).shape.length;
  const scaled = context.emit("Mul", [normal, perChannel(context, scale, rank)]);
  return context.emit("Add", [scaled, perChannel(context, bias, rank)]);
}

const sameTypeAsInput = (inputs: InputTypes): TensorType[] => {
  const { dtype, shape } = requireFloat(inputType(inputs, 0));
  return [{ dtype, shape }];
};

export interface EpsilonAttributes {
  readonly epsilon: number;
}

/** Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016. */
const InstanceNormalization: OpRule<EpsilonAttributes> = written({
  inputs: [3, 3],
  attributes: (raw) => readAttributes(raw, { epsilon: float(1e-5) }),
  types: (inputs) => {
    const { dtype, shape } = requireChannels(inputs, 1);
    return [{ dtype, shape }];
  },
  lower: (context) => {
    const [x = ""] = context.inputs;
    const rows = elementCount(context.type(x).shape.slice(0, 2));
    return scaledChannels(context, normalisedRows(context, x, rows, context.attributes.epsilon));
  },
  reference: (values, { epsilon }) =>
    groupReference(values, (values[0] as DenseTensor).shape[1] as number, epsilon),
});

export interface GroupNormalizationAttributes extends EpsilonAttributes {
  readonly num_groups: number;
  readonly stash_type: number;
}

/** Wu and He, "Group Normalization", 2018; scale and bias per channel, as operator set 21 has them. */
const GroupNormalization: OpRule<GroupNormalizationAttributes> = written({
  inputs: [3, 3],
  attributes: (raw) =>
    readAttributes<GroupNormalizationAttributes>(raw, {
      epsilon: float(1e-5),
      num_groups: required(integer(1, 1)),
      stash_type: integer(1, 1, 1),
    }),
  types: (inputs, { num_groups }) => {
    const { dtype, shape } = requireChannels(inputs, 1);
    if ((shape[1] as number) % num_groups === 0) return [{ dtype, shape }];
    throw new ModelError(
      `attribute num_groups: got ${num_groups}; allowed: a divisor of ${shape[1]}`,
    );
  },
  lower: (context) => {
    const { num_groups, epsilon } = context.attributes;
    const [x = ""] = context.inputs;
    const rows = (context.type(x).shape[0] as number) * num_groups;
    return scaledChannels(context, normalisedRows(context, x, rows, epsilon));
  },
  reference: (values, { num_groups, epsilon }) => groupReference(values, num_groups, epsilon),
});

export interface RmsNormalizationAttributes extends EpsilonAttributes {
  readonly axis: number;
  readonly stash_type: number;
}

/** Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. */
const RMSNormalization: OpRule<RmsNormalizationAttributes> = written({
  inputs: [2, 2],
  attributes: (raw) =>
    readAttributes(raw, { axis: integer(-1), epsilon: float(1e-5), stash_type: integer(1, 1, 1) }),
  types: sameTypeAsInput,
  lower: (context) => {
    const [x = "", scale = ""] = context.inputs;
    const { axis, epsilon } = context.attributes;
    const { shape } = context.type(x);
    const axes = shape.map((_, i) => i).slice(axisOf(axis, shape.length));
    const squares = context.emit("Mul", [x, x]);
    const mean = context.emit("ReduceMean", [squares], { axes, keepdims: 1 });
    const root = context.emit("Sqrt", [context.emit("Add", [mean, scalar(context, x, epsilon)])]);
    return context.emit("Mul", [context.emit("Div", [x, root]), scale]);
  },
  reference: ([x, scale], { axis, epsilon }) => {
    const { shape } = x as DenseTensor;
    const normalised = shape.slice(axisOf(axis, shape.length));
    const run = elementCount(normalised);
    const values = Float64Array.from(numbers(x as DenseTensor));
    const from = broadcastIndices((scale as DenseTensor).shape, normalised);
    const scales = numbers(scale as DenseTensor);
    for (let at = 0; at < values.length; at += run) {
      const part = values.subarray(at, at + run);
      const mean = part.reduce((sum, value) => sum + value * value, 0) / run;
      const root = Math.sqrt(mean + epsilon);
      part.forEach((value, i) => {
        part[i] = (value / root) * (scales[from[i] as number] as number);
      });
    }
    return values;
  },
});

export interface LpNormalizationAttributes {
  readonly axis: number;
  readonly p: number;
}

/** Divides by the L1 or L2 norm along an axis. */
const LpNormalization: OpRule<LpNormalizationAttributes> = written({
  inputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { axis: integer(-1), p: integer(2, 1, 2) }),
  types: sameTypeAsInput,
  lower: (context) => {
    const [x = ""] = context.inputs;
    const { axis, p } = context.attributes;
    const axes = [axisOf(axis, context.type(x).shape.length)];
    // |x| as x * sign(x): Sign has no gradient, which is what the absolute value wants.
    const sizes = context.emit("Mul", [x, p === 1 ? context.emit("Sign", [x]) : x]);
    const sum = context.emit("ReduceSum", [sizes, integerList(context, axes)], { keepdims: 1 });
    return context.emit("Div", [x, p === 1 ? sum : context.emit("Sqrt", [sum])]);
  },
  reference: ([x], { axis, p }) => {
    const { shape } = x as DenseTensor;
    const values = numbers(x as DenseTensor);
    const { size, inner } = loopsAlong(shape, axisOf(axis, shape.length));
    return Float64Array.from({ length: values.length }, (_, i) => {
      const start = Math.floor(i / (size * inner)) * size * inner + (i % inner);
      let sum = 0;
      for (let k = 0; k < size; k++) sum += Math.abs(values[start + k * inner] as number) ** p;
      return (values[i] as number) / (p === 1 ? sum : Math.sqrt(sum));
    });
  },
});

export interface MeanVarianceAttributes {
  readonly axes: readonly number[] | null;
}

/** ONNX adds so much to the deviation. */
const meanVarianceEpsilon = 1e-9;

/** Centres and divides by the deviation over some axes. */
const MeanVarianceNormalization: OpRule<MeanVarianceAttributes> = written({
  inputs: [1, 1],
  attributes: (raw) => readAttributes(raw, { axes: integers }),
  types: sameTypeAsInput,
  lower: (context) => {
    const [x = ""] = context.inputs;
    const rank = context.type(x).shape.length;
    const attributes = { axes: axesOf(context.attributes.axes ?? [0, 2, 3], rank), keepdims: 1 };
    const { emit } = context;
    const centred = emit("Sub", [x, emit("ReduceMean", [x], attributes)]);
    const variance = emit("ReduceMean", [emit("Mul", [centred, centred])], attributes);
    const epsilon = scalar(context, x, meanVarianceEpsilon);
    return emit("Div", [centred, emit("Add", [emit("Sqrt", [variance]), epsilon])]);
  },
  reference: ([x], { axes }) => {
    const { shape } = x as DenseTensor;
    const values = numbers(x as DenseTensor);
    const chosen = axesOf(axes ?? [0, 2, 3], shape.length);
    const kept = shape.map((size, axis) => (chosen.includes(axis) ? 1 : size));
    const groupOf = broadcastIndices(kept, shape);
    const groups = new Map<number, number[]>();
    for (let i = 0; i < values.length; i++) {
      const group = groupOf[i] as number;
      groups.set(group, [...(groups.get(group) ?? []), values[i] as number]);
    }
    const measured = new Map(
      [...groups].map(([group, part]) => {
        const [mean, inverse] = statistics(Float64Array.from(part), 0);
        return [group, [mean, 1 / inverse + meanVarianceEpsilon] as const];
      }),
    );
    return Float64Array.from({ length: values.length }, (_, i) => {
      const [mean, deviation] = measured.get(groupOf[i] as number) ?? [0, 1];
      return ((values[i] as number) - mean) / deviation;
    });
  },
});

export interface LrnAttributes {
  readonly alpha: number;
  readonly beta: number;
  readonly bias: number;
  readonly size: number;
}

/** Local response normalisation over channels (Krizhevsky, Sutskever and Hinton 2012). */
const LRN: OpRule<LrnAttributes> = written({
  inputs: [1, 1],
  attributes: (raw) =>
    readAttributes<LrnAttributes>(raw, {
      alpha: float(1e-4),
      beta: float(0.75),
      bias: float(1),
      size: required(integer(1, 1)),
    }),
  types: (inputs) => {
    const { dtype, shape } = requireChannels(inputs, 1);
    return [{ dtype, shape }];
  },
  lower: (context) => {
    const [x = ""] = context.inputs;
    const { alpha, beta, bias, size } = context.attributes;
    const { shape } = context.type(x);
    const [batch, channels] = shape as [number, number];
    const { emit } = context;
    // The mean over a window of channels, as pooling over an image of one column per place.
    const squares = emit("Mul", [x, x]);
    const image = reshaped(context, squares, [batch, 1, channels, elementCount(shape.slice(2))]);
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const window = {
      kernel_shape: [size, 1],
      pads: [before, 0, after, 0],
      count_include_pad: 1,
    };
    const mean = reshaped(context, emit("AveragePool", [image], window), shape);
    const weighted = emit("Mul", [mean, scalar(context, x, alpha)]);
    const base = emit("Add", [weighted, scalar(context, x, bias)]);
    // base ^ -beta
    const power = emit("Exp", [emit("Mul", [emit("Log", [base]), scalar(context, x, -beta)])]);
    return emit("Mul", [x, power]);
  },
  reference: ([x], { alpha, beta, bias, size }) => {
    const { shape } = x as DenseTensor;
    const values = numbers(x as DenseTensor);
    const { size: channels, inner } = loopsAlong(shape, 1);
    return Float64Array.from({ length: values.length }, (_, i) => {
      const c = Math.floor(i / inner) % channels;
      const first = i - c * inner;
      let sum = 0;
      const from = Math.max(0, c - Math.floor((size - 1) / 2));
      const to = Math.min(channels - 1, c + Math.ceil((size - 1) / 2));
      for (let k = from; k <= to; k++) sum += (values[first + k * inner] as number) ** 2;
      return (values[i] as number) * (bias + (alpha / size) * sum) ** -beta;
    });
  },
});

/** Operators of this family that are written out. */
export const normalizationForms = {
  InstanceNormalization,
  GroupNormalization,
  RMSNormalization,
  LpNormalization,
  MeanVarianceNormalization,
  LRN,
};
