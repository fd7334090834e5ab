/** Types of every value of a static graph, by asking each operator's rule in order. */
import { assert } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import type { DenseTensor, TensorType } from "../base/tensor.ts";
import type { Graph, GraphNode, Value } from "./graph.ts";
import type { OpRule } from "./ops/rule.ts";
import { ruleOf } from "./ops/table.ts";

/** A node with its rule and parsed attributes. */
export interface Resolved {
  readonly node: GraphNode;
  readonly rule: OpRule<unknown>;
  readonly attributes: unknown;
}

/** Looks up a node's rule and parses its attributes. @throws ModelError naming the node */
export function resolve(node: GraphNode): Resolved {
  return atNode(node, () => {
    const rule = ruleOf(node.op);
    const count = node.inputs.length;
    const [min, max] = rule.inputs;
    if (count < min || count > max) {
      throw new ModelError(`${count} inputs; allowed: ${min} to ${max}`);
    }
    const [outputsMin, outputsMax] = rule.outputs;
    if (node.outputs.length < outputsMin || node.outputs.length > outputsMax) {
      throw new ModelError(
        `${node.outputs.length} outputs; allowed: ${outputsMin} to ${outputsMax}`,
      );
    }
    return { node, rule, attributes: rule.attributes(node.attributes) };
  });
}

/** Output types of one node. @throws ModelError naming the node */
export function nodeTypes(
  { node, rule, attributes }: Resolved,
  typeOf: (name: string) => TensorType,
  constantOf: (name: string) => DenseTensor | null,
): TensorType[] {
  return atNode(node, () => {
    const types = node.inputs.map((name) => (name === "" ? null : typeOf(name)));
    const known = node.inputs.map((name) => (name === "" ? null : constantOf(name)));
    const outputs = rule.types(types, attributes, known, node.outputs.length);
    for (const { shape } of outputs) {
      if (shape.every((size) => Number.isSafeInteger(size) && size >= 0)) continue;
      throw new ModelError(`it would give shape [${shape.join(",")}]`);
    }
    return outputs;
  });
}

/** Runs `work`; a ModelError without a place gets the node's. */
export function atNode<T>(node: GraphNode, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof ModelError) || error.operator !== null) throw error;
    throw new ModelError(error.message, { node: node.name, operator: node.op }, { cause: error });
  }
}

/** The static type of a value. @throws ModelError where a dimension is still a name */
export function staticType(value: Value): TensorType {
  const named = value.shape.find((dimension) => typeof dimension === "string");
  if (named !== undefined) {
    throw new ModelError(`dimension "${named}" has no size yet`, { node: value.name });
  }
  return { dtype: value.dtype, shape: value.shape as readonly number[] };
}

/** Type of every value. @throws ModelError naming the first node that does not fit */
export function inferTypes(graph: Graph): ReadonlyMap<string, TensorType> {
  const types = new Map<string, TensorType>();
  for (const input of graph.inputs) types.set(input.name, staticType(input));
  for (const parameter of graph.parameters) types.set(parameter.name, parameter);
  for (const [name, value] of graph.constants) types.set(name, value);
  const typeOf = (name: string): TensorType => {
    const type = types.get(name);
    if (type === undefined) throw new ModelError(`nothing gives the value "${name}"`);
    return type;
  };
  for (const node of graph.nodes) {
    const outputs = nodeTypes(resolve(node), typeOf, (name) => graph.constants.get(name) ?? null);
    assert(outputs.length >= node.outputs.length, `${node.op} typed too few outputs`);
    node.outputs.forEach((name, i) => {
      if (name !== "") types.set(name, outputs[i] as TensorType);
    });
  }
  return types;
}
