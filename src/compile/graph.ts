/**
 * The one intermediate representation: an ONNX-shaped graph. Models, gradients,
 * optimizer updates and stage programs are all this type, so every pass is
 * `Graph -> Graph` and one verifier and one printer serve them all.
 *
 * Differences from an ONNX GraphProto: trained initializers (`parameters`) are
 * kept apart from constants and hold no values here (values live in a
 * {@link Weights} map, because they change); value names are unique (SSA).
 */
import type { DenseTensor, DType, TensorType } from "../base/tensor.ts";
import type { OpName } from "./ops/table.ts";

/** An ONNX attribute value. Integers, floats, strings, their lists, a tensor, or a graph. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | readonly string[]
  | DenseTensor
  | Subgraph;
/** Attributes of a node by name. */
export type Attributes = Readonly<Record<string, Attribute>>;

/**
 * A graph in an attribute (a branch of If). It stands on its own, with names of its own: what it
 * takes from around it are its inputs, and its node has their values as its own last inputs. So
 * passes see what a node needs without looking into it. Stored tensors are the outer graph's.
 */
export interface Subgraph {
  readonly inputs: readonly string[];
  readonly nodes: readonly GraphNode[];
  readonly outputs: readonly string[];
}

/** Whether an attribute is a graph. */
export const isSubgraph = (attribute: Attribute): attribute is Subgraph =>
  typeof attribute === "object" && "nodes" in attribute;

/** The subgraphs in a node's attributes. */
export const subgraphsOf = ({ attributes }: Pick<GraphNode, "attributes">): Subgraph[] =>
  Object.values(attributes).filter(isSubgraph);

/** A dimension before `specialize`: a number, or a name such as "batch" bound later. */
export type Dimension = number | string;

/** A named value with a type whose dimensions may still be names. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly Dimension[];
  /** Uniform numbers from 0 up to 1, drawn anew for each run; only training forms take them. */
  readonly noise?: true;
}

/** A trained initializer: its name and type. Its values live in {@link Weights}. */
export interface Parameter extends TensorType {
  readonly name: string;
  /**
   * A buffer (running statistics): it belongs to the model's weights, and the forward pass
   * changes it while training; optimizers leave it alone.
   */
  readonly buffer?: true;
  /** It keeps its value: no gradient reaches it, and a frozen buffer is not moved either. */
  readonly frozen?: true;
}

/** Whether an optimizer moves a parameter. */
export const isTrained = ({ buffer, frozen }: Parameter): boolean => !buffer && !frozen;

/** One application of an operator. An absent optional input is the empty string. */
export interface GraphNode {
  readonly op: OpName;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

/** A whole graph; `nodes` are in topological order. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly parameters: readonly Parameter[];
  readonly constants: ReadonlyMap<string, DenseTensor>;
  readonly nodes: readonly GraphNode[];
  /** Names of the values that leave the graph. */
  readonly outputs: readonly string[];
  /** New values of buffers by the buffer's name; in training forms alone. */
  readonly updates?: ReadonlyMap<string, string>;
}

/** Values of parameters by name. */
export type Weights = ReadonlyMap<string, DenseTensor>;

/** A graph with initial values for its parameters. */
export interface Model {
  readonly graph: Graph;
  readonly weights: Weights;
}
