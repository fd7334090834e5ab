/**
 * Batch normalisation (Ioffe and Szegedy, 2015) in both of its forms.
 *
 * With given statistics it is an affine map per channel, which engines compute in one pass. With
 * the statistics of the batch (`training_mode`) it also moves the running statistics, and
 * its gradient is taken whole; afterwards the node is written out, because engines for
 * inference do not run this form. Written out, it gives away what the gradient needs as two
 * more outputs than ONNX has: the centred input, which stands in memory instead of the input,
 * and 1 / deviation.
 *
 * The running variance follows PyTorch, which divides by n - 1: a model goes on training
 * where PyTorch left off and gives the same numbers. ONNX divides by n there. Both normalise
 * by the variance that is divided by n.
 */
import { ModelError } from "../../base/errors.ts";
import { elementCount, type TensorType } from "../../base/tensor.ts";
import { flag, float, readAttributes } from "./attributes.ts";
import { loopsAlong, numbers, pack } from "./elements.ts";
import { type Emitter, reshaped, scalar, summed } from "./gradients.ts";
import { inputType, inputValue } from "./inputs.ts";
import { perChannel, requireChannels, statistics } from "./normalization.ts";
import type { GradientContext, Gradients, LowerContext, OpRule, TrainContext } from "./rule.ts";

export interface BatchNormalizationAttributes {
  readonly epsilon: number;
  /** Share of the running statistics that stays in one step. */
  readonly momentum: number;
  /** Whether the statistics are the batch's. */
  readonly training_mode: boolean;
}

type Context = GradientContext<BatchNormalizationAttributes>;

/** Places of the outputs that the training form has beside ONNX's. */
const centredOutput = 3;
const inverseOutput = 4;

/** Sums per channel. Rows first: engines sum what lies together fastest. */
function channelSums(context: Emitter, x: string): string {
  const { shape } = context.type(x);
  const rows = summed(context, x, shape.map((_, axis) => axis).slice(2), true);
  return reshaped(context, summed(context, rows, [0]), [shape[1] as number]);
}

/** x times a factor plus a term, both per channel, in the one pass of the inference form. */
function affine(context: Emitter, x: string, factor: string, term: string): string {
  const { dtype, shape } = context.type(factor);
  const count = elementCount(shape);
  const filled = (value: number): string =>
    context.constant(pack({ dtype, shape }, new Float64Array(count).fill(value)));
  const inputs = [x, factor, term, filled(0), filled(1)];
  return context.emit("BatchNormalization", inputs, { epsilon: 0 });
}

const none = (context: Context): Gradients => context.inputs.map(() => null);

/** The gradients through given statistics. */
function fixedGradients(context: Context, g: string): Gradients {
  const [x = "", scale = "", , mean = "", variance = ""] = context.inputs;
  const { shape } = context.type(x);
  const { emit } = context;
  const spread = emit("Add", [variance, scalar(context, variance, context.attributes.epsilon)]);
  const deviation = emit("Sqrt", [spread]);
  const factor = emit("Div", [scale, deviation]);
  const isSummed = context.wanted(2) || context.wanted(3);
  const total = isSummed ? channelSums(context, g) : "";
  const isMeasured = context.wanted(1) || context.wanted(4);
  const centred = (): string => emit("Sub", [x, perChannel(context, mean, shape.length)]);
  const toScale = isMeasured
    ? emit("Div", [channelSums(context, emit("Mul", [g, centred()])), deviation])
    : "";
  const toVariance = (): string => {
    const slope = emit("Div", [emit("Mul", [toScale, scale]), spread]);
    return emit("Mul", [slope, scalar(context, slope, -0.5)]);
  };
  return [
    context.wanted(0) ? emit("Mul", [g, perChannel(context, factor, shape.length)]) : null,
    context.wanted(1) ? toScale : null,
    context.wanted(2) ? total : null,
    context.wanted(3) ? emit("Neg", [emit("Mul", [total, factor])]) : null,
    context.wanted(4) ? toVariance() : null,
  ];
}

/**
 * The gradients through the statistics of the batch, with the sums that both need:
 * dx = scale/deviation (g - mean(g) - centred mean(g centred) / deviation²).
 */
function measuredGradients(context: Context, g: string): Gradients {
  const { emit } = context;
  const [x = "", scale = ""] = context.inputs;
  const { shape } = context.type(x);
  const [centred, inverse] = [context.output(centredOutput), context.output(inverseOutput)];
  const total = channelSums(context, g);
  const along = emit("Mul", [channelSums(context, emit("Mul", [g, centred])), inverse]);
  const toInput = (): string => {
    const factor = emit("Mul", [scale, inverse]);
    const share = emit("Mul", [factor, scalar(context, g, -1 / valuesPerChannel(shape))]);
    const slope = emit("Mul", [emit("Mul", [share, inverse]), along]);
    const rest = affine(context, centred, slope, emit("Mul", [share, total]));
    return emit("Add", [emit("Mul", [g, perChannel(context, factor, shape.length)]), rest]);
  };
  return [context.wanted(0) ? toInput() : null, along, total, null, null];
}

const valuesPerChannel = (shape: readonly number[]): number =>
  elementCount(shape) / (shape[1] as number);

