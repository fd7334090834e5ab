/**
 * The nodes of an ONNX file, from raw ones to what the graph keeps: sorted, brought into one form,
 * checked against the operators we have.
 */
import { ModelError } from "../../base/errors.ts";
import { Heap } from "../../base/heap.ts";
import type { DenseTensor } from "../../base/tensor.ts";
import type { Attributes, GraphNode, Subgraph } from "../graph.ts";
import { resolve } from "../infer.ts";
import { type OpName, ops } from "../ops/table.ts";
import { freeNames, type Names, readsOf } from "./decode.ts";
import { normalise, type RawNode, type RawSubgraph } from "./normalise.ts";

/**
 * Topological order; nodes that are in order already stay as they are.
 * @param known names of inputs and stored tensors.
 * @throws ModelError when a name is produced twice or never, or on a cycle.
 */
export function sortNodes(
  nodes: readonly RawNode[],
  known: Pick<ReadonlySet<string>, "has">,
): RawNode[] {
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
  const reads = nodes.map(readsOf);
  const waitsFor = nodes.map(() => 0);
  const readers: number[][] = nodes.map(() => []);
  for (const [index, node] of nodes.entries()) {
    for (const input of reads[index] ?? []) {
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
  if (sorted.length < nodes.length) throw cycle(nodes, reads, waitsFor, producers);
  return sorted;
}

const where = (node: RawNode) => ({ node: node.name, operator: node.op });

const dangling = (node: RawNode, input: string): ModelError =>
  new ModelError(`reads "${input}", which no node, input or stored tensor gives`, where(node));

/** Follows unsatisfied inputs backwards from a node that never became ready: they lead in a circle. */
function cycle(
  nodes: readonly RawNode[],
  reads: readonly (readonly string[])[],
  waitsFor: readonly number[],
  producers: ReadonlyMap<string, number>,
): ModelError {
  const visited = new Set<number>();
  let index = waitsFor.findIndex((count) => count > 0);
  while (!visited.has(index)) {
    visited.add(index);
    const waiting = reads[index]
      ?.map((input) => producers.get(input))
      .find((producer) => producer !== undefined && (waitsFor[producer] ?? 0) > 0);
    index = waiting ?? index;
  }
  return new ModelError("the node depends on its own output", where(nodes[index] as RawNode));
}

/** Names that are known in a graph: its own, and those around it. */
export class Scope {
  readonly #own: Set<string>;
  readonly #around: Scope | null;

  constructor(own: Iterable<string>, around: Scope | null = null) {
    this.#own = new Set(own);
    this.#around = around;
  }

  has(name: string): boolean {
    return this.#own.has(name) || (this.#around?.has(name) ?? false);
  }

  add(name: string): void {
    this.#own.add(name);
  }
}

/** What the nodes of a file are normalised with. */
export interface FileContext {
  readonly opset: number;
  readonly stored: Map<string, DenseTensor>;
  /** Numbers of dimensions of the values that are known; filled in on the way. */
  readonly ranks: Map<string, number>;
  /** Names of values in all graphs of the file. */
  readonly names: Names;
}

/** What the nodes of one of its graphs are normalised with. */
interface GraphContext {
  /** Values that are known; what the nodes give is added. */
  readonly scope: Scope;
  /** Values that leave the graph. */
  readonly outputs: ReadonlySet<string>;
  /** The name that a value around the graph goes by. */
  readonly actual: (name: string) => string;
}

/**
 * Brings sorted nodes into the form of operator set 17, adding to the stored tensors the
 * constants that this needs, and takes out `Identity`: readers of its output read its input.
 * One whose output leaves the graph stays.
 * @throws ModelError for operators that we lack, or forms that cannot be brought over.
 */
export function normaliseNodes(
  sorted: readonly RawNode[],
  file: FileContext,
  { scope, outputs, actual }: GraphContext,
): GraphNode[] {
  const { opset, stored, ranks, names } = file;
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
      scope.add(name);
      return name;
    },
    addConstant(hint: string, value: DenseTensor): string {
      const name = names.unique(hint);
      stored.set(name, value);
      return name;
    },
  };
  const isKnown = (name: string): boolean => scope.has(name) || stored.has(name);
  const aliases = new Map<string, string>();
  const own = (name: string): string => aliases.get(name) ?? actual(name);
  for (const node of sorted) {
    current = node;
    node.inputs = node.inputs.map(own);
    for (const input of node.inputs) {
      if (input !== "" && !isKnown(input)) throw dangling(node, input);
    }
    normalise(node, context);
    closeSubgraphs(node, (inside) => normaliseSubgraph(inside, file, scope, own));
    const [source, output] = [node.inputs[0] ?? "", node.outputs[0] ?? ""];
    if (node.op === "Identity" && source !== "" && output !== "" && !outputs.has(output)) {
      aliases.set(output, source);
      continue;
    }
    const rank = rankOfOutput(node, context);
    for (const name of node.outputs) scope.add(name);
    if (rank !== null) ranks.set(output, rank);
    live.push(node);
  }
  checkSupported(live);
  const nodes = live.map(finish);
  // Attributes and numbers of inputs are checked now, while the file can still be named.
  for (const node of nodes) resolve(node);
  return nodes;
}

type Inside = Omit<Subgraph, "inputs">;

/** The graph inside with the names that the values around it go by. */
function normaliseSubgraph(
  { nodes, outputs }: RawSubgraph,
  file: FileContext,
  around: Scope,
  actual: (name: string) => string,
): Inside {
  const known = { has: (name: string) => around.has(actual(name)) || file.stored.has(name) };
  const own = new Set(nodes.flatMap((node) => node.outputs));
  const graph = { scope: new Scope([], around), outputs: new Set(outputs), actual };
  const names = outputs.map((name) => (own.has(name) ? name : actual(name)));
  return { nodes: normaliseNodes(sortNodes(nodes, known), file, graph), outputs: names };
}

/** Turns what graphs inside take from around them into inputs of their own and of the node. */
function closeSubgraphs(node: RawNode, normalised: (inside: RawSubgraph) => Inside): void {
  if (node.subgraphs === undefined || node.subgraphs.size === 0) return;
  const closed = [...node.subgraphs].map(([key, inside]) => [key, normalised(inside)] as const);
  const taken = new Set(closed.flatMap(([, inside]) => freeNames(inside)));
  const inputs = [...taken];
  for (const [key, inside] of closed) node.attributes.set(key, { inputs, ...inside });
  node.inputs = [...node.inputs, ...inputs];
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
