/** Optimizers: how a parameter and its state move along a gradient. Emitted as graph nodes. */
import type { TensorType } from "../base/tensor.ts";
import type { GraphBuilder } from "./builder.ts";
import type { Parameter } from "./graph.ts";
import { scalar } from "./ops/gradients.ts";

/** An optimizer with its settings; the learning rate comes with each step. */
export interface OptimizerSpec {
  readonly kind: OptimizerName;
  readonly momentum: number;
  readonly weightDecay: number;
}

/** A tensor that an optimizer keeps for a parameter; it starts at zero. */
export interface StateTensor extends TensorType {
  /** Unique in the model, e.g. "momentum:conv1.weight". */
  readonly name: string;
}

/** Names of the values that one parameter's update takes; `state` in the order of {@link optimizerState}. */
export interface UpdateInputs {
  readonly parameter: string;
  readonly gradient: string;
  readonly learningRate: string;
  readonly state: readonly string[];
}

interface OptimizerRule {
  state(spec: OptimizerSpec, parameter: Parameter): StateTensor[];
  update(
    builder: GraphBuilder,
    spec: OptimizerSpec,
    inputs: UpdateInputs,
  ): { parameter: string; state: string[] };
}

/**
 * Stochastic gradient descent with momentum m and weight decay d, as PyTorch
 * defines it: v <- m v + (g + d w); w <- w - lr v.
 */
const sgd: OptimizerRule = {
  state: ({ momentum }, { name, dtype, shape }) =>
    momentum === 0 ? [] : [{ name: `momentum:${name}`, dtype, shape }],
  update(builder, { momentum, weightDecay }, inputs) {
    const { parameter, learningRate, state } = inputs;
    let { gradient } = inputs;
    if (weightDecay !== 0) {
      const decay = builder.emit("Mul", [parameter, scalar(builder, parameter, weightDecay)]);
      gradient = builder.emit("Add", [gradient, decay]);
    }
    const [velocity] = state;
    let step = gradient;
    if (velocity !== undefined) {
      const kept = builder.emit("Mul", [velocity, scalar(builder, velocity, momentum)]);
      step = builder.emit("Add", [kept, gradient]);
    }
    const change = builder.emit("Mul", [step, learningRate]);
    return {
      parameter: builder.emit("Sub", [parameter, change]),
      state: velocity === undefined ? [] : [step],
    };
  },
};

/** Every optimizer by its name in a job. */
const optimizers = { sgd } as const satisfies Record<string, OptimizerRule>;

export type OptimizerName = keyof typeof optimizers;
export const optimizerNames = Object.keys(optimizers) as OptimizerName[];

/** The tensors that the optimizer keeps for a parameter, in a fixed order. */
export const optimizerState = (spec: OptimizerSpec, parameter: Parameter): StateTensor[] =>
  optimizers[spec.kind].state(spec, parameter);

/** Emits one step of one parameter; returns the names of its new values. */
export const emitUpdate = (
  builder: GraphBuilder,
  spec: OptimizerSpec,
  inputs: UpdateInputs,
): { parameter: string; state: string[] } => optimizers[spec.kind].update(builder, spec, inputs);