/** The training form in operators that every engine has. */
function writtenOut(context: LowerContext<BatchNormalizationAttributes>): string[] {
  const { emit } = context;
  const { epsilon, momentum } = context.attributes;
  const [x = "", scale = "", bias = "", runningMean = "", runningVariance = ""] = context.inputs;
  const { shape } = context.type(x);
  const count = valuesPerChannel(shape);
  const number = (value: number): string => scalar(context, x, value);
  const mean = emit("Mul", [channelSums(context, x), number(1 / count)]);
  const centred = emit("Sub", [x, perChannel(context, mean, shape.length)]);
  const squares = channelSums(context, emit("Mul", [centred, centred]));
  const variance = emit("Mul", [squares, number(1 / count)]);
  const deviation = emit("Sqrt", [emit("Add", [variance, number(epsilon)])]);
  const inverse = emit("Reciprocal", [deviation]);
  const y = affine(context, centred, emit("Mul", [scale, inverse]), bias);
  const moved = (running: string, value: string, share: number): string => {
    const kept = emit("Mul", [running, scalar(context, running, momentum)]);
    return emit("Add", [kept, emit("Mul", [value, scalar(context, value, share)])]);
  };
  return [
    y,
    moved(runningMean, mean, 1 - momentum),
    moved(runningVariance, squares, (1 - momentum) / (count - 1)),
    centred,
    inverse,
  ];
}

/** The reference of the training form: every output there is. */
function measured(
  values: readonly Float64Array[],
  { shape }: TensorType,
  { epsilon, momentum }: BatchNormalizationAttributes,
): Float64Array[] {
  const [x, scale, bias, means, variances] = values as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const { size, inner } = loopsAlong(shape, 1);
  const channelOf = (i: number): number => Math.floor(i / inner) % size;
  const count = x.length / size;
  const inverses = new Float64Array(size);
  const [newMeans, newVariances] = [new Float64Array(size), new Float64Array(size)];
  const centred = new Float64Array(x.length);
  for (let c = 0; c < size; c++) {
    const own = x.filter((_, i) => channelOf(i) === c);
    const [mean, inverse] = statistics(own, epsilon);
    let squares = 0;
    x.forEach((value, i) => {
      if (channelOf(i) !== c) return;
      centred[i] = value - mean;
      squares += (value - mean) ** 2;
    });
    inverses[c] = inverse;
    newMeans[c] = (means[c] as number) * momentum + mean * (1 - momentum);
    newVariances[c] =
      (variances[c] as number) * momentum + (squares / (count - 1)) * (1 - momentum);
  }
  const y = centred.map((value, i) => {
    const c = channelOf(i);
    return value * (inverses[c] as number) * (scale[c] as number) + (bias[c] as number);
  });
  return [y, newMeans, newVariances, centred, inverses];
}

/** The reference with given statistics. */
function given(
  values: readonly Float64Array[],
  { shape }: TensorType,
  { epsilon }: BatchNormalizationAttributes,
): Float64Array[] {
  const { size, inner } = loopsAlong(shape, 1);
  const y = Float64Array.from(values[0] ?? [], (value, i) => {
    const c = Math.floor(i / inner) % size;
    const [scale, bias, mean, variance] = values.slice(1).map((vector) => vector[c]) as [
      number,
      number,
      number,
      number,
    ];
    return ((value - mean) / Math.sqrt(variance + epsilon)) * scale + bias;
  });
  return [y];
}

/** With statistics that are buffers, a model that is trained measures them. */
function train(context: TrainContext<BatchNormalizationAttributes>): readonly string[] | null {
  const { epsilon, momentum, training_mode } = context.attributes;
  const [x = "", , , mean = "", variance = ""] = context.inputs;
  if (training_mode || !context.isBuffer(mean) || !context.isBuffer(variance)) return null;
  const { shape } = context.type(x);
  if (valuesPerChannel(shape) < 2) {
    throw new ModelError(
      `training on [${shape}] has one value per channel; allowed: two or more, so a larger batch`,
    );
  }
  const attributes = { epsilon, momentum, training_mode: 1 };
  const outputs = context.emitAll("BatchNormalization", context.inputs, attributes, 3);
  context.update(mean, outputs[1] as string);
  context.update(variance, outputs[2] as string);
  return outputs.slice(0, 1);
}

const BatchNormalization: OpRule<BatchNormalizationAttributes> = {
  inputs: [5, 5],
  outputs: [1, 5],
  attributes: (raw) =>
    readAttributes<BatchNormalizationAttributes>(raw, {
      epsilon: float(1e-5),
      momentum: float(0.9),
      training_mode: flag(false),
    }),
  types: (inputs, { training_mode }, _, outputs) => {
    const { dtype, shape } = requireChannels(inputs, 1);
    if (!training_mode && outputs > 1) {
      throw new ModelError(`${outputs} outputs with given statistics; allowed: 1`);
    }
    const vector = { dtype, shape: [shape[1] as number] };
    const type = { dtype, shape };
    return [type, vector, vector, type, vector].slice(0, outputs);
  },
  flops: (inputs, _, { training_mode }) =>
    (training_mode ? 6 : 2) * elementCount(inputType(inputs, 0).shape),
  gradient: (context) => {
    const g = context.gradient(0);
    if (g === null) return none(context);
    const { training_mode } = context.attributes;
    return training_mode ? measuredGradients(context, g) : fixedGradients(context, g);
  },
  compute: (values, attributes, types) => {
    const all = values.map((_, i) => Float64Array.from(numbers(inputValue(values, i))));
    const reference = attributes.training_mode ? measured : given;
    const results = reference(all, types[0] as TensorType, attributes);
    return types.map((type, i) => pack(type, results[i] as Float64Array));
  },
  train,
  lowerLate: (context) => (context.attributes.training_mode ? writtenOut(context) : null),
};

/** Operators of this family. */
export const batchNormalizationOps = { BatchNormalization };
