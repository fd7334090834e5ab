/**
 * Node messages of an ONNX file, and of the graphs inside their attributes, as raw nodes. All that
 * is stored comes out on the way, so that nodes of every depth read it from one place.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, float32, int64 } from "../../base/tensor.ts";
import type { Attribute } from "../graph.ts";
import { ops } from "../ops/table.ts";
import type { RawNode, RawSubgraph } from "./normalise.ts";
import type { GraphProto, NodeProto } from "./onnx_pb.js";
import { decodeAttribute, decodeTensor, graphOf } from "./values.ts";

/** Hands out names that nobody has yet. */
export class Names {
  readonly #taken: Set<string>;
  readonly #next = new Map<string, number>();

  constructor(taken: Iterable<string> = []) {
    this.#taken = new Set(taken);
  }

  /** `base` itself when it is free, else with the first free number behind it. */
  unique(base: string): string {
    let name = base;
    while (this.#taken.has(name)) {
      const number = this.#next.get(base) ?? 1;
      this.#next.set(base, number + 1);
      name = `${base}_${number}`;
    }
    this.#taken.add(name);
    return name;
  }
}

/** Adds a stored tensor; a name may be given only once. */
export function store(stored: Map<string, DenseTensor>, name: string, value: DenseTensor): void {
  if (name === "") throw new ModelError("a stored tensor has no name");
  if (stored.has(name)) throw new ModelError("two stored tensors have this name", { node: name });
  stored.set(name, value);
}

/** Where the tensors of a graph go, and what its graphs inside must know. */
interface DecodeContext {
  keep(name: string, value: DenseTensor): void;
  readonly stored: Map<string, DenseTensor>;
  readonly names: Names;
}

/**
 * Decodes the node messages of a graph and of the graphs inside, gives names to nodes that lack
 * one, and moves the values of `Constant` nodes, and all that is stored inside, into `stored`.
 * @returns beside the nodes, the names of the values of all graphs
 * @throws ModelError for operators of other domains and attributes that cannot be read.
 */
export function decodeNodes(
  file: GraphProto,
  stored: Map<string, DenseTensor>,
): { readonly nodes: RawNode[]; readonly names: Names } {
  const declared = file.input.map(({ name }) => name);
  const names = new Names([...stored.keys(), ...declared, ...givenNames(file)]);
  const keep = (name: string, value: DenseTensor): void => store(stored, name, value);
  return { nodes: nodesOf(file.node, { keep, stored, names }), names };
}

/** What nodes give in a graph and in those inside, where constants get their names later. */
function givenNames({ node }: GraphProto, isInside = false): string[] {
  return node.flatMap(({ opType, output, attribute }) => [
    ...(opType === "Constant" && isInside ? [] : output),
    ...attribute.flatMap((each) => {
      const inside = graphOf(each);
      return inside === null ? [] : givenNames(inside, true);
    }),
  ]);
}

function nodesOf(protos: readonly NodeProto[], context: DecodeContext): RawNode[] {
  const names = new Names();
  const nodes: RawNode[] = [];
  for (const [index, proto] of protos.entries()) {
    const op = proto.opType;
    const name = names.unique(proto.name === "" ? `${op}_${index}` : proto.name);
    const at = { node: name, operator: op };
    if (proto.domain !== "" && proto.domain !== "ai.onnx") {
      throw new ModelError(`operator of domain "${proto.domain}"; allowed: ONNX's own domain`, at);
    }
    const attributes = new Map<string, Attribute>();
    const subgraphs = new Map<string, RawSubgraph>();
    for (const attribute of proto.attribute) {
      const inside = graphOf(attribute);
      if (inside === null) attributes.set(attribute.name, decodeAttribute(attribute, at));
      // An operator that we lack is refused later, together with all others.
      else if (Object.hasOwn(ops, op)) {
        subgraphs.set(attribute.name, decodeSubgraph(inside, context, at));
      }
    }
    const [inputs, outputs] = [[...proto.input], [...proto.output]];
    const node = { op, name, inputs, outputs, attributes, subgraphs };
    if (op === "Constant") context.keep(node.outputs[0] ?? "", constantValue(node));
    else nodes.push(node);
  }
  return nodes;
}

function decodeSubgraph(
  file: GraphProto,
  context: DecodeContext,
  at: { node: string; operator: string },
): RawSubgraph {
  if (file.input.length > 0 || file.sparseInitializer.length > 0) {
    throw new ModelError("a graph inside with inputs or sparse tensors; allowed: neither", at);
  }
  const outside = new Map<string, string>();
  const keep = (name: string, value: DenseTensor): void => {
    if (outside.has(name))
      throw new ModelError("two stored tensors have this name", { node: name });
    const own = context.names.unique(name);
    outside.set(name, own);
    store(context.stored, own, value);
  };
  for (const initializer of file.initializer) {
    keep(initializer.name, decodeTensor(initializer, initializer.name));
  }
  const nodes = nodesOf(file.node, { ...context, keep });
  const outputs = file.output.map(({ name }) => name);
  return renamed({ nodes, outputs }, (name) => outside.get(name) ?? name);
}

/** A graph that reads values under other names. */
function renamed({ nodes, outputs }: RawSubgraph, nameOf: (name: string) => string): RawSubgraph {
  return {
    nodes: nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(nameOf),
      subgraphs: new Map(
        [...(node.subgraphs ?? [])].map(([key, inside]) => [key, renamed(inside, nameOf)]),
      ),
    })),
    outputs: outputs.map(nameOf),
  };
}

interface Reader {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly subgraphs?: ReadonlyMap<string, RawSubgraph>;
}

/** What a node reads: its inputs, and what the graphs inside take from around them. */
export const readsOf = ({ inputs, subgraphs }: Reader): readonly string[] =>
  subgraphs === undefined || subgraphs.size === 0
    ? inputs
    : [...inputs, ...[...subgraphs.values()].flatMap(freeNames)];

/** Names that a graph takes from around it, in the order of their use. */
export function freeNames(inside: {
  readonly nodes: readonly Reader[];
  readonly outputs: readonly string[];
}): string[] {
  const own = new Set(inside.nodes.flatMap((node) => node.outputs));
  const read = [...inside.nodes.flatMap(readsOf), ...inside.outputs];
  return [...new Set(read)].filter((name) => name !== "" && !own.has(name));
}

function constantValue(node: RawNode): DenseTensor {
  for (const [name, value] of node.attributes) {
    if (name === "value" && typeof value === "object" && !Array.isArray(value)) {
      return value as DenseTensor;
    }
    const scalar = typeof value === "number";
    const list = scalar ? [value] : value;
    if (!Array.isArray(list) || list.some((item) => typeof item !== "number")) continue;
    const shape = scalar ? [] : [list.length];
    if (name === "value_float" || name === "value_floats") return float32(shape, list);
    if (name === "value_int" || name === "value_ints") return int64(shape, list);
  }
  throw new ModelError(
    `a constant given by ${[...node.attributes.keys()].join(", ") || "nothing"}; ` +
      "allowed: value, value_float, value_floats, value_int, value_ints",
    { node: node.name, operator: node.op },
  );
}
