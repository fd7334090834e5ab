/**
 * Segments: the smallest legal pieces between two cut points. A cut is legal where few
 * enough activations are live, all of floating type, and the model's input is none of them:
 * data of a node never cross a border. Where parties hold different columns of the input,
 * segments take it again (`columns.ts`).
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import type { DType, TensorType } from "../base/tensor.ts";
import { bareValues, byParty, type Parties, takenColumns } from "./columns.ts";
import { type Graph, type GraphNode, isTrained, type Parameter } from "./graph.ts";
import { inferTypes } from "./infer.ts";
import { isFloat } from "./ops/inputs.ts";

/** Costs of one segment at the specialised batch size; all a planner may know of it. */
export interface SegmentCost {
  /** Position in the model, 0-based. */
  readonly index: number;
  /** Human name: its main operators, e.g. "conv1+relu". */
  readonly name: string;
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** The activations that leave the segment, for one batch; codecs turn them into bytes. */
  readonly outputs: readonly Crossing[];
  /** Bytes of its parameters and of their optimizer state. */
  readonly parameterBytes: number;
  readonly stateBytes: number;
  /** Bytes of activations saved between forward and backward, for one batch. */
  readonly savedBytes: number;
  /** Most bytes that its programs work with beside what they are fed and what is saved. */
  readonly workingBytes: number;
  /** Columns of the model's input that it takes, where parties hold different ones; else absent. */
  readonly columns?: readonly number[];
}

/** A named value of known type. */
export interface NamedType extends TensorType {
  readonly name: string;
}

/** A value that crosses a border. */
export interface Crossing extends NamedType {
  /** Whether its gradient comes back: something that is trained stands before it. */
  readonly hasGradient: boolean;
}

/** A segment with its nodes. Labels and loss are not in segments: the last stage adds them. */
export interface Segment {
  readonly index: number;
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly parameters: readonly Parameter[];
  /** Noise that its nodes take. */
  readonly noise: readonly NamedType[];
  /** New values of its buffers by the buffer's name. */
  readonly updates: ReadonlyMap<string, string>;
  /** The values that enter and those that leave, in the order in which the model makes them. */
  readonly inputs: readonly Crossing[];
  readonly outputs: readonly Crossing[];
  /** What it takes of the model's input, where parties hold different columns; null where nothing, and elsewhere. */
  readonly taken: TakenInput | null;
}

/** The model's input, and the columns of it that are looked at, ascending. */
export interface TakenInput {
  readonly input: NamedType;
  readonly columns: readonly number[];
}

/** Where a model may be cut. */
export interface CutOptions {
  /** Most tensors that may cross one border; 1 where absent. */
  readonly tensorsMax?: number;
  /** Who holds which columns of the input; one node holds all where absent. */
  readonly parties?: Parties | undefined;
}

/**
 * Splits a static graph at every legal cut: after a node where at most `tensorsMax`
 * activations are live and no parameter is used on both sides. Values that depend
 * on parameters, noise and constants alone are not activations; they belong to the
 * segment that uses them.
 *
 * With parties, what depends on the first party's columns alone comes first, then what the second
 * one's are enough for beside that, and so on; a cut is legal although the input is still needed,
 * but nothing crosses that no parameter has had a part in: that would be a party's data in another shape.
 * @throws ModelError unless the graph has one input (noise not counted) and one output, and, with
 *   parties, takes each party's columns apart
 */
export function segmentModel(
  graph: Graph,
  { tensorsMax = 1, parties }: CutOptions = {},
): Segment[] {
  const { input, output } = endsOf(graph);
  const types = inferTypes(graph);
  const { flow: inOrder, fixed } = splitFixed(graph, input);
  const source = { graph, input, type: present(types.get(input), input) };
  const flow = parties === undefined ? inOrder : byParty(source, inOrder, parties);
  const bare =
    parties === undefined ? new Set([input]) : bareValues(input, flow, isParametric(graph, fixed));
  const reached = trainedValues(graph, types);
  const crossing = (name: string): Crossing => {
    const { dtype, shape } = present(types.get(name), name);
    return { name, dtype, shape, hasGradient: reached.has(name) };
  };
  const names = graph.parameters.map(({ name }) => name);
  const needed = parties === undefined ? [input] : [];
  const borders = legalCuts(flow, fixed, { needed, output, names }).filter(
    ({ live }) =>
      live.length <= tensorsMax &&
      live.every((name) => isFloat(dtypeOf(types, name)) && !bare.has(name)),
  );
  // The output leaves the model whatever its type is; the loss has its say on that.
  borders.push({ end: flow.length, live: [output] });
  if (!flow.some(({ outputs }) => outputs.includes(output))) {
    throw new ModelError("the output does not depend on the input", { node: output });
  }
  let start = 0;
  let entering = [crossing(input)];
  return borders.map(({ end, live }, index) => {
    const own = flow.slice(start, end);
    const segment = segmentOf(graph, withFixed(own, fixed), {
      index,
      name: own.map((node) => node.name).join("+"),
      inputs: entering,
      outputs: live.map(crossing),
      taken: parties === undefined ? null : takenBy(own, source),
    });
    start = end;
    entering = live.map(crossing);
    return segment;
  });
}

/** Whether a value depends on parameters alone, or is one. */
const isParametric = (
  { parameters }: Graph,
  fixed: ReadonlyMap<string, GraphNode>,
): ((name: string) => boolean) => {
  const names = new Set(parameters.map(({ name }) => name));
  const isOne = (name: string): boolean =>
    names.has(name) || (fixed.get(name)?.inputs.some(isOne) ?? false);
  return isOne;
};

