/**
 * The interpreter: runs a graph by the operators' reference kernels. Slow and
 * synchronous on purpose; it defines what engines must give, folds constants,
 * and trains the tiny models of tests.
 */
import { ModelError } from "../base/errors.ts";
import type { DenseTensor, TensorType } from "../base/tensor.ts";
import type { Graph } from "./graph.ts";
import { atNode, nodeTypes, type Resolved, resolve } from "./infer.ts";

/** Parsed nodes by graph, so that a program's attributes are read once. */
const resolved = new WeakMap<Graph, readonly Resolved[]>();

/**
 * Evaluates a graph.
 * @param feeds inputs and parameters by name; their types decide, so a float32
 *   graph may be run in float64
 * @returns every output by name
 * @throws ModelError when a feed is missing or does not fit
 */
export function interpret(
  graph: Graph,
  feeds: ReadonlyMap<string, DenseTensor>,
): Map<string, DenseTensor> {
  const values = new Map<string, DenseTensor>(graph.constants);
  for (const [name, value] of feeds) values.set(name, value);
  const valueAt = (name: string): DenseTensor => {
    const value = values.get(name);
    if (value === undefined) throw new ModelError(`no value for "${name}"`, { node: name });
    return value;
  };
  let nodes = resolved.get(graph);
  if (nodes === undefined) {
    nodes = graph.nodes.map(resolve);
    resolved.set(graph, nodes);
  }
  for (const step of nodes) {
    const results = evaluate(step, valueAt, (name) => graph.constants.get(name) ?? null);
    step.node.outputs.forEach((name, i) => {
      if (name !== "") values.set(name, results[i] as DenseTensor);
    });
  }
  return new Map(graph.outputs.map((name) => [name, valueAt(name)]));
}

/** Evaluates one node by its reference kernel. */
export function evaluate(
  step: Resolved,
  valueAt: (name: string) => DenseTensor,
  constantOf: (name: string) => DenseTensor | null,
): DenseTensor[] {
  const { node, rule, attributes } = step;
  const inputs = node.inputs.map((name) => (name === "" ? null : valueAt(name)));
  const types: TensorType[] = nodeTypes(step, valueAt, constantOf);
  return atNode(node, () => rule.compute(inputs, attributes, types));
}
