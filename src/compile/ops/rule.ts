/**
 * What every operator answers about itself. One entry per operator, in the file
 * of its family; `table.ts` joins the families. Shared passes (type inference,
 * autodiff, cost, interpretation) ask the entry and never branch on the name.
 *
 * To add an operator: write its {@link OpRule} in the family's file. The type
 * demands all answers, so a forgotten one does not compile.
 */
import type { DenseTensor, TensorType } from "../../base/tensor.ts";
import type { Attributes, Subgraph } from "../graph.ts";
import type { OpName } from "./table.ts";

/** Types of a node's inputs; null where an optional input is absent. */
export type InputTypes = readonly (TensorType | null)[];

/** What a gradient rule may ask for and emit while the backward graph is built. */
export interface GradientContext<A> {
  readonly attributes: A;
  /** Names of the forward node's inputs, "" where absent. */
  readonly inputs: readonly string[];
  /** Type of any value known so far, forward or emitted. */
  type(name: string): TensorType;
  /** Values of a constant, null for any other value. */
  known(name: string): DenseTensor | null;
  /**
   * Name of output `index` of the forward node. An optional output that nobody asked for so far
   * is added to the node (MaxPool's Indices).
   */
  output(index: number): string;
  /** Gradient with respect to output `index`, or null when nothing depends on it. */
  gradient(index: number): string | null;
  /** Whether anyone wants the gradient of input `index`; rules skip unwanted work. */
  wanted(index: number): boolean;
  /** Emits a node with one output and returns the output's name. */
  emit(op: OpName, inputs: readonly string[], attributes?: Attributes): string;
  /** Adds a constant (shared by content) and returns its name. */
  constant(value: DenseTensor): string;
}

/** What a rule may ask for and emit while its node is written out in other operators. */
export interface LowerContext<A> {
  readonly attributes: A;
  /** Names of the node's inputs, "" where absent. */
  readonly inputs: readonly string[];
  /** Number of outputs that the node has; an unused one in between counts. */
  readonly outputs: number;
  type(name: string): TensorType;
  /** Values of a constant, null for any other value. */
  known(name: string): DenseTensor | null;
  /** Emits a node with one output and returns the output's name. */
  emit(op: OpName, inputs: readonly string[], attributes?: Attributes): string;
  /** Emits a node with several outputs and returns their names. */
  emitAll(
    op: OpName,
    inputs: readonly string[],
    attributes: Attributes,
    outputs: number,
  ): readonly string[];
  /** Adds a constant (shared by content) and returns its name. */
  constant(value: DenseTensor): string;
}

/** What a rule may ask for besides while its node is brought into the form that is trained. */
export interface TrainContext<A> extends LowerContext<A> {
  /** Whether a value is a buffer of the model. */
  isBuffer(name: string): boolean;
  /** Says which value a buffer has after a training step. */
  update(buffer: string, value: string): void;
  /** Adds uniform numbers from 0 up to 1 that are drawn anew for each step, and returns their name. */
  noise(type: TensorType): string;
}

/** Gradients per input, null where an input has none or it is not wanted. */
export type Gradients = readonly (string | null)[];

/** Everything the compiler knows about one operator. `A` is its parsed attributes. */
export interface OpRule<A = never> {
  /** Fewest and most inputs, absent trailing ones not counted. */
  readonly inputs: readonly [min: number, max: number];
  /** Fewest and most outputs. */
  readonly outputs: readonly [min: number, max: number];
  /**
   * Parses and checks raw attributes and fills in defaults.
   * @throws ModelError on a wrong type, an unknown name or a value not supported.
   */
  attributes(raw: Attributes): A;
  /**
   * Output types from input types. `known[i]` holds the values of input i where
   * they are constant (Reshape's shape, Slice's bounds), else null.
   * @throws ModelError when the inputs do not fit.
   */
  types(
    inputs: InputTypes,
    attributes: A,
    known: readonly (DenseTensor | null)[],
    outputs: number,
  ): TensorType[];
  /** Floating-point operations of one evaluation; a multiply-add counts two. Data movement counts 0. */
  flops(inputs: InputTypes, outputs: readonly TensorType[], attributes: A): number;
  /**
   * Emits the backward nodes for one forward node, or says in words why the
   * operator has no gradient. Only standard ONNX operators may be emitted.
   */
  readonly gradient: ((context: GradientContext<A>) => Gradients) | string;
  /**
   * Reference kernel: slow, synchronous, obvious. It folds constants and
   * defines what engines must give.
   */
  compute(
    inputs: readonly (DenseTensor | null)[],
    attributes: A,
    outputs: readonly TensorType[],
  ): DenseTensor[];
  /**
   * Writes the node out in other operators, once shapes are static: for operators that are newer
   * than the set our graphs are written in, or that no engine trains through. Gives the names that
   * stand for the outputs (an input's name where the node passes it on), or null to keep the node.
   */
  lower?(context: LowerContext<A>): readonly string[] | null;
  /**
   * The same after differentiation: for operators whose gradient is best taken whole and that
   * engines do not run as they are.
   */
  lowerLate?(context: LowerContext<A>): readonly string[] | null;
  /**
   * The subgraph that stands for the node, for operators that have several and choose by the
   * values of constants (If); null where those are not known. Its nodes are written out in place
   * of the node, once shapes are static.
   */
  chosen?(attributes: A, known: readonly (DenseTensor | null)[]): Subgraph | null;
  /** What the node is while training, where that is another thing: as `lower`, before differentiation. */
  train?(context: TrainContext<A>): readonly string[] | null;
  /** Gives other values each time, so it is never computed ahead. */
  readonly isRandom?: true;
  /** Names the values of its first input anew: engines move nothing. */
  readonly isView?: true;
  /** The outputs' values, for operators that read only the types of their inputs (Shape). */
  fold?(inputs: InputTypes, attributes: A): DenseTensor[];
}
