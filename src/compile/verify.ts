/** Checks a static graph: what holds here, every later pass may rely on. */
import { ModelError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import type { Graph } from "./graph.ts";
import { inferTypes } from "./infer.ts";

/**
 * Holds when names are unique, every value is given before it is used, operators
 * are known, and inputs fit them. Returns the types.
 * @throws ModelError naming the first offender
 */
export function verify(graph: Graph): ReadonlyMap<string, TensorType> {
  const given = new Set<string>();
  const give = (name: string, node?: string): void => {
    if (name === "") throw new ModelError("a value without a name", node ? { node } : {});
    if (given.has(name)) throw new ModelError("the name is given twice", { node: name });
    given.add(name);
  };
  for (const { name } of [...graph.inputs, ...graph.parameters]) give(name);
  for (const name of graph.constants.keys()) give(name);
  const names = new Set<string>();
  for (const node of graph.nodes) {
    const at = { node: node.name, operator: node.op };
    if (names.has(node.name)) throw new ModelError("two nodes have this name", at);
    names.add(node.name);
    for (const input of node.inputs) {
      if (input !== "" && !given.has(input)) {
        throw new ModelError(`"${input}" is used before anything gives it`, at);
      }
    }
    for (const output of node.outputs) if (output !== "") give(output, node.name);
  }
  for (const output of graph.outputs) {
    if (!given.has(output)) throw new ModelError("nothing gives this output", { node: output });
  }
  return inferTypes(graph);
}
