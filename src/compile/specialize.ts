/** From a model's graph with named dimensions to a static one that every later pass takes. */
import { ModelError } from "../base/errors.ts";
import { pruned } from "./builder.ts";
import type { Graph, Value } from "./graph.ts";
import { Rewriter } from "./rewriter.ts";
import { verify } from "./verify.ts";

/** Sizes for named dimensions, e.g. `{ batch: 32 }`. */
export type Bindings = Readonly<Record<string, number>>;

/**
 * Binds named dimensions, computes what depends on constants alone, writes out the
 * nodes whose operators ask for it, and drops what no output needs. The first
 * dimension of the first input is the batch, whatever the file calls it.
 * @throws ModelError when a dimension stays unnamed or a node does not fit
 */
export function specialize(graph: Graph, bindings: Bindings): Graph {
  const inputs = graph.inputs.map((input) => bind(input, withBatch(graph, bindings)));
  const pass = new Rewriter(graph, inputs, ({ rule }, context) => rule.lower?.(context) ?? null);
  for (const node of graph.nodes) pass.take(node);
  const result = pruned({ ...graph, inputs, constants: pass.constants, nodes: pass.nodes });
  verify(result);
  return result;
}

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
