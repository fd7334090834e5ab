/**
 * Our graphs are in the form of operator set 17. A model that names an operator of a
 * newer set must be written as a file of that set, in which some older operators
 * have another form: the way back from `normalise.ts`.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, int64 } from "../../base/tensor.ts";
import type { Graph, GraphNode } from "../graph.ts";
import type { OpName } from "../ops/table.ts";
import { opsets } from "./normalise.ts";

/**
 * The set that brought an operator in the form that we have it in, where that is after 17 or
 * depends on the node.
 */
const broughtBy: { readonly [Op in OpName]?: number | ((node: GraphNode) => number) } = {
  Attention: 23,
  Gelu: 20,
  GroupNormalization: 21,
  Mish: 18,
  Pad: ({ attributes, inputs }) => (attributes.mode === "wrap" ? 19 : inputs.length > 3 ? 18 : 17),
  RMSNormalization: 23,
  Resize: ({ attributes }) => (attributes.axes === undefined ? 17 : 18),
  Swish: 24,
};

function setOf(node: GraphNode): number {
  const set = broughtBy[node.op] ?? opsets.own;
  return typeof set === "number" ? set : set(node);
}

/** A graph as a file has it. */
export interface FileForm {
  readonly opset: number;
  /** Version of the file format that came with the set. */
  readonly irVersion: bigint;
  readonly nodes: readonly GraphNode[];
  readonly constants: ReadonlyMap<string, DenseTensor>;
}

/** @throws ModelError where an operator is newer than any set that we write */
export function fileForm(graph: Graph): FileForm {
  const needed = graph.nodes.map(setOf);
  const tooNew = graph.nodes.find((node) => setOf(node) > opsets.newest);
  if (tooNew !== undefined) {
    throw new ModelError(
      `it came with operator set ${setOf(tooNew)}; files are written up to ${opsets.newest}`,
      { node: tooNew.name, operator: tooNew.op },
    );
  }
  if (needed.every((set) => set <= opsets.own)) {
    const { nodes, constants } = graph;
    return { opset: opsets.own, irVersion: 8n, nodes, constants };
  }
  const constants = new Map(graph.constants);
  const nodes = graph.nodes.map((node) => newest(node, constants));
  return { opset: opsets.newest, irVersion: 10n, nodes, constants };
}

/** A node in the form of the newest set. */
function newest(node: GraphNode, constants: Map<string, DenseTensor>): GraphNode {
  const { axes, ...attributes } = node.attributes;
  if (node.op.startsWith("Reduce") && Array.isArray(axes)) {
    const name = freeName(`${node.name}.axes`, constants);
    constants.set(name, int64([axes.length], axes as readonly number[]));
    return { ...node, inputs: [node.inputs[0] ?? "", name], attributes };
  }
  const [, sizes = ""] = node.inputs;
  if (node.op === "Split" && sizes === "" && node.attributes.num_outputs === undefined) {
    const num_outputs = node.outputs.length;
    return { ...node, attributes: { ...node.attributes, num_outputs } };
  }
  return node;
}

function freeName(stem: string, taken: ReadonlyMap<string, unknown>): string {
  let name = stem;
  for (let i = 1; taken.has(name); i++) name = `${stem}_${i}`;
  return name;
}
