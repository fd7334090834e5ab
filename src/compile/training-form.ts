/**
 * What a model is while it is trained, and what engines run of that.
 *
 * A model is stored, evaluated and exported in its inference form: batch normalisation
 * uses its running statistics, dropout does nothing. {@link trainingForm} makes of it, before
 * differentiation, what PyTorch's `train()` does: statistics of the batch that also move the
 * running ones, which are *buffers* of the graph, and masks made of *noise*, inputs that
 * are drawn anew for each step. {@link executableForm} writes out, after differentiation,
 * the operators of the training form that engines for inference do not run.
 */
import { assert } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import { pruned } from "./builder.ts";
import type { Graph, Value } from "./graph.ts";
import type { TrainContext } from "./ops/rule.ts";
import { ruleOf } from "./ops/table.ts";
import { Rewriter } from "./rewriter.ts";
import { verify } from "./verify.ts";

/**
 * The form of a static graph that is trained.
 * @throws ModelError when a node cannot be trained at these shapes
 */
export function trainingForm(graph: Graph): Graph {
  const buffers = new Set(
    graph.parameters.filter(({ buffer, frozen }) => buffer && !frozen).map(({ name }) => name),
  );
  const updates = new Map<string, string>();
  const noise: Value[] = [];
  const pass = new Rewriter(graph, graph.inputs, ({ node, rule }, context) => {
    const training: TrainContext<unknown> = {
      ...context,
      isBuffer: (name) => buffers.has(name),
      update(buffer, value) {
        assert(buffers.has(buffer), `"${buffer}" is no buffer`);
        if (updates.has(buffer)) {
          throw new ModelError(`it moves "${buffer}", and another node does so too`);
        }
        updates.set(buffer, value);
      },
      noise({ dtype, shape }: TensorType) {
        const name = pass.input(`${node.name}/noise`, { dtype, shape });
        noise.push({ name, dtype, shape, noise: true });
        return name;
      },
    };
    return rule.train?.(training) ?? null;
  });
  for (const node of graph.nodes) pass.take(node);
  const result = pruned({
    ...graph,
    inputs: [...graph.inputs, ...noise],
    constants: pass.constants,
    nodes: pass.nodes,
    updates,
  });
  verify(result);
  return result;
}

/** A static graph in operators that engines run; itself where it is made of them already. */
export function executableForm(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => ruleOf(op).lowerLate !== undefined)) return graph;
  const pass = new Rewriter(
    graph,
    graph.inputs,
    ({ rule }, context) => rule.lowerLate?.(context) ?? null,
  );
  for (const node of graph.nodes) pass.take(node);
  return pruned({ ...graph, constants: pass.constants, nodes: pass.nodes });
}
