/**
 * Our graphs are in the form of operator set 17. A model that names an operator of a
 * newer set must be written as a file of that set, in which some older operators
 * have another form: the way back from `normalise.ts`.
 */
import { present } from "../../base/assert.ts";
import { type DenseTensor, int64 } from "../../base/tensor.ts";
import type { Graph, GraphNode } from "../graph.ts";
import type { OpName } from "../ops/table.ts";
import { opsets } from "./normalise.ts";

/**
 * The set that brought an operator in the form that we have it in, where that is after 17 or
 * depends on the node.
 */
const broughtBy: { readonly [Op in OpName]?: number | ((node: GraphNode) => number) } = {
  // The numbers of keys that count are its last input.
  Attention: ({ inputs }) => (inputs.length > 6 ? 24 : 23),
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

/** The sets that files are written in, each with the version of the file format that came with it. */
const written = [
  { opset: opsets.own, irVersion: 8n },
  { opset: 21, irVersion: 10n },
  { opset: 23, irVersion: 11n },
  { opset: 24, irVersion: 12n },
] as const;

/** A graph as a file has it. */
export interface FileForm {
  readonly opset: number;
  readonly irVersion: bigint;
  readonly nodes: readonly GraphNode[];
  readonly constants: ReadonlyMap<string, DenseTensor>;
}

/** The oldest set that has every operator of a graph, so that older runtimes take what they can. */
export function fileForm(graph: Graph): FileForm {
  const needed = graph.nodes.map(setOf);
  const form = present(
    written.find(({ opset }) => needed.every((set) => set <= opset)),
    "a set that is written",
  );
  if (form.opset === opsets.own) return { ...form, nodes: graph.nodes, constants: graph.constants };
  const constants = new Map(graph.constants);
  const nodes = graph.nodes.map((node) => modern(node, constants));
  return { ...form, nodes, constants };
}

/** A node in the form that it has from set 18 on. */
function modern(node: GraphNode, constants: Map<string, DenseTensor>): GraphNode {
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
