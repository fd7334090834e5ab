/**
 * Chance: dropout and random numbers. While a model is trained they are made of noise, numbers
 * that the worker draws from a seed, so that every engine and every replay sees the same. In
 * inference dropout does nothing, and random numbers are the engine's own.
 */
import { ModelError } from "../../base/errors.ts";
import { type Random, random } from "../../base/random.ts";
import { elementCount, formatType, type TensorType } from "../../base/tensor.ts";
import type { Attributes } from "../graph.ts";
import {
  float,
  type NoAttributes,
  noAttributes,
  optionalInteger,
  readAttributes,
} from "./attributes.ts";
import { numbers, pack } from "./elements.ts";
import { castCode } from "./elementwise.ts";
import { scalar } from "./gradients.ts";
import { inputType, inputValue, requireFloat } from "./inputs.ts";
import type { OpRule, TrainContext } from "./rule.ts";

/** Why there is no gradient. */
const replaced = "it is differentiated in its training form";

/** The share of elements that are dropped, half where the node does not say. */
function dropoutRatio(context: TrainContext<NoAttributes>): number {
  const [, name = ""] = context.inputs;
  if (name === "") return 0.5;
  const known = context.known(name);
  const ratio = known === null ? Number.NaN : (numbers(known)[0] as number);
  if (ratio >= 0 && ratio < 1) return ratio;
  const received = known === null ? "computed" : `${ratio}`;
  throw new ModelError(`the ratio is ${received}; allowed: a constant from 0 up to 1`);
}

/** Srivastava et al., "Dropout", 2014, with what is kept scaled up. */
const Dropout: OpRule<NoAttributes> = {
  inputs: [1, 2],
  outputs: [1, 1],
  attributes: noAttributes,
  types: (inputs) => {
    const { dtype, shape } = requireFloat(inputType(inputs, 0));
    const ratio = inputs[1];
    if (ratio && elementCount(ratio.shape) !== 1) {
      throw new ModelError(`the ratio is ${formatType(ratio)}; allowed: one number`);
    }
    return [{ dtype, shape }];
  },
  flops: () => 0,
  gradient: replaced,
  compute: (inputs, _, [type]) => [pack(type as TensorType, numbers(inputValue(inputs, 0)))],
  train: (context) => {
    const ratio = dropoutRatio(context);
    const [x = ""] = context.inputs;
    if (ratio === 0) return [x];
    const noise = context.noise(context.type(x));
    const isKept = context.emit("GreaterOrEqual", [noise, scalar(context, x, ratio)]);
    const kept = context.emit("Cast", [isKept], { to: castCode(context.type(x).dtype) });
    const mask = context.emit("Mul", [kept, scalar(context, x, 1 / (1 - ratio))]);
    return [context.emit("Mul", [x, mask])];
  },
};

interface DrawAttributes {
  readonly dtype: number | null;
}

/** The reference kernel draws the same each time. */
const referenceSeed = 1;

/** Random numbers in the shape of the input. */
function randomLike<A extends DrawAttributes>(
  attributes: (raw: Attributes) => A,
  draw: (stream: Random, attributes: A) => number,
  train: (context: TrainContext<A>, type: TensorType) => string,
): OpRule<A> {
  return {
    inputs: [1, 1],
    outputs: [1, 1],
    attributes,
    types: (inputs, { dtype: code }) => {
      const { dtype, shape } = requireFloat(inputType(inputs, 0));
      if (code === null || code === castCode(dtype)) return [{ dtype, shape }];
      throw new ModelError(`attribute dtype: got ${code}; allowed: ${castCode(dtype)} (${dtype})`);
    },
    flops: () => 0,
    gradient: replaced,
    isRandom: true,
    train: (context) => [train(context, context.type(context.inputs[0] as string))],
    compute: (_, parsed, [type]) => {
      const { shape } = type as TensorType;
      const stream = random(referenceSeed);
      const values = Float64Array.from({ length: elementCount(shape) }, () => draw(stream, parsed));
      return [pack(type as TensorType, values)];
    },
  };
}

export interface UniformAttributes extends DrawAttributes {
  readonly low: number;
  readonly high: number;
}

const RandomUniformLike: OpRule<UniformAttributes> = randomLike(
  (raw) => readAttributes(raw, { dtype: optionalInteger, low: float(0), high: float(1) }),
  (stream, { low, high }) => low + (high - low) * stream.uniform(),
  (context, type) => {
    const { low, high } = context.attributes;
    const noise = context.noise(type);
    if (low === 0 && high === 1) return noise;
    const scaled = context.emit("Mul", [noise, scalar(context, noise, high - low)]);
    return context.emit("Add", [scaled, scalar(context, noise, low)]);
  },
);

export interface NormalAttributes extends DrawAttributes {
  readonly mean: number;
  readonly scale: number;
}

/** Box and Muller, "A note on the generation of random normal deviates", 1958. */
const RandomNormalLike: OpRule<NormalAttributes> = randomLike(
  (raw) => readAttributes(raw, { dtype: optionalInteger, mean: float(0), scale: float(1) }),
  (stream, { mean, scale }) => mean + scale * stream.normal(),
  (context, type) => {
    const { emit } = context;
    const { mean, scale } = context.attributes;
    const [size, turn] = [context.noise(type), context.noise(type)];
    const number = (value: number): string => scalar(context, size, value);
    // Noise is never 1, so this is never the logarithm of 0.
    const log = emit("Log", [emit("Sub", [number(1), size])]);
    const radius = emit("Sqrt", [emit("Mul", [log, number(-2)])]);
    const direction = emit("Cos", [emit("Mul", [turn, number(2 * Math.PI)])]);
    const normal = emit("Mul", [radius, direction]);
    if (mean === 0 && scale === 1) return normal;
    return emit("Add", [emit("Mul", [normal, number(scale)]), number(mean)]);
  },
);

/** Operators of this family. */
export const noiseOps = { Dropout, RandomNormalLike, RandomUniformLike };
