/**
 * Our graphs are in the form of operator set 17. A model that names an operator of a
 * newer set must be written as a file of that set, in which some older operators
 * have another form: the way back from `normalise.ts`.
 */
import { present } from "../../base/assert.ts";
import { type DenseTensor, int64 } from "../../base/tensor.ts";
import { type Graph, type GraphNode, isSubgraph, type Subgraph, subgraphsOf } from "../graph.ts";
import type { OpName } from "../ops/table.ts";
import { Names } from "./decode.ts";
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
  Split: ({ attributes }) => (attributes.num_outputs === undefined ? 17 : 18),
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
  const needed = withInner(graph.nodes).map(setOf);
  const form = present(
    written.find(({ opset }) => needed.every((set) => set <= opset)),
    "a set that is written",
  );
  const names = new Names([
    ...[...graph.inputs, ...graph.parameters].map(({ name }) => name),
    ...graph.constants.keys(),
    ...graph.nodes.flatMap(({ outputs }) => outputs),
  ]);
  const nodes = graph.nodes.map((node) => opened(node, names));
  if (form.opset === opsets.own) return { ...form, nodes, constants: graph.constants };
  const constants = new Map(graph.constants);
  const addConstant = (stem: string, value: DenseTensor): string => {
    const name = names.unique(stem);
    constants.set(name, value);
    return name;
  };
  return { ...form, nodes: nodes.map((node) => modern(node, addConstant)), constants };
}

/** Nodes with those of the graphs inside them. */
const withInner = (nodes: readonly GraphNode[]): GraphNode[] =>
  nodes.flatMap((node) => [
    node,
    ...subgraphsOf(node).flatMap((inside) => withInner(inside.nodes)),
  ]);

/** A node with its graphs changed. */
function mapSubgraphs(node: GraphNode, change: (inside: Subgraph) => Subgraph): GraphNode {
  if (subgraphsOf(node).length === 0) return node;
  const attributes = Object.entries(node.attributes).map(([name, value]) => [
    name,
    isSubgraph(value) ? change(value) : value,
  ]);
  return { ...node, attributes: Object.fromEntries(attributes) };
}

/** A node whose graphs read what is around them by its name there, as files have it. */
function opened(node: GraphNode, names: Names): GraphNode {
  const [{ inputs } = { inputs: [] }] = subgraphsOf(node);
  const own = node.inputs.length - inputs.length;
  const around = node.inputs.slice(own);
  const open = mapSubgraphs(node, (inside) => openedSubgraph(inside, around, names));
  return { ...open, inputs: node.inputs.slice(0, own) };
}

function openedSubgraph(
  { inputs, nodes, outputs }: Subgraph,
  around: readonly string[],
  names: Names,
): Subgraph {
  const outer = new Map(inputs.map((name, i) => [name, present(around[i], "an outer value")]));
  const given = nodes.flatMap((node) => node.outputs).filter((name) => name !== "");
  const inner = new Map(given.map((name) => [name, names.unique(name)]));
  const nameOf = (name: string): string => inner.get(name) ?? outer.get(name) ?? name;
  const open = nodes.map((node) =>
    opened({ ...node, inputs: node.inputs.map(nameOf), outputs: node.outputs.map(nameOf) }, names),
  );
  const leaving = outputs.map((name) => {
    if (inner.has(name)) return nameOf(name);
    // Runtimes want a graph to give what leaves it.
    const own = names.unique(name);
    open.push({
      op: "Identity",
      name: own,
      inputs: [nameOf(name)],
      outputs: [own],
      attributes: {},
    });
    return own;
  });
  return { inputs: [], nodes: open, outputs: leaving };
}

/** A node in the form that it has from set 18 on. */
function modern(
  given: GraphNode,
  addConstant: (stem: string, value: DenseTensor) => string,
): GraphNode {
  const node = mapSubgraphs(given, (inside) => ({
    ...inside,
    nodes: inside.nodes.map((inner) => modern(inner, addConstant)),
  }));
  const { axes, ...attributes } = node.attributes;
  if (node.op.startsWith("Reduce") && Array.isArray(axes)) {
    const name = addConstant(`${node.name}.axes`, int64([axes.length], axes as readonly number[]));
    return { ...node, inputs: [node.inputs[0] ?? "", name], attributes };
  }
  const [, sizes = ""] = node.inputs;
  if (node.op === "Split" && sizes === "" && node.attributes.num_outputs === undefined) {
    const num_outputs = node.outputs.length;
    return { ...node, attributes: { ...node.attributes, num_outputs } };
  }
  return node;
}
