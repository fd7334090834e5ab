/**
 * Optimizers: how a parameter and its state move along a gradient. Emitted as graph nodes.
 * Formulas and the meaning of every setting are PyTorch's.
 *
 * All state starts at zero. Adam's bias corrections 1 - beta^t are state as well: as running
 * averages of ones they grow as the averages do that they correct, so averaging the states
 * of several nodes keeps them right.
 */
import type { TensorType } from "../base/tensor.ts";
import type { GraphBuilder } from "./builder.ts";
import { isTrained, type Parameter } from "./graph.ts";
import { scalar } from "./ops/gradients.ts";
import type { OpName } from "./ops/table.ts";

/** Optimizers by the names that jobs have for them. */
export type OptimizerName = "sgd" | "adam" | "adamw" | "rmsprop";

/** An optimizer with its settings; the learning rate comes with each step. */
export interface OptimizerSpec {
  readonly kind: OptimizerName;
  /** Share of the last step that the next one keeps; of sgd and rmsprop. */
  readonly momentum: number;
  /** Whether sgd looks ahead along its momentum (Nesterov 1983). */
  readonly nesterov: boolean;
  /** Decay rates of the averages of gradients and of their squares; of adam and adamw. */
  readonly beta1: number;
  readonly beta2: number;
  /** Decay rate of the average of squares; of rmsprop. */
  readonly alpha: number;
  /** Keeps quotients finite; of all but sgd. */
  readonly epsilon: number;
  /** Added to the gradient as decay times the parameter; adamw takes it off the parameter instead. */
  readonly weightDecay: number;
  /** Gradients of single elements are cut to +- this; null where they are not. */
  readonly clipValue: number | null;
  /**
   * Gradients of single parameters are scaled down to this Euclidean norm; null where they are
   * not. Per parameter, as a norm over the whole model would make stages wait for one another.
   */
  readonly clipNorm: number | null;
  /** Micro-batches whose gradients are averaged into one step, from 1. */
  readonly accumulate: number;
}

/** Every setting's default; PyTorch's where it has one. */
const optimizerDefaults = {
  momentum: 0,
  nesterov: false,
  beta1: 0.9,
  beta2: 0.999,
  alpha: 0.99,
  epsilon: 1e-8,
  weightDecay: 0,
  clipValue: null,
  clipNorm: null,
  accumulate: 1,
} as const satisfies Omit<OptimizerSpec, "kind">;

/** A tensor that an optimizer keeps for a parameter; it starts at zero. */
export interface StateTensor extends TensorType {
  /** Unique in the model, e.g. "momentum:conv1.weight". */
  readonly name: string;
  /** Whether updates take its root: a value below zero, however small, would spoil them. */
  readonly isOfSquares: boolean;
}

/** Names of the values that one parameter's update takes; `state` in the order of {@link optimizerState}. */
export interface UpdateInputs {
  readonly parameter: string;
  readonly gradient: string;
  readonly learningRate: string;
  readonly state: readonly string[];
}

/** Names of the values that one parameter's update gives. */
export interface UpdateOutputs {
  readonly parameter: string;
  readonly state: readonly string[];
}

interface OptimizerRule {
  /** Kinds of state: as large as the parameter, and so with an average of squares, or one number for it. */
  state(spec: OptimizerSpec): { readonly [kind: string]: "parameter" | "squares" | "number" };
  update(builder: GraphBuilder, spec: OptimizerSpec, inputs: UpdateInputs): UpdateOutputs;
}

const times = (builder: GraphBuilder, value: string, factor: number): string =>
  builder.emit("Mul", [value, scalar(builder, value, factor)]);

/** average <- decay average + (1 - decay) value; the running average of ones where no value is given. */
function runningAverage(
  builder: GraphBuilder,
  average: string,
  decay: number,
  value: string | null,
): string {
  const added =
    value === null ? scalar(builder, average, 1 - decay) : times(builder, value, 1 - decay);
  return builder.emit("Add", [times(builder, average, decay), added]);
}

/** The gradient with weight decay as a penalty on the square of the parameter. */
function penalised(builder: GraphBuilder, { weightDecay }: OptimizerSpec, inputs: UpdateInputs) {
  const { parameter, gradient } = inputs;
  if (weightDecay === 0) return gradient;
  return builder.emit("Add", [gradient, times(builder, parameter, weightDecay)]);
}

/** The parameter less the learning rate times a step. */
function stepped(builder: GraphBuilder, inputs: UpdateInputs, step: string): string {
  const change = builder.emit("Mul", [step, inputs.learningRate]);
  return builder.emit("Sub", [inputs.parameter, change]);
}

/**
 * Stochastic gradient descent with momentum m and weight decay d, as PyTorch
 * defines it: v <- m v + (g + d w); w <- w - lr v, or with Nesterov's, w - lr (g + d w + m v).
 */
const sgd: OptimizerRule = {
  state: ({ momentum }) => (momentum === 0 ? {} : { momentum: "parameter" }),
  update(builder, spec, inputs) {
    const gradient = penalised(builder, spec, inputs);
    const [velocity] = inputs.state;
    if (velocity === undefined) {
      return { parameter: stepped(builder, inputs, gradient), state: [] };
    }
    const moved = builder.emit("Add", [times(builder, velocity, spec.momentum), gradient]);
    const step = spec.nesterov
      ? builder.emit("Add", [gradient, times(builder, moved, spec.momentum)])
      : moved;
    return { parameter: stepped(builder, inputs, step), state: [moved] };
  },
};

const adamState = {
  average: "parameter",
  square: "squares",
  correction: "number",
  squareCorrection: "number",
} as const;

