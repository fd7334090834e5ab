/**
 * The nodes of an ONNX file, from messages to what the graph keeps: decoded,
 * sorted, brought into one form, checked against the operators we have.
 */
import { ModelError } from "../../base/errors.ts";
import { Heap } from "../../base/heap.ts";
import { type DenseTensor, float32, int64 } from "../../base/tensor.ts";
import type { Attribute, Attributes, GraphNode } from "../graph.ts";
import { resolve } from "../infer.ts";
import { type OpName, ops } from "../ops/table.ts";
import { normalise, type RawNode } from "./normalise.ts";
import type { NodeProto } from "./onnx_pb.js";
import { decodeAttribute } from "./values.ts";

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

/**
 * Decodes node messages, gives names to nodes that lack one, and moves the values of
 * `Constant` nodes into `stored`.
 * @throws ModelError for operators of other domains and attributes that cannot be read.
 */
export function decodeNodes(
  protos: readonly NodeProto[],
  stored: Map<string, DenseTensor>,
): RawNode[] {
  const names = new Names();
  const nodes: RawNode[] = [];
  for (const [index, proto] of protos.entries()) {
    const op = proto.opType;
    const name = names.unique(proto.name === "" ? `${op}_${index}` : proto.name);
    if (proto.domain !== "" && proto.domain !== "ai.onnx") {
      throw new ModelError(`operator of domain "${proto.domain}"; allowed: ONNX's own domain`, {
        node: name,
        operator: op,
      });
    }
    const attributes = new Map<string, Attribute>();
    for (const attribute of proto.attribute) {
      attributes.set(attribute.name, decodeAttribute(attribute, { node: name, operator: op }));
    }
    const node = { op, name, inputs: [...proto.input], outputs: [...proto.output], attributes };
    if (op === "Constant") store(stored, node.outputs[0] ?? "", constantValue(node));
    else nodes.push(node);
  }
  return nodes;
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

/**
 * Topological order; nodes that are in order already stay as they are.
 * @param known names of inputs and stored tensors.
 * @throws ModelError when a name is produced twice or never, or on a cycle.
 */
export function sortNodes(nodes: readonly RawNode[], known: ReadonlySet<string>): RawNode[] {
  const producers = new Map<string, number>();
  for (const [index, node] of nodes.entries()) {
    for (const output of node.outputs) {
      if (output === "") continue;
      if (known.has(output) || producers.has(output)) {
        throw new ModelError(`produces "${output}", which exists already`, where(node));
      }
      producers.set(output, index);
    }
  }
  const waitsFor = nodes.map(() => 0);
  const readers: number[][] = nodes.map(() => []);
  for (const [index, node] of nodes.entries()) {
    for (const input of node.inputs) {
      if (input === "" || known.has(input)) continue;
      const producer = producers.get(input);
      if (producer === undefined) throw dangling(node, input);
      readers[producer]?.push(index);
      waitsFor[index] = (waitsFor[index] ?? 0) + 1;
    }
  }
  const ready = new Heap<number>((a, b) => a - b);
  for (const [index, count] of waitsFor.entries()) if (count === 0) ready.push(index);
  const sorted: RawNode[] = [];
  for (let index = ready.pop(); index !== undefined; index = ready.pop()) {
    sorted.push(nodes[index] as RawNode);
    for (const reader of readers[index] ?? []) {
      const count = (waitsFor[reader] ?? 0) - 1;
      waitsFor[reader] = count;
      if (count === 0) ready.push(reader);
    }
  }
  if (sorted.length < nodes.length) throw cycle(nodes, waitsFor, producers);
  return sorted;
}

const where = (node: RawNode) => ({ node: node.name, operator: node.op });

const dangling = (node: RawNode, input: string): ModelError =>
  new ModelError(`reads "${input}", which no node, input or stored tensor gives`, where(node));

/** Follows unsatisfied inputs backwards from a node that never became ready: they lead in a circle. */
function cycle(
  nodes: readonly RawNode[],
  waitsFor: readonly number[],
  producers: ReadonlyMap<string, number>,
): ModelError {
  const visited = new Set<number>();
  let index = waitsFor.findIndex((count) => count > 0);
  while (!visited.has(index)) {
    visited.add(index);
    const waiting = nodes[index]?.inputs
      .map((input) => producers.get(input))
      .find((producer) => producer !== undefined && (waitsFor[producer] ?? 0) > 0);
    index = waiting ?? index;
  }
  return new ModelError("the node depends on its own output", where(nodes[index] as RawNode));
}

/**
 * Brings sorted nodes into the form of operator set 17, adding to `stored` the
 * constants that this needs, and takes out `Identity`: readers of its output read its input.
 * One whose output leaves the graph stays.
 * @param ranks numbers of dimensions of the values that are known; filled in on the way.
 * @throws ModelError for operators that we lack, or forms that cannot be brought over.
 */
export function normaliseNodes(
  sorted: readonly RawNode[],
  opset: number,
  stored: Map<string, DenseTensor>,
  ranks: Map<string, number>,
  available: Set<string>,
  outputs: ReadonlySet<string>,
): GraphNode[] {
  const names = new Names([...available, ...sorted.flatMap((node) => node.outputs)]);
  const live: RawNode[] = [];
  let current: RawNode | null = null;
  const context = {
    opset,
    stored: (name: string) => stored.get(name) ?? null,
    rank: (name: string) => ranks.get(name) ?? null,
    insert(op: string, inputs: readonly string[], attributes: Attributes): string {
      const name = names.unique(`${current?.name ?? "node"}.${op.toLowerCase()}`);
      const entries = new Map(Object.entries(attributes));
      live.push({ op, name, inputs: [...inputs], outputs: [name], attributes: entries });
      available.add(name);
      return name;
    },
    addConstant(hint: string, value: DenseTensor): string {
      const name = names.unique(hint);
      stored.set(name, value);
      available.add(name);
      return name;
    },
  };
  const aliases = new Map<string, string>();
  for (const node of sorted) {
    current = node;
    node.inputs = node.inputs.map((input) => aliases.get(input) ?? input);
    for (const input of node.inputs) {
      if (input !== "" && !available.has(input)) throw dangling(node, input);
    }
    normalise(node, context);
    const [source, output] = [node.inputs[0] ?? "", node.outputs[0] ?? ""];
    if (node.op === "Identity" && source !== "" && output !== "" && !outputs.has(output)) {
      aliases.set(output, source);
      continue;
    }
    const rank = rankOfOutput(node, context);
    for (const name of node.outputs) available.add(name);
    if (rank !== null) ranks.set(output, rank);
    live.push(node);
  }
  checkSupported(live);
  const nodes = live.map(finish);
  // Attributes and numbers of inputs are checked now, while the file can still be named.
  for (const node of nodes) resolve(node);
  return nodes;
}

/** Enough of shape inference to tell what an axis meant before operator set 13. */
function rankOfOutput(
  node: RawNode,
  context: { stored(name: string): DenseTensor | null; rank(name: string): number | null },
): number | null {
  switch (node.op) {
    case "Gemm":
    case "Flatten":
      return 2;
    case "Reshape":
      return context.stored(node.inputs[1] ?? "")?.data.length ?? null;
    case "Add":
    case "MatMul":
    case "Mul": {
      const [a, b] = [context.rank(node.inputs[0] ?? ""), context.rank(node.inputs[1] ?? "")];
      return a === null || b === null ? null : Math.max(a, b);
    }
    case "AveragePool":
    case "Conv":
    case "Cast":
    case "GlobalAveragePool":
    case "Identity":
    case "MaxPool":
    case "Relu":
    case "Sigmoid":
    case "Tanh":
    case "Transpose":
      return context.rank(node.inputs[0] ?? "");
    default:
      return null;
  }
}

function checkSupported(nodes: readonly RawNode[]): void {
  const unsupported = nodes.filter((node) => !Object.hasOwn(ops, node.op));
  const first = unsupported[0];
  if (first === undefined) return;
  const others = [...new Set(unsupported.map((node) => node.op))].filter((op) => op !== first.op);
  const also = others.length === 0 ? "" : `; nor are ${others.join(", ")}`;
  throw new ModelError(
    `the operator is not supported${also}; supported: ${Object.keys(ops).join(", ")}`,
    where(first),
  );
}

const finish = (node: RawNode): GraphNode => ({
  // `checkSupported` has seen every node.
  op: node.op as OpName,
  name: node.name,
  inputs: node.inputs,
  outputs: node.outputs,
  attributes: Object.fromEntries(node.attributes),
});
