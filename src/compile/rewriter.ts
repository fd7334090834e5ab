/**
 * The machine of every pass that goes through a static graph in order and writes nodes out in
 * others: specialising, the training form, the form that engines run. A pass says which of a
 * node's nodes it replaces and by what; names stay those of the model, and fresh ones tell
 * from which node they come.
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import { Hasher } from "../base/hash.ts";
import {
  bytesOf,
  type DenseTensor,
  elementCount,
  formatType,
  type TensorType,
} from "../base/tensor.ts";
import { FreshNames } from "./fresh-names.ts";
import type { Attributes, Graph, GraphNode, Subgraph, Value } from "./graph.ts";
import { atNode, nodeTypes, type Resolved, resolve, staticType } from "./infer.ts";
import { evaluate } from "./interpret.ts";
import type { LowerContext } from "./ops/rule.ts";
import type { OpName } from "./ops/table.ts";

/** What a pass makes of a node: the names that stand for its outputs, or null to keep it. */
export type Rewrite = (step: Resolved, context: LowerContext<unknown>) => readonly string[] | null;

/** Takes nodes in order and keeps what is left of them. */
export class Rewriter {
  readonly nodes: GraphNode[] = [];
  readonly constants: Map<string, DenseTensor>;
  readonly #types = new Map<string, TensorType>();
  /** Every name of the graph, so that fresh ones are none of them. */
  readonly #taken: Set<string>;
  readonly #constantNames = new Map<string, string>();
  readonly #freshNames = new FreshNames();
  /** Values that are another one under a second name. */
  readonly #aliases = new Map<string, string>();
  readonly #outputs: ReadonlySet<string>;
  readonly #rewrite: Rewrite;

