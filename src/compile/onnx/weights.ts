/**
 * Which stored tensors of somebody else's file are weights: those of floating type that a weighted
 * operator takes as its weight, directly or through operators that only move data.
 */
import type { DenseTensor, DType } from "../../base/tensor.ts";
import { type GraphNode, subgraphsOf } from "../graph.ts";
import type { OpName } from "../ops/table.ts";

type InputPositions = { readonly [Op in OpName]?: readonly number[] };

/** Positions of the inputs that hold running statistics. */
const statisticInputs: InputPositions = { BatchNormalization: [3, 4] };

/**
 * Positions of the inputs that hold weights. Sums and products with a stored tensor count
 * when it has more than one element (a bias or a learned scale); a single number is a constant.
 */
const weightInputs: InputPositions = {
  Add: [0, 1],
  BatchNormalization: [1, 2, 3, 4],
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Einsum: [0, 1],
  GRU: [1, 2, 3],
  Gemm: [0, 1, 2],
  GroupNormalization: [1, 2],
  InstanceNormalization: [1, 2],
  LSTM: [1, 2, 3, 7],
  LayerNormalization: [1, 2],
  MatMul: [0, 1],
  Mul: [0, 1],
  RMSNormalization: [1],
  RNN: [1, 2, 3],
};

/** Operators through which a weight is still the same weight. */
const movers: ReadonlySet<OpName> = new Set(["Reshape", "Squeeze", "Transpose", "Unsqueeze"]);

/**
 * Operators that put a weight together from pieces (exporters bring the gates of recurrent
 * networks into ONNX's order so), where all that they take is stored.
 */
const joiners: ReadonlySet<OpName> = new Set(["Concat", "Slice"]);

const floating: ReadonlySet<DType> = new Set(["float16", "float32", "float64"]);

type Stored = ReadonlyMap<string, DenseTensor>;

/** Names of the stored tensors that belong to a model's weights. */
export const weightNames = (nodes: readonly GraphNode[], stored: Stored): Set<string> =>
  storedAt(nodes, stored, weightInputs);

/** Names of the stored tensors that are running statistics. */
export const statisticNames = (nodes: readonly GraphNode[], stored: Stored): Set<string> =>
  storedAt(nodes, stored, statisticInputs);

function storedAt(
  nodes: readonly GraphNode[],
  stored: Stored,
  positions: InputPositions,
): Set<string> {
  const fixed = new Set(stored.keys());
  addFixed(nodes, fixed);
  const wanted = namesAt(nodes, [], { stored, fixed, positions });
  const names = new Set<string>();
  for (const [name, value] of stored) {
    if (wanted.has(name) && floating.has(value.dtype)) names.add(name);
  }
  return names;
}

/** Adds what is moved or joined of stored tensors alone. */
function addFixed(nodes: readonly GraphNode[], fixed: Set<string>): void {
  for (const node of nodes) {
    for (const inside of subgraphsOf(node)) addFixed(inside.nodes, fixed);
    if (!movers.has(node.op) && !joiners.has(node.op)) continue;
    if (!node.inputs.every((name) => name === "" || fixed.has(name))) continue;
    for (const output of node.outputs) fixed.add(output);
  }
}

interface Search {
  readonly stored: Stored;
  readonly fixed: ReadonlySet<string>;
  readonly positions: InputPositions;
}

/** Names of what stands at the positions searched for or leaves as one of `outputs`. */
function namesAt(
  nodes: readonly GraphNode[],
  outputs: readonly string[],
  search: Search,
): Set<string> {
  const { stored, fixed, positions } = search;
  const wanted = new Set(outputs);
  for (const node of nodes.toReversed()) {
    const [output = ""] = node.outputs;
    if (movers.has(node.op) && wanted.has(output)) wanted.add(node.inputs[0] ?? "");
    if (joiners.has(node.op) && wanted.has(output) && fixed.has(output)) {
      for (const name of node.inputs) wanted.add(name);
    }
    for (const position of positions[node.op] ?? []) {
      const name = node.inputs[position] ?? "";
      const elementwise = node.op === "Add" || node.op === "Mul";
      if (elementwise && stored.get(name)?.data.length === 1) continue;
      wanted.add(name);
    }
    // Names in the graphs of a file that is read are those of the values around them.
    for (const inside of subgraphsOf(node)) {
      const leaving = inside.outputs.filter((_, i) => wanted.has(node.outputs[i] ?? ""));
      const within = namesAt(inside.nodes, leaving, search);
      for (const name of inside.inputs) if (within.has(name)) wanted.add(name);
    }
  }
  return wanted;
}