/**
 * One step of Adam for this gradient:
 * m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g²; w <- w - lr m' / (sqrt(v') + eps),
 * where m' and v' are divided by their corrections.
 */
function adamStep(
  builder: GraphBuilder,
  { beta1, beta2, epsilon }: OptimizerSpec,
  inputs: UpdateInputs,
  gradient: string,
): UpdateOutputs {
  const emit = (op: OpName, ...given: string[]): string => builder.emit(op, given);
  const [average = "", square = "", correction = "", squareCorrection = ""] = inputs.state;
  const m = runningAverage(builder, average, beta1, gradient);
  const v = runningAverage(builder, square, beta2, emit("Mul", gradient, gradient));
  const mOnes = runningAverage(builder, correction, beta1, null);
  const vOnes = runningAverage(builder, squareCorrection, beta2, null);
  const deviation = emit("Div", emit("Sqrt", v), emit("Sqrt", vOnes));
  const divisor = emit("Add", deviation, scalar(builder, v, epsilon));
  // The numbers first: the learning rate and the correction make one factor.
  const rate = emit("Div", inputs.learningRate, mOnes);
  const change = emit("Mul", emit("Div", m, divisor), rate);
  return {
    parameter: emit("Sub", inputs.parameter, change),
    state: [m, v, mOnes, vOnes],
  };
}

/** Kingma and Ba, "Adam", 2015. */
const adam: OptimizerRule = {
  state: () => adamState,
  update: (builder, spec, inputs) =>
    adamStep(builder, spec, inputs, penalised(builder, spec, inputs)),
};

/** Loshchilov and Hutter, "Decoupled weight decay regularization", 2019: w <- w - lr d w first. */
const adamw: OptimizerRule = {
  state: () => adamState,
  update(builder, spec, inputs) {
    if (spec.weightDecay === 0) return adamStep(builder, spec, inputs, inputs.gradient);
    const share = times(builder, inputs.learningRate, spec.weightDecay);
    const decay = builder.emit("Mul", [inputs.parameter, share]);
    const parameter = builder.emit("Sub", [inputs.parameter, decay]);
    return adamStep(builder, spec, { ...inputs, parameter }, inputs.gradient);
  },
};

/**
 * Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012:
 * v <- a v + (1 - a) g²; w <- w - lr g / (sqrt(v) + eps), with momentum as PyTorch has it.
 */
const rmsprop: OptimizerRule = {
  state: ({ momentum }) => ({
    square: "squares",
    ...(momentum !== 0 && { momentum: "parameter" as const }),
  }),
  update(builder, spec, inputs) {
    const gradient = penalised(builder, spec, inputs);
    const [square = "", velocity] = inputs.state;
    const squared = builder.emit("Mul", [gradient, gradient]);
    const v = runningAverage(builder, square, spec.alpha, squared);
    const root = builder.emit("Sqrt", [v]);
    const divisor = builder.emit("Add", [root, scalar(builder, root, spec.epsilon)]);
    const scaled = builder.emit("Div", [gradient, divisor]);
    if (velocity === undefined) {
      return { parameter: stepped(builder, inputs, scaled), state: [v] };
    }
    const moved = builder.emit("Add", [times(builder, velocity, spec.momentum), scaled]);
    return { parameter: stepped(builder, inputs, moved), state: [v, moved] };
  },
};

/** Every optimizer by its name in a job. */
const optimizers: { readonly [Name in OptimizerName]: OptimizerRule } = {
  sgd,
  adam,
  adamw,
  rmsprop,
};

/** Names of all optimizers. */
export const optimizerNames = Object.keys(optimizers) as OptimizerName[];

/** An optimizer with these settings, the rest by default. */
export const optimizerSpec = (
  kind: OptimizerName,
  settings: Partial<OptimizerSpec> = {},
): OptimizerSpec => ({ ...optimizerDefaults, ...settings, kind });

/** The tensors that the optimizer keeps for a parameter, in a fixed order; none where it does not move it. */
export function optimizerState(spec: OptimizerSpec, parameter: Parameter): StateTensor[] {
  if (!isTrained(parameter)) return [];
  const { name, dtype, shape } = parameter;
  return Object.entries(optimizers[spec.kind].state(spec)).map(([kind, size]) => ({
    name: `${kind}:${name}`,
    dtype,
    shape: size === "number" ? [] : shape,
    isOfSquares: size === "squares",
  }));
}

/** Emits one step of one parameter, clipping first; returns the names of its new values. */
export const emitUpdate = (
  builder: GraphBuilder,
  spec: OptimizerSpec,
  inputs: UpdateInputs,
): UpdateOutputs =>
  optimizers[spec.kind].update(builder, spec, {
    ...inputs,
    gradient: clipped(builder, spec, inputs.gradient),
  });

/** Divides by norms that are nearly zero, as PyTorch does. */
const normMin = 1e-6;

function clipped(builder: GraphBuilder, spec: OptimizerSpec, gradient: string): string {
  const { clipValue, clipNorm } = spec;
  let result = gradient;
  if (clipValue !== null) {
    const bounds = [-clipValue, clipValue].map((bound) => scalar(builder, gradient, bound));
    result = builder.emit("Clip", [result, ...bounds]);
  }
  if (clipNorm === null) return result;
  const norm = builder.emit("ReduceL2", [result], { keepdims: 0 });
  const above = builder.emit("Add", [norm, scalar(builder, norm, normMin)]);
  const factor = builder.emit("Div", [scalar(builder, norm, clipNorm), above]);
  const most = builder.emit("Min", [factor, scalar(builder, norm, 1)]);
  return builder.emit("Mul", [result, most]);
}
