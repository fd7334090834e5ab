/**
 * Models of which only costs are known: a table with a row per layer. Each becomes one segment
 * with exactly its parameters and its output, so that the same coordinator, workers and planners
 * take it as they take any model. What is inside stands for the real layer: it is never computed,
 * and how long it takes is in the table, too.
 *
 * A layer scales its input by the mean of its parameters and cuts or pads it to the size of its
 * output. It does so around the change of size, since a cut that a parameter crosses is not
 * legal: so nothing can be cut inside of a layer.
 */
import { InputError } from "../base/errors.ts";
import { type DenseTensor, hollow, int64 } from "../base/tensor.ts";
import type { Graph, GraphNode, Parameter } from "../compile/graph.ts";
import type { Profile } from "../plan/plan.ts";
import type { StartModel } from "../run/coordinator/training-state.ts";

/** A layer by its costs. */
export interface LayerCost {
  readonly name: string;
  /** What leaves it, for one sample. */
  readonly outputBytes: number;
  readonly parameterBytes: number;
  /** Milliseconds for one batch at full speed, by kind of node. */
  readonly times: ReadonlyMap<
    NodeKind,
    { readonly forwardMs: number; readonly backwardMs: number }
  >;
}

type NodeKind = "device" | "edge" | "cloud";
const kinds = ["device", "edge", "cloud"] as const satisfies NodeKind[];

/** Bytes of the float32 numbers that layers are counted in. */
const width = 4;

/**
 * Reads a table with the columns `layer`, `outputBytes` (for one sample), `parameterBytes`, and
 * for each kind of node `deviceForwardMs`, `deviceBackwardMs`, `edgeForwardMs`, and so on.
 * @throws InputError naming line and column
 */
export function readLayers(text: string, where: string): LayerCost[] {
  const required = ["layer", "outputBytes", "parameterBytes"];
  const timed = kinds.flatMap((kind) => [`${kind}ForwardMs`, `${kind}BackwardMs`]);
  const { header, rows } = readTable(text, where);
  const odd = header.find((name) => !required.includes(name) && !timed.includes(name));
  if (odd !== undefined)
    throw problem(`${where}:1`, "column", odd, [...required, ...timed].join(", "));
  const names = new Set<string>();
  return rows.map(({ line, fields }) => {
    const at = `${where}:${line}`;
    const number = (column: string): number => numberOf(fields, header, column, at);
    const bytes = (column: string): number => {
      const value = number(column);
      if (value % width === 0) return value;
      throw problem(
        at,
        column,
        String(value),
        `a multiple of ${width}: layers are of float32 numbers`,
      );
    };
    const times = new Map<NodeKind, { forwardMs: number; backwardMs: number }>();
    for (const kind of kinds) {
      if (!header.includes(`${kind}ForwardMs`) && !header.includes(`${kind}BackwardMs`)) continue;
      times.set(kind, {
        forwardMs: number(`${kind}ForwardMs`),
        backwardMs: number(`${kind}BackwardMs`),
      });
    }
    const name = fields[header.indexOf("layer")] ?? "";
    if (name === "" || names.has(name))
      throw problem(at, "layer", `"${name}"`, "a name of its own");
    names.add(name);
    const outputBytes = bytes("outputBytes");
    if (outputBytes === 0) throw problem(at, "outputBytes", "0", `${width} or more`);
    return { name, outputBytes, parameterBytes: bytes("parameterBytes"), times };
  });
}

/** How fast a node of this kind runs the layers. @throws InputError where the table does not say */
export function layerProfile(layers: readonly LayerCost[], kind: NodeKind, where: string): Profile {
  const segments = layers.map(({ times }) => {
    const time = times.get(kind);
    if (time === undefined) {
      throw problem(where, "columns", "none of them", `${kind}ForwardMs and ${kind}BackwardMs`);
    }
    return { ...time, updateMs: 0 };
  });
  return { segments, runMs: 0, callMs: 0 };
}

