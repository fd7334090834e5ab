/**
 * Segments: the smallest legal pieces between two cut points. A cut is legal
 * where exactly one activation tensor is live (multi-tensor cuts come with the
 * operators that need them).
 */
import { present } from "../base/assert.ts";
import { ModelError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import type { Graph, GraphNode, Parameter } from "./graph.ts";
import { inferTypes } from "./infer.ts";

/** Costs of one segment at the specialised batch size; all a planner may know of it. */
export interface SegmentCost {
  /** Position in the model, 0-based. */
  readonly index: number;
  /** Human name: its main operators, e.g. "conv1+relu". */
  readonly name: string;
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** Type of the activation that leaves the segment, for one batch; codecs turn it into bytes. */
  readonly output: TensorType;
  /** Bytes of its parameters and of their optimizer state. */
  readonly parameterBytes: number;
  readonly stateBytes: number;
  /** Bytes of activations saved between forward and backward, for one batch. */
  readonly savedBytes: number;
}

/** A segment with its nodes. Labels and loss are not in segments: the last stage adds them. */
export interface Segment {
  readonly index: number;
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly parameters: readonly Parameter[];
  /** The value that enters and the value that leaves. */
  readonly input: TensorType & { readonly name: string };
  readonly output: TensorType & { readonly name: string };
}

/**
 * Splits a static graph at every legal cut: after a node where exactly one
 * activation is live and no parameter is used on both sides. Values that depend
 * on parameters and constants alone are not activations; they belong to the
 * segment that uses them.
 * @throws ModelError unless the graph has one input and one output
 */
export function segmentModel(graph: Graph): Segment[] {
  const [input] = graph.inputs;
  const [output] = graph.outputs;
  if (
    input === undefined ||
    output === undefined ||
    graph.inputs.length + graph.outputs.length > 2
  ) {
    throw new ModelError(
      `a model to train has one input and one output, got ${graph.inputs.length} and ${graph.outputs.length}`,
    );
  }
  const types = inferTypes(graph);
  const { flow, fixed } = splitFixed(graph, input.name);
  const names = graph.parameters.map(({ name }) => name);
  const borders = legalCuts(flow, fixed, input.name, output, names);
  if (borders.length === 0) {
    throw new ModelError("the output does not depend on the input", { node: output });
  }
  const parameters = new Map(graph.parameters.map((parameter) => [parameter.name, parameter]));
  let start = 0;
  let entering = input.name;
  return borders.map(({ end, live }, index) => {
    const own = flow.slice(start, end);
    const nodes = withFixed(own, fixed);
    const used = new Set(nodes.flatMap((node) => node.inputs));
    const segment: Segment = {
      index,
      name: own.map((node) => node.name).join("+"),
      nodes,
      parameters: [...parameters.values()].filter(({ name }) => used.has(name)),
      input: { name: entering, ...typeOf(types, entering) },
      output: { name: live, ...typeOf(types, live) },
    };
    start = end;
    entering = live;
    return segment;
  });
}

const typeOf = (types: ReadonlyMap<string, TensorType>, name: string): TensorType => {
  const { dtype, shape } = present(types.get(name), name);
  return { dtype, shape };
};

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
      for (const name of node.outputs) moving.add(name);
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
  /** The one activation that crosses it. */
  readonly live: string;
}

function legalCuts(
  flow: readonly GraphNode[],
  fixed: ReadonlyMap<string, GraphNode>,
  input: string,
  output: string,
  parameters: readonly string[],
): Cut[] {
  const uses = flow.map((node) => new Set(withFixed([node], fixed).flatMap((n) => n.inputs)));
  const lastUse = new Map<string, number>([[output, flow.length]]);
  const firstUse = new Map<string, number>();
  uses.forEach((names, i) => {
    for (const name of names) {
      if (!firstUse.has(name)) firstUse.set(name, i);
      lastUse.set(name, Math.max(lastUse.get(name) ?? 0, i));
    }
  });
  const produced = new Map<string, number>([[input, -1]]);
  flow.forEach((node, i) => {
    for (const name of node.outputs) if (name !== "") produced.set(name, i);
  });
  const isShared = (name: string, at: number): boolean =>
    (firstUse.get(name) ?? at) <= at && (lastUse.get(name) ?? 0) > at;
  const sharedNames = parameters.filter((name) => firstUse.get(name) !== lastUse.get(name));
  const cuts: Cut[] = [];
  flow.forEach((_, i) => {
    const live = [...produced].filter(([name, at]) => at <= i && (lastUse.get(name) ?? -1) > i);
    const [only] = live;
    if (only === undefined || live.length !== 1) return;
    if (sharedNames.some((name) => isShared(name, i))) return;
    cuts.push({ end: i + 1, live: only[0] });
  });
  return cuts;
}
