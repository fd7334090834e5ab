/**
 * Builds graphs node by node: fresh names, types as nodes are added, constants
 * shared by content. Models, autodiff, losses and optimizers all emit through it.
 */
import { assert, present } from "../base/assert.ts";
import { Hasher } from "../base/hash.ts";
import { bytesOf, type DenseTensor, formatType, type TensorType } from "../base/tensor.ts";
import { FreshNames } from "./fresh-names.ts";
import type { Attributes, Graph, GraphNode, Parameter } from "./graph.ts";
import { nodeTypes, resolve } from "./infer.ts";
import type { OpName } from "./ops/table.ts";

export class GraphBuilder {
  readonly #name: string;
  readonly #inputs: (TensorType & { readonly name: string })[] = [];
  readonly #parameters: Parameter[] = [];
  readonly #constants = new Map<string, DenseTensor>();
  readonly #constantNames = new Map<string, string>();
  readonly #nodes: GraphNode[] = [];
  readonly #types = new Map<string, TensorType>();
  readonly #nodeNames = new Set<string>();
  readonly #freshNames = new FreshNames();

  constructor(name: string) {
    this.#name = name;
  }

  /** Nodes so far, in order. */
  get nodes(): readonly GraphNode[] {
    return this.#nodes;
  }

  input(name: string, type: TensorType): string {
    this.#inputs.push({ name, dtype: type.dtype, shape: type.shape });
    return this.#define(name, type);
  }

  /** A parameter with what is said of it; only its type where a type is given. */
  parameter(name: string, type: TensorType & Pick<Parameter, "buffer" | "frozen">): string {
    const { dtype, shape, buffer, frozen } = type;
    this.#parameters.push({
      name,
      dtype,
      shape,
      ...(buffer && { buffer }),
      ...(frozen && { frozen }),
    });
    return this.#define(name, type);
  }

  /** A constant; equal constants share one name. */
  constant(value: DenseTensor, name?: string): string {
    const key = formatType(value) + new Hasher().bytes(bytesOf(value)).digest();
    const known = this.#constantNames.get(key);
    if (known !== undefined && name === undefined) return known;
    const own = this.#define(name ?? this.#fresh("constant"), value);
    this.#constants.set(own, value);
    this.#constantNames.set(key, own);
    return own;
  }

  /** Adds a node of the caller's making, names and all. */
  add(node: GraphNode): void {
    const types = nodeTypes(
      resolve(node),
      (name) => this.type(name),
      (name) => this.constantValue(name),
    );
    node.outputs.forEach((output, i) => {
      if (output !== "") this.#define(output, present(types[i], "an output type"));
    });
    this.#nodes.push(node);
    this.#nodeNames.add(node.name);
  }

  /** Adds a node with fresh names and returns its outputs. */
  emitAll(
    op: OpName,
    inputs: readonly string[],
    attributes: Attributes,
    outputs: number,
    name?: string,
  ): readonly string[] {
    const own = name ?? this.#fresh(op.toLowerCase());
    const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? own : `${own}.${i}`));
    this.add({ op, name: own, inputs, outputs: names, attributes });
    return names;
  }

  /** Adds a node with one output and returns it. */
  emit(op: OpName, inputs: readonly string[], attributes: Attributes = {}, name?: string): string {
    return this.emitAll(op, inputs, attributes, 1, name)[0] as string;
  }

  /**
   * Makes sure that a node gives its output `index`, an optional one that nobody
   * had asked for, and returns its name.
   */
  demandOutput(node: GraphNode, index: number): string {
    const at = this.#nodes.findIndex((candidate) => candidate.name === node.name);
    const current = present(this.#nodes[at], node.name);
    const given = current.outputs[index];
    if (given !== undefined && given !== "") return given;
    const outputs = [...current.outputs];
    while (outputs.length <= index) outputs.push("");
    const name = `${current.name}.${index}`;
    outputs[index] = name;
    const changed = { ...current, outputs };
    const types = nodeTypes(
      resolve(changed),
      (input) => this.type(input),
      (input) => this.constantValue(input),
    );
    this.#define(name, present(types[index], "an output type"));
    this.#nodes[at] = changed;
    return name;
  }

  /** Type of any value so far. */
  type(name: string): TensorType {
    return present(this.#types.get(name), `the type of "${name}"`);
  }

  /** This name, or one like it where a model has taken it already. */
  free(name: string): string {
    return this.#isTaken(name) ? this.#fresh(name) : name;
  }

  /** Values of a constant; null for anything else. */
  constantValue(name: string): DenseTensor | null {
    return this.#constants.get(name) ?? null;
  }

  /** The graph that gives `outputs`, without what they do not need. */
  graph(outputs: readonly string[], nodes: readonly GraphNode[] = this.#nodes): Graph {
    return pruned({
      name: this.#name,
      inputs: this.#inputs,
      parameters: this.#parameters,
      constants: this.#constants,
      nodes,
      outputs,
    });
  }

  #define(name: string, type: TensorType): string {
    assert(!this.#types.has(name), `two values are named "${name}"`);
    this.#types.set(name, { dtype: type.dtype, shape: type.shape });
    return name;
  }

  #fresh(stem: string): string {
    return this.#freshNames.next(stem, (name) => this.#isTaken(name));
  }

  #isTaken(name: string): boolean {
    return this.#types.has(name) || this.#nodeNames.has(name);
  }
}

/** The graph without nodes and constants that no output needs. Inputs and parameters stay. */
export function pruned(graph: Graph): Graph {
  const needed = new Set([...graph.outputs, ...(graph.updates?.values() ?? [])]);
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) needed.add(input);
    nodes.push(node);
  }
  const constants = new Map([...graph.constants].filter(([name]) => needed.has(name)));
  return { ...graph, constants, nodes: nodes.reverse() };
}