/** The model of these layers, in the inference form; it has values nowhere. */
export function layerModel(layers: readonly LayerCost[]): StartModel {
  const parameters: Parameter[] = [];
  const constants = new Map<string, DenseTensor>();
  const nodes: GraphNode[] = [];
  const add = (op: GraphNode["op"], name: string, inputs: string[]): string => {
    nodes.push({ op, name, inputs, outputs: [name], attributes: attributesOf(op) });
    return name;
  };
  let at = "input";
  let size = 1;
  for (const { name, outputBytes, parameterBytes } of layers) {
    const scale = parameterBytes === 0 ? null : `${name}.scale`;
    if (scale !== null) {
      const weight = `${name}.weight`;
      parameters.push({ name: weight, dtype: "float32", shape: [parameterBytes / width] });
      add("ReduceMean", scale, [weight]);
    }
    const next = outputBytes / width;
    const pads = `${name}.pads`;
    if (next !== size) constants.set(pads, int64([4], [0, 0, 0, next - size]));
    if (next === size)
      at = scale === null ? add("Relu", name, [at]) : add("Mul", name, [at, scale]);
    else if (scale === null) at = add("Pad", name, [at, pads]);
    else {
      const entered = add("Mul", `${name}.in`, [at, scale]);
      at = add("Mul", name, [add("Pad", `${name}.size`, [entered, pads]), scale]);
    }
    size = next;
  }
  const graph: Graph = {
    name: "layers",
    inputs: [{ name: "input", dtype: "float32", shape: ["batch", 1] }],
    parameters,
    constants,
    nodes,
    outputs: [at],
  };
  return hollowModel({ graph });
}

const attributesOf = (op: GraphNode["op"]): GraphNode["attributes"] =>
  op === "ReduceMean" ? { keepdims: 1 } : op === "Pad" ? { mode: "constant" } : {};

/** A model without its values: what it takes on links and in memory stays the same. */
export const hollowModel = ({ graph }: { readonly graph: Graph }): StartModel => ({
  graph,
  weights: new Map(graph.parameters.map((parameter) => [parameter.name, hollow(parameter)])),
});

/** A profile of this model's own segments: the columns `forwardMs` and `backwardMs`, a row for each. */
export function readProfile(text: string, where: string): Profile {
  const { header, rows } = readTable(text, where);
  const segments = rows.map(({ line, fields }) => {
    const number = (column: string): number => numberOf(fields, header, column, `${where}:${line}`);
    return {
      forwardMs: number("forwardMs"),
      backwardMs: number("backwardMs"),
      updateMs: header.includes("updateMs") ? number("updateMs") : 0,
    };
  });
  return { segments, runMs: 0, callMs: 0 };
}

/** Points of a trace: two columns, seconds and a value; a first row of names is passed over. */
export function readPoints(text: string, where: string): [seconds: number, value: number][] {
  const lines = text.split(/\r?\n/).map((line, i) => ({ line: i + 1, text: line.trim() }));
  const rows = lines.filter(({ text: row }) => row !== "");
  const isNamed = rows[0] !== undefined && !/^[\d.]/.test(rows[0].text);
  return rows.slice(isNamed ? 1 : 0).map(({ line, text: row }) => {
    const fields = row.split(",").map((field) => field.trim());
    const at = `${where}:${line}`;
    const header = ["seconds", "value"];
    if (fields.length !== 2) throw problem(at, "row", row, "two columns, seconds and a value");
    return [numberOf(fields, header, "seconds", at), numberOf(fields, header, "value", at)];
  });
}

interface Table {
  readonly header: readonly string[];
  readonly rows: readonly { readonly line: number; readonly fields: readonly string[] }[];
}

function readTable(text: string, where: string): Table {
  const lines = text.split(/\r?\n/).map((row, i) => ({ line: i + 1, row: row.trim() }));
  const [first, ...rest] = lines.filter(({ row }) => row !== "");
  const split = (row: string): string[] => row.split(",").map((field) => field.trim());
  if (first === undefined || rest.length === 0) {
    throw problem(where, "table", "no rows", "a row of names and a row for each layer");
  }
  return {
    header: split(first.row),
    rows: rest.map(({ line, row }) => ({ line, fields: split(row) })),
  };
}

function numberOf(
  fields: readonly string[],
  header: readonly string[],
  column: string,
  where: string,
): number {
  const text = fields[header.indexOf(column)];
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw problem(where, column, text ?? "nothing", "a number from 0");
}

const problem = (where: string, what: string, received: string, allowed: string): InputError =>
  new InputError({ what, received, allowed, where });
