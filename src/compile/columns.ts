/**
 * Parties that hold different columns of a model's input (vertical data): which columns a node takes,
 * whose they are, and which values are still a party's data in another shape. Columns are counted along
 * the sample's first axis.
 */
import { ModelError } from "../base/errors.ts";
import type { TensorType } from "../base/tensor.ts";
import type { Graph, GraphNode } from "./graph.ts";

/** Columns of each party, in the order in which a batch goes from one to the next. */
export type Parties = readonly (readonly number[])[];

/** A static graph's input. */
interface Source {
  readonly graph: Pick<Graph, "constants">;
  readonly input: string;
  readonly type: TensorType;
}

/** The columns that a node takes of the input itself; all of them unless it slices. */
export function takenColumns({ graph, input, type }: Source, node: GraphNode): readonly number[] {
  if (!node.inputs.includes(input)) return [];
  const all = Array.from({ length: type.shape[1] ?? 0 }, (_, column) => column);
  const [data, ...bounds] = node.inputs;
  if (node.op !== "Slice" || data !== input) return all;
  const [starts, ends, axes, steps] = bounds.map((name) => graph.constants.get(name)?.data);
  const rank = type.shape.length;
  const isSecond = (axis: number | bigint): boolean => (Number(axis) + rank) % rank === 1;
  const at = axes === undefined ? 1 : Array.from(axes, isSecond).indexOf(true);
  if (starts?.[at] === undefined || ends?.[at] === undefined) return all;
  // Backwards as well, a slice takes what lies between its ends; others are not written.
  if (steps !== undefined && Number(steps[at]) !== 1) return all;
  return all.slice(Number(starts[at]), Number(ends[at]));
}

/**
 * Nodes in the order in which parties can compute them: each as soon as the columns of the parties up to
 * one are enough, and otherwise as they were.
 * @throws ModelError where parties share a column, have one that is not there, or a node takes columns
 *   of several of them, or of none
 */
export function byParty(source: Source, flow: readonly GraphNode[], parties: Parties): GraphNode[] {
  const holders = holdersOf(parties, source.type.shape[1] ?? 0);
  const known = new Map<string, number>();
  const partyOf = (node: GraphNode): number => {
    const taken = takenColumns(source, node);
    const own = new Set(taken.map((column) => holders.get(column) ?? -1));
    if (own.size > 1 || own.has(-1)) {
      throw new ModelError(
        `it takes columns [${taken}] of the input at once, and parties hold ` +
          `${parties.map((columns) => `[${columns}]`).join(" and ")}: let the model slice each party's apart`,
        { node: node.name },
      );
    }
    return Math.max(...own, ...node.inputs.map((name) => known.get(name) ?? 0));
  };
  const ordered: GraphNode[][] = parties.map(() => []);
  for (const node of flow) {
    const party = partyOf(node);
    for (const name of node.outputs) known.set(name, party);
    ordered[party]?.push(node);
  }
  return ordered.flat();
}

function holdersOf(parties: Parties, width: number): Map<number, number> {
  const holders = new Map<number, number>();
  for (const [party, columns] of parties.entries()) {
    for (const column of columns) {
      if (holders.has(column)) {
        throw new ModelError(`column ${column} of the input belongs to two parties`);
      }
      if (column >= width) {
        throw new ModelError(`a party holds column ${column} of the input, which has ${width}`);
      }
      holders.set(column, party);
    }
  }
  return holders;
}

/** The input, and what is made of it without any parameter. */
export function bareValues(
  input: string,
  flow: readonly GraphNode[],
  isParametric: (name: string) => boolean,
): Set<string> {
  const bare = new Set([input]);
  for (const { inputs, outputs } of flow) {
    if (!inputs.some((name) => bare.has(name)) || inputs.some(isParametric)) continue;
    for (const name of outputs) bare.add(name);
  }
  return bare;
}
