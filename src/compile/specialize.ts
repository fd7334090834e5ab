/** From a model's graph with named dimensions to a static one that every later pass takes. */
import { ModelError } from "../base/errors.ts";
import { type DenseTensor, elementCount, type TensorType } from "../base/tensor.ts";
import { pruned } from "./builder.ts";
import type { Graph, GraphNode, Value } from "./graph.ts";
import { nodeTypes, type Resolved, resolve, staticType } from "./infer.ts";
import { evaluate } from "./interpret.ts";
import { verify } from "./verify.ts";

/** Sizes for named dimensions, e.g. `{ batch: 32 }`. */
export type Bindings = Readonly<Record<string, number>>;

/**
 * Binds named dimensions, computes what depends on constants alone, and drops
 * what no output needs. The first dimension of the first input is the batch,
 * whatever the file calls it.
 * @throws ModelError when a dimension stays unnamed or a node does not fit
 */
export function specialize(graph: Graph, bindings: Bindings): Graph {
  const inputs = graph.inputs.map((input) => bind(input, withBatch(graph, bindings)));
  const constants = new Map<string, DenseTensor>(graph.constants);
  const types = new Map<string, TensorType>();
  for (const input of inputs) types.set(input.name, staticType(input));
  for (const parameter of graph.parameters) types.set(parameter.name, parameter);
  for (const [name, value] of constants) types.set(name, value);
  const constantOf = (name: string): DenseTensor | null => constants.get(name) ?? null;
  const typeOf = (name: string): TensorType => {
    const type = types.get(name);
    if (type === undefined) throw new ModelError(`nothing gives the value "${name}"`);
    return type;
  };
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    const step = resolve(node);
    const outputs = nodeTypes(step, typeOf, constantOf);
    const values = foldedValues(step, typeOf, constantOf);
    node.outputs.forEach((name, i) => {
      if (name === "") return;
      types.set(name, outputs[i] as TensorType);
      if (values !== null) constants.set(name, values[i] as DenseTensor);
    });
    if (values === null) nodes.push(node);
  }
  const result = pruned({ ...graph, inputs, constants, nodes });
  verify(result);
  return result;
}

/** What a node gives if it is known without running the model, else null. */
function foldedValues(
  step: Resolved,
  typeOf: (name: string) => TensorType,
  constantOf: (name: string) => DenseTensor | null,
): DenseTensor[] | null {
  const { inputs } = step.node;
  if (inputs.every((name) => name === "" || constantOf(name) !== null)) {
    // A small file may describe a huge constant; the engine makes it when it must.
    const outputs = nodeTypes(step, typeOf, constantOf);
    if (outputs.some(({ shape }) => elementCount(shape) > foldedElementsMax)) return null;
    return evaluate(step, (name) => constantOf(name) as DenseTensor, constantOf);
  }
  const types = inputs.map((name) => (name === "" ? null : typeOf(name)));
  return step.rule.fold?.(types, step.attributes) ?? null;
}

/** Elements of the largest tensor that is computed ahead of time. */
const foldedElementsMax = 2 ** 24;

/** The batch dimension under the name that this graph has for it. */
function withBatch(graph: Graph, bindings: Bindings): Bindings {
  const first = graph.inputs[0]?.shape[0];
  const { batch } = bindings;
  if (typeof first === "number" && batch !== undefined && first !== batch) {
    throw new ModelError(
      `the batch is fixed at ${first}, and ${batch} is asked for: export the model with an open first dimension`,
      { node: graph.inputs[0]?.name ?? "input" },
    );
  }
  return typeof first === "string" && batch !== undefined
    ? { ...bindings, [first]: batch }
    : bindings;
}

function bind(input: Value, bindings: Bindings): Value {
  const shape = input.shape.map((dimension) =>
    typeof dimension === "string" ? (bindings[dimension] ?? dimension) : dimension,
  );
  return { ...input, shape };
}
