/**
 * Reverse-mode differentiation of a graph into the same graph: a reverse walk in
 * which each operator's rule emits the backward nodes of its own. The result is
 * ordinary ONNX, so an inference engine computes gradients.
 */
import { assert, present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { sameShape } from "../base/tensor.ts";
import type { GraphBuilder } from "./builder.ts";
import type { GraphNode } from "./graph.ts";
import { atNode, resolve } from "./infer.ts";
import type { GradientContext } from "./ops/rule.ts";

/**
 * Emits the gradients of `wanted` values, given the gradients of others.
 *
 * @param builder holds the forward nodes; backward nodes are added behind them
 * @param seeds names of known gradients by the value they belong to
 * @param wanted values (parameters, inputs) whose gradients are asked for
 * @returns names of the gradients of those wanted values that the seeds depend on
 * @throws ModelError when an operator on the way has no gradient
 */
export function differentiate(
  builder: GraphBuilder,
  seeds: ReadonlyMap<string, string>,
  wanted: ReadonlySet<string>,
): Map<string, string> {
  const forward = [...builder.nodes];
  const dependent = dependents(forward, wanted);
  const gradients = new Map<string, string>();
  const add = (value: string, gradient: string): void => {
    const earlier = gradients.get(value);
    const { shape } = builder.type(gradient);
    assert(
      sameShape(shape, builder.type(value).shape),
      `the gradient of "${value}" has shape [${shape}]`,
    );
    gradients.set(
      value,
      earlier === undefined ? gradient : builder.emit("Add", [earlier, gradient]),
    );
  };
  for (const [value, gradient] of seeds) add(value, gradient);
  for (const node of forward.toReversed()) {
    if (!node.outputs.some((output) => gradients.has(output))) continue;
    if (!node.inputs.some((input) => dependent.has(input))) continue;
    backward(builder, node, gradients, dependent).forEach((gradient, i) => {
      if (gradient === null) return;
      const input = present(node.inputs[i], "an input of a gradient");
      if (dependent.has(input)) add(input, gradient);
    });
  }
  return new Map([...gradients].filter(([value]) => wanted.has(value)));
}

/** Values that depend on any of the roots, the roots included. */
function dependents(nodes: readonly GraphNode[], roots: ReadonlySet<string>): Set<string> {
  const dependent = new Set(roots);
  for (const node of nodes) {
    if (!node.inputs.some((input) => dependent.has(input))) continue;
    for (const output of node.outputs) if (output !== "") dependent.add(output);
  }
  return dependent;
}

function backward(
  builder: GraphBuilder,
  node: GraphNode,
  gradients: ReadonlyMap<string, string>,
  dependent: ReadonlySet<string>,
): readonly (string | null)[] {
  const { rule, attributes } = resolve(node);
  const { gradient } = rule;
  return atNode(node, () => {
    if (typeof gradient === "string") throw new ModelError(`no gradient: ${gradient}`);
    const context: GradientContext<unknown> = {
      attributes,
      inputs: node.inputs,
      known: (name) => builder.constantValue(name),
      type: (name) => builder.type(name),
      output: (index) => builder.demandOutput(node, index),
      gradient: (index) => gradients.get(node.outputs[index] ?? "") ?? null,
      wanted: (index) => dependent.has(node.inputs[index] ?? ""),
      emit: (op, inputs, given) => builder.emit(op, inputs, given),
      constant: (value) => builder.constant(value),
    };
    return gradient(context);
  });
}
