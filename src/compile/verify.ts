/** Checks a static graph: what holds here, every later pass may rely on. */
import { ModelError } from "../base/errors.ts";
import { formatType, sameType, type TensorType } from "../base/tensor.ts";
import type { Graph } from "./graph.ts";
import { inferTypes } from "./infer.ts";

/**
 * Holds when names are unique, every value is given before it is used, operators
 * are known, inputs fit them, and updates fit their buffers. Returns the types.
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
  const types = inferTypes(graph);
  verifyUpdates(graph, types);
  return types;
}

/** Updates are of buffers, and of their type. */
function verifyUpdates(graph: Graph, types: ReadonlyMap<string, TensorType>): void {
  const buffers = new Map(
    graph.parameters.filter(({ buffer }) => buffer).map((buffer) => [buffer.name, buffer]),
  );
  for (const [name, value] of graph.updates ?? []) {
    const [buffer, type] = [buffers.get(name), types.get(value)];
    if (buffer === undefined) throw new ModelError("updated, and no buffer", { node: name });
    if (type === undefined) throw new ModelError(`"${value}" is to update it`, { node: name });
    if (!sameType(buffer, type)) {
      throw new ModelError(`${formatType(buffer)} updated by ${formatType(type)}`, { node: name });
    }
  }
}
