/**
 * Layer normalisation: the form that engines compute in one pass, with a gradient from the
 * statistics that its forward pass gives away. Batch normalisation is in
 * `batch-normalization.ts`, the other forms are in `normalization-forms.ts`.
 */
import { ModelError } from "../../base/errors.ts";
import { elementCount, formatType, sameShape, type TensorType } from "../../base/tensor.ts";
import { float, integer, readAttributes } from "./attributes.ts";
import { axisOf, broadcastIndices, numbers, pack } from "./elements.ts";
import { type Emitter, reshaped, summedTo } from "./gradients.ts";
import { inputType, inputValue, requireFloat, requireSameDType } from "./inputs.ts";
import type { GradientContext, InputTypes, OpRule } from "./rule.ts";

/** Mean and 1 / deviation of some values. */
export function statistics(values: Float64Array, epsilon: number): [mean: number, inverse: number] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return [mean, 1 / Math.sqrt(variance + epsilon)];
}

export interface LayerNormalizationAttributes {
  readonly axis: number;
  readonly epsilon: number;
  /** Precision of the statistics: 1 for float32, the only one. */
  readonly stash_type: number;
}

/** Sizes of the axes that are kept apart and of those that are normalised together. */
function layerParts(
  inputs: InputTypes,
  { axis }: LayerNormalizationAttributes,
): { readonly type: TensorType; readonly at: number; readonly normalised: readonly number[] } {
  const type = requireFloat(inputType(inputs, 0));
  const at = axisOf(axis, type.shape.length);
  const normalised = type.shape.slice(at);
  for (const index of [1, 2]) {
    const weight = inputs[index];
    if (weight === undefined || weight === null) continue;
    requireSameDType(type, weight);
    if (!fitsEnd(weight.shape, normalised)) {
      throw new ModelError(
        `input ${index} is ${formatType(weight)}; allowed: shape [${normalised}]`,
      );
    }
  }
  return { type, at, normalised };
}

/** Whether a shape stretches to another one that is not larger for it. */
const fitsEnd = (shape: readonly number[], onto: readonly number[]): boolean =>
  shape.length <= onto.length &&
  shape.every((size, i) => size === 1 || size === onto[i + onto.length - shape.length]);

function layerGradient(context: GradientContext<LayerNormalizationAttributes>): (string | null)[] {
  const g = context.gradient(0);
  const [x = "", scale = "", bias = ""] = context.inputs;
  if (g === null) return context.inputs.map(() => null);
  const { type, at } = layerParts([context.type(x)], context.attributes);
  const axes = type.shape.map((_, axis) => axis).slice(at);
  const [mean, inverse] = [context.output(1), context.output(2)];
  const { emit } = context;
  const normal = emit("Mul", [emit("Sub", [x, mean]), inverse]);
  const average = (value: string): string => emit("ReduceMean", [value], { axes, keepdims: 1 });
  const toInput = (): string => {
    const scaled = emit("Mul", [g, scale]);
    const along = emit("Mul", [normal, average(emit("Mul", [scaled, normal]))]);
    const rest = emit("Sub", [emit("Sub", [scaled, average(scaled)]), along]);
    return emit("Mul", [rest, inverse]);
  };
  return [
    context.wanted(0) ? toInput() : null,
    context.wanted(1)
      ? summedTo(context, emit("Mul", [g, normal]), context.type(scale).shape)
      : null,
    bias !== "" && context.wanted(2) ? summedTo(context, g, context.type(bias).shape) : null,
  ].slice(0, context.inputs.length);
}

/** Ba, Kiros and Hinton, "Layer Normalization", 2016. */
const LayerNormalization: OpRule<LayerNormalizationAttributes> = {
  inputs: [2, 3],
  outputs: [1, 3],
  attributes: (raw) =>
    readAttributes(raw, { axis: integer(-1), epsilon: float(1e-5), stash_type: integer(1, 1, 1) }),
  types: (inputs, attributes, _, outputs) => {
    const { type, at } = layerParts(inputs, attributes);
    const statistics = {
      dtype: type.dtype,
      shape: type.shape.map((size, axis) => (axis < at ? size : 1)),
    };
    return [{ dtype: type.dtype, shape: type.shape }, statistics, statistics].slice(0, outputs);
  },
  flops: (inputs) => 8 * elementCount(inputType(inputs, 0).shape),
  gradient: layerGradient,
  compute: (values, attributes, types) => {
    const { type, at, normalised } = layerParts(values, attributes);
    const x = Float64Array.from(numbers(inputValue(values, 0)));
    const run = elementCount(normalised);
    const groups = run === 0 ? 0 : x.length / run;
    const y = new Float64Array(x.length);
    const [means, inverses] = [new Float64Array(groups), new Float64Array(groups)];
    const weightAt = (index: number): ((i: number) => number) => {
      const value = values[index];
      if (value === undefined || value === null) return () => (index === 1 ? 1 : 0);
      const from = broadcastIndices(value.shape, type.shape.slice(at));
      const held = numbers(value);
      return (i) => held[from[i] as number] as number;
    };
    const [scale, bias] = [weightAt(1), weightAt(2)];
    for (let group = 0; group < groups; group++) {
      const part = x.subarray(group * run, (group + 1) * run);
      const [mean, inverse] = statistics(part, attributes.epsilon);
      means[group] = mean;
      inverses[group] = inverse;
      part.forEach((value, i) => {
        y[group * run + i] = (value - mean) * inverse * scale(i) + bias(i);
      });
    }
    return [y, means, inverses]
      .slice(0, types.length)
      .map((data, i) => pack(types[i] as TensorType, data));
  },
};

/** A vector with a value per channel, shaped to broadcast over [N, C, ...]. */
export const perChannel = (context: Emitter, vector: string, rank: number): string =>
  reshaped(context, vector, [
    elementCount(context.type(vector).shape),
    ...new Array(rank - 2).fill(1),
  ]);

export function requireChannels(inputs: InputTypes, from: number): TensorType {
  const type = requireFloat(inputType(inputs, 0));
  if (type.shape.length < 2) {
    throw new ModelError(`${formatType(type)}; allowed: [batch, channels, ...]`);
  }
  const channels = [type.shape[1] as number];
  inputs.slice(from).forEach((given, i) => {
    if (given === null || sameShape(given.shape, channels)) return;
    throw new ModelError(`input ${from + i} is ${formatType(given)}; allowed: shape [${channels}]`);
  });
  return type;
}

/** Operators of this family that have a gradient of their own. */
export const normalizationOps = { LayerNormalization };