/** What nodes take of the input; null where nothing. */
function takenBy(nodes: readonly GraphNode[], source: Parameters<typeof takenColumns>[0]) {
  const columns = new Set(nodes.flatMap((node) => takenColumns(source, node)));
  if (columns.size === 0) return null;
  const { input: name, type } = source;
  return { input: { name, ...type }, columns: [...columns].sort((a, b) => a - b) };
}

const dtypeOf = (types: ReadonlyMap<string, TensorType>, name: string): DType =>
  present(types.get(name), name).dtype;

/** The value that data enter by and the value that the loss takes. */
function endsOf(graph: Graph): { input: string; output: string } {
  const inputs = graph.inputs.filter(({ noise }) => !noise);
  const [input] = inputs;
  const [output] = graph.outputs;
  if (input === undefined || output === undefined || inputs.length + graph.outputs.length > 2) {
    throw new ModelError(
      `a model to train has one input and one output, got ${inputs.length} and ${graph.outputs.length}`,
    );
  }
  return { input: input.name, output };
}

function segmentOf(
  graph: Graph,
  nodes: readonly GraphNode[],
  rest: Pick<Segment, "index" | "name" | "inputs" | "outputs" | "taken">,
): Segment {
  const used = new Set(nodes.flatMap((node) => node.inputs));
  const given = new Set(nodes.flatMap((node) => node.outputs));
  return {
    ...rest,
    nodes,
    parameters: graph.parameters.filter(({ name }) => used.has(name)),
    noise: graph.inputs.flatMap(({ name, dtype, shape, noise }) =>
      noise && used.has(name) ? [{ name, dtype, shape: shape as readonly number[] }] : [],
    ),
    updates: new Map([...(graph.updates ?? [])].filter(([, value]) => given.has(value))),
  };
}

/** Values of floating type that depend on a parameter which is trained. */
function trainedValues(graph: Graph, types: ReadonlyMap<string, TensorType>): Set<string> {
  const reached = new Set(graph.parameters.filter(isTrained).map(({ name }) => name));
  for (const node of graph.nodes) {
    if (!node.inputs.some((name) => reached.has(name))) continue;
    for (const name of node.outputs) {
      if (name !== "" && isFloat(dtypeOf(types, name))) reached.add(name);
    }
  }
  return reached;
}

/** Nodes on the way of the activations, and those that depend on parameters and constants alone. */
function splitFixed(
  graph: Graph,
  input: string,
): { flow: GraphNode[]; fixed: Map<string, GraphNode> } {
  const moving = new Set([input]);
  const flow: GraphNode[] = [];
  const fixed = new Map<string, GraphNode>();
  for (const node of graph.nodes) {
    if (node.inputs.some((name) => moving.has(name))) {
      flow.push(node);
      for (const name of node.outputs) if (name !== "") moving.add(name);
    } else {
      for (const name of node.outputs) fixed.set(name, node);
    }
  }
  return { flow, fixed };
}

/** The nodes with every fixed node that they need, in an order that respects use. */
function withFixed(
  nodes: readonly GraphNode[],
  fixed: ReadonlyMap<string, GraphNode>,
): GraphNode[] {
  const all = new Set<GraphNode>();
  const visit = (node: GraphNode): void => {
    if (all.has(node)) return;
    for (const name of node.inputs) {
      const source = fixed.get(name);
      if (source !== undefined) visit(source);
    }
    all.add(node);
  };
  for (const node of nodes) visit(node);
  return [...all];
}

interface Cut {
  /** Number of flow nodes before the cut. */
  readonly end: number;
  /** The activations that cross it. */
  readonly live: readonly string[];
}

/**
 * Every cut before the end that no parameter crosses.
 * @param needed what is live before the first node: the model's input, unless segments take it again
 */
function legalCuts(
  flow: readonly GraphNode[],
  fixed: ReadonlyMap<string, GraphNode>,
  { needed, output, names }: { needed: string[]; output: string; names: readonly string[] },
): Cut[] {
  const lastUse = new Map<string, number>([[output, flow.length]]);
  const firstUse = new Map<string, number>();
  flow.forEach((node, i) => {
    for (const name of new Set(withFixed([node], fixed).flatMap((n) => n.inputs))) {
      if (!firstUse.has(name)) firstUse.set(name, i);
      lastUse.set(name, i);
    }
  });
  lastUse.set(output, flow.length);
  const isUsed = (name: string, i: number): boolean => (lastUse.get(name) ?? -1) > i;
  const cuts: Cut[] = [];
  let live = needed;
  const shared = new Set<string>();
  const first = new Map<number, string[]>();
  for (const name of names) {
    const at = firstUse.get(name);
    if (at !== undefined && lastUse.get(name) !== at)
      first.set(at, [...(first.get(at) ?? []), name]);
  }
  flow.slice(0, -1).forEach((node, i) => {
    live = [...live, ...node.outputs.filter((name) => name !== "")].filter((name) =>
      isUsed(name, i),
    );
    for (const name of first.get(i) ?? []) shared.add(name);
    for (const name of shared) if (!isUsed(name, i)) shared.delete(name);
    if (live.length > 0 && shared.size === 0) {
      cuts.push({ end: i + 1, live });
    }
  });
  return cuts;
}
