/**
 * Finite differences: how a graph's scalar changes when one of its inputs moves, in float64 on
 * the interpreter. They know nothing of gradient rules, so they can judge them.
 *
 * A difference lies where the function has a kink within its reach (ReLU at 0, two equal values
 * under MaxPool). It is told by two reaches that disagree; the reach then shrinks, and where no
 * two neighbours agree there is no answer.
 */
import { present } from "../base/assert.ts";
import { type DenseTensor, type DType, tensor } from "../base/tensor.ts";
import { type Attribute, type Graph, type GraphNode, isSubgraph } from "./graph.ts";
import { interpret } from "./interpret.ts";
import { numbers } from "./ops/elements.ts";
import { castCode } from "./ops/elementwise.ts";
import { isFloat } from "./ops/inputs.ts";

/** A tensor of floating type in float64; any other as it is. */
const widened = (value: DenseTensor): DenseTensor =>
  isFloat(value.dtype) ? tensor("float64", value.shape, Float64Array.from(numbers(value))) : value;

/** Attributes by which ONNX's operators name an element type. */
const typeAttributes: ReadonlySet<string> = new Set(["to", "dtype"]);
const floatTypes: readonly DType[] = ["float16", "float32"];
const floatCodes: ReadonlySet<Attribute> = new Set(floatTypes.map(castCode));

/** A graph whose floating numbers are float64 wherever it names a type. */
function widenedGraph(graph: Graph): Graph {
  const widen = ([name, value]: [string, Attribute]): [string, Attribute] => {
    if (typeAttributes.has(name) && floatCodes.has(value)) return [name, castCode("float64")];
    const isTensor = typeof value === "object" && !Array.isArray(value) && !isSubgraph(value);
    return [name, isTensor ? widened(value as DenseTensor) : value];
  };
  return {
    ...graph,
    constants: new Map([...graph.constants].map(([name, value]) => [name, widened(value)])),
    nodes: graph.nodes.map((node) => ({
      ...node,
      attributes: Object.fromEntries(Object.entries(node.attributes).map(widen)),
    })),
  };
}

/** Reaches from long to short, as shares of the size of the values that move. */
const reaches = [1e-4, 1e-5, 1e-6, 1e-7];

/** A graph's scalar at one point. */
export class Differences {
  readonly #graph: Graph;
  readonly #output: string;
  readonly #feeds: ReadonlyMap<string, DenseTensor>;
  /** Every value at the point; computed when it is first asked for. */
  #values: ReadonlyMap<string, DenseTensor> | null = null;
  readonly #dependents = new Map<string, readonly GraphNode[]>();

  /** @param feeds inputs and parameters; any floating type */
  constructor(graph: Graph, output: string, feeds: ReadonlyMap<string, DenseTensor>) {
    this.#graph = widenedGraph(graph);
    this.#output = output;
    this.#feeds = new Map([...feeds].map(([name, value]) => [name, widened(value)]));
  }

  #atPoint(): ReadonlyMap<string, DenseTensor> {
    if (this.#values === null) {
      const { constants, nodes } = this.#graph;
      const outputs = nodes.flatMap((node) => node.outputs).filter((name) => name !== "");
      const values = interpret({ ...this.#graph, outputs }, this.#feeds);
      this.#values = new Map([...constants, ...this.#feeds, ...values]);
    }
    return this.#values;
  }

  /** The scalar at the point itself. */
  get value(): number {
    return scalarOf(present(this.#atPoint().get(this.#output), this.#output));
  }

  /**
   * The derivative along a direction of one input.
   * @param isSame whether two derivatives agree
   * @returns null where no two reaches agree
   */
  along(
    name: string,
    direction: ArrayLike<number>,
    isSame: (a: number, b: number) => boolean,
  ): number | null {
    const at = present(this.#atPoint().get(name), name);
    const values = numbers(at);
    const squares = Array.from(values).reduce((sum, value) => sum + value * value, 0);
    const size = Math.sqrt(squares / Math.max(1, values.length)) || 1;
    const moved = (by: number): number => {
      const there = Float64Array.from(values, (value, i) => value + by * (direction[i] as number));
      return this.#valueWith(name, tensor("float64", at.shape, there));
    };
    let last: number | null = null;
    for (const reach of reaches) {
      const by = reach * size;
      const slope = (moved(by) - moved(-by)) / (2 * by);
      if (last !== null && isSame(slope, last)) return slope;
      last = slope;
    }
    return null;
  }

  /** The scalar with another value of one input; what does not depend on it stays. */
  #valueWith(name: string, value: DenseTensor): number {
    const nodes = this.dependents(name);
    const graph = { ...this.#graph, nodes, outputs: [this.#output] };
    const results = interpret(graph, new Map(this.#atPoint()).set(name, value));
    return scalarOf(present(results.get(this.#output), this.#output));
  }

  /** The nodes that depend on an input, in order. */
  dependents(name: string): readonly GraphNode[] {
    const known = this.#dependents.get(name);
    if (known !== undefined) return known;
    const reached = new Set([name]);
    const nodes = this.#graph.nodes.filter(({ inputs, outputs }) => {
      if (!inputs.some((input) => reached.has(input))) return false;
      for (const output of outputs) if (output !== "") reached.add(output);
      return true;
    });
    this.#dependents.set(name, nodes);
    return nodes;
  }
}

const scalarOf = (value: DenseTensor): number => Number(value.data[0]);