  /**
   * @param graph gives the names, parameters, constants and outputs; its nodes come by {@link take}
   * @param inputs the graph's inputs with all dimensions known
   */
  constructor(graph: Graph, inputs: readonly Value[], rewrite: Rewrite) {
    this.#rewrite = rewrite;
    this.#outputs = new Set(graph.outputs);
    this.constants = new Map(graph.constants);
    for (const input of inputs) this.#types.set(input.name, staticType(input));
    for (const parameter of graph.parameters) this.#types.set(parameter.name, parameter);
    for (const [name, value] of graph.constants) this.#types.set(name, value);
    this.#taken = new Set([
      ...this.#types.keys(),
      ...graph.nodes.flatMap((node) => [node.name, ...node.outputs]),
    ]);
  }

  /** Takes the next node: computes it if all it needs is known, writes it out, or keeps it. */
  take(given: GraphNode): void {
    const node = { ...given, inputs: given.inputs.map((name) => this.#actual(name)) };
    const step = resolve(node);
    const known = node.inputs.map(this.#constantOf);
    const chosen = atNode(node, () => step.rule.chosen?.(step.attributes, known) ?? null);
    if (chosen !== null) {
      this.#inline(node, chosen);
      return;
    }
    const outputs = nodeTypes(step, this.#typeOf, this.#constantOf);
    const values = this.#folded(step);
    node.outputs.forEach((name, i) => {
      if (name === "") return;
      this.#types.set(name, outputs[i] as TensorType);
      if (values !== null) this.constants.set(name, values[i] as DenseTensor);
    });
    if (values === null && !this.#lower(step)) this.nodes.push(node);
  }

  readonly #constantOf = (name: string): DenseTensor | null => this.constants.get(name) ?? null;

  readonly #typeOf = (name: string): TensorType => {
    const type = this.#types.get(name);
    if (type === undefined) throw new ModelError(`nothing gives the value "${name}"`);
    return type;
  };

  /** What a node gives if it is known without running the model, else null. */
  #folded(step: Resolved): DenseTensor[] | null {
    const { inputs } = step.node;
    if (step.rule.isRandom) return null;
    if (inputs.every((name) => name === "" || this.constants.has(name))) {
      // A small file may describe a huge constant; the engine makes it when it must.
      const outputs = nodeTypes(step, this.#typeOf, this.#constantOf);
      if (outputs.some(({ shape }) => elementCount(shape) > foldedElementsMax)) return null;
      return evaluate(step, (name) => present(this.constants.get(name), name), this.#constantOf);
    }
    const types = inputs.map((name) => (name === "" ? null : this.#typeOf(name)));
    return step.rule.fold?.(types, step.attributes) ?? null;
  }

  /** Takes the nodes of a subgraph in place of the node that holds it. */
  #inline(node: GraphNode, { inputs, nodes, outputs }: Subgraph): void {
    const first = this.nodes.length;
    const around = node.inputs.slice(node.inputs.length - inputs.length);
    const names = new Map(inputs.map((name, i) => [name, present(around[i], "an outer value")]));
    for (const inner of nodes) {
      const own = inner.outputs.map((name) => (name === "" ? "" : this.#unused(name)));
      this.take({
        ...inner,
        name: this.#unused(inner.name),
        inputs: inner.inputs.map((name) => names.get(name) ?? name),
        outputs: own,
      });
      inner.outputs.forEach((name, i) => {
        if (name !== "") names.set(name, own[i] as string);
      });
    }
    const given = new Set<string>();
    node.outputs.forEach((name, i) => {
      if (name === "") return;
      const from = names.get(outputs[i] ?? "");
      if (from === undefined) {
        const at = { node: node.name, operator: node.op };
        throw new ModelError(`the graph that stands for it gives no output ${i}`, at);
      }
      this.#types.set(name, this.#typeOf(from));
      // One value may leave by two names; the second is an alias of the first.
      if (given.has(this.#actual(from))) this.#alias(this.#actual(from), name);
      else this.#rename(first, from, name);
      given.add(name);
    });
  }

  /** Writes a node out where the pass says how; false where it stays. */
  #lower(step: Resolved): boolean {
    const { node, attributes } = step;
    const first = this.nodes.length;
    const emitAll = (
      op: OpName,
      inputs: readonly string[],
      own: Attributes,
      outputs: number,
    ): string[] => {
      const name = this.#fresh(`${node.name}/${op}`);
      const names = Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}.${i}`));
      this.take({ op, name, inputs, outputs: names, attributes: own });
      return names;
    };
    const emit = (op: OpName, inputs: readonly string[], own: Attributes = {}): string =>
      present(emitAll(op, inputs, own, 1)[0], "an output");
    const results = atNode(node, () =>
      this.#rewrite(step, {
        attributes,
        inputs: node.inputs,
        outputs: node.outputs.length,
        type: this.#typeOf,
        known: this.#constantOf,
        emit,
        emitAll,
        constant: (value) => this.#constant(node.name, value),
      }),
    );
    if (results === null) return false;
    node.outputs.forEach((name, i) => {
      if (name !== "") this.#rename(first, present(results[i], "an output"), name);
    });
    this.#nameAs(node, first);
    return true;
  }

  /** Gives a value that was emitted from the node number `first` on the name that the model knows it by. */
  #rename(first: number, emitted: string, to: string): void {
    const from = this.#actual(emitted);
    const source = this.nodes.slice(first).find(({ outputs }) => outputs.includes(from));
    if (source === undefined) this.#alias(from, to);
    else if (from !== to) this.#renameFrom(first, from, to);
  }

  /** The node that gives the first output goes by the name of the one that it stands for. */
  #nameAs({ name, outputs }: GraphNode, first: number): void {
    for (let i = first; i < this.nodes.length; i++) {
      const node = this.nodes[i] as GraphNode;
      if (outputs[0] !== "" && node.outputs.includes(outputs[0] ?? "")) {
        this.nodes[i] = { ...node, name };
      }
    }
  }

  #renameFrom(first: number, from: string, to: string): void {
    const renamed = (name: string): string => (name === from ? to : name);
    this.nodes.slice(first).forEach((node, i) => {
      const [inputs, outputs] = [node.inputs.map(renamed), node.outputs.map(renamed)];
      this.nodes[first + i] = { ...node, inputs, outputs };
    });
    this.#aliases.set(from, to);
  }

  /** Makes `to` the same value as `from`, which is an input that a node passes on, or a constant. */
  #alias(from: string, to: string): void {
    const known = this.constants.get(from);
    if (known !== undefined) this.constants.set(to, known);
    if (!this.#outputs.has(to)) {
      this.#aliases.set(to, from);
      return;
    }
    // An output keeps its name, so the node that gives the value takes it over.
    const source = this.nodes.findIndex(({ outputs }) => outputs.includes(from));
    if (source >= 0 && !this.#outputs.has(from)) {
      this.#renameFrom(source, from, to);
    } else if (known === undefined) {
      this.nodes.push({ op: "Identity", name: to, inputs: [from], outputs: [to], attributes: {} });
    }
  }

  #constant(stem: string, value: DenseTensor): string {
    const key = formatType(value) + new Hasher().bytes(bytesOf(value)).digest();
    const known = this.#constantNames.get(key);
    if (known !== undefined) return known;
    const name = this.#fresh(`${stem}/constant`);
    this.#constantNames.set(key, name);
    this.constants.set(name, value);
    this.#types.set(name, value);
    return name;
  }

  /** Adds an input of the graph and returns its name. */
  input(stem: string, type: TensorType): string {
    const name = this.#fresh(stem);
    this.#types.set(name, type);
    return name;
  }

  /** The name that a value goes by; aliases may follow one another. */
  #actual(name: string): string {
    let actual = name;
    for (let next = this.#aliases.get(actual); next !== undefined; next = this.#aliases.get(next)) {
      actual = next;
    }
    return actual;
  }

  /** A subgraph's own name, where nothing outside has it. */
  #unused(name: string): string {
    if (this.#taken.has(name)) return this.#fresh(name);
    this.#taken.add(name);
    return name;
  }

  /** A name that nothing has yet, from a stem that says where it comes from. */
  #fresh(stem: string): string {
    const name = this.#freshNames.next(stem, (candidate) => this.#taken.has(candidate));
    this.#taken.add(name);
    return name;
  }
}

/** Elements of the largest tensor that is computed ahead of time. */
const foldedElementsMax = 2 ** 24;
