/**
 * Operators change their form between versions of the ONNX operator set: an
 * attribute becomes an input, an input becomes optional, a default moves. The
 * rest of the compiler knows one form, that of operator set 17; the table below
 * brings nodes of sets 9 to 26 into it. A supported operator that is
 * not in the table has had the same form throughout; one that is added to `ops` needs
 * a look at its history, and perhaps an entry here.
 */
import { ModelError } from "../../base/errors.ts";
import { type DenseTensor, int64, tensor } from "../../base/tensor.ts";
import type { Attribute, Attributes } from "../graph.ts";
import type { OpName } from "../ops/table.ts";

/** A node on its way in: its operator may still be one that Edgeloom lacks. */
export interface RawNode {
  op: string;
  readonly name: string;
  inputs: string[];
  outputs: string[];
  readonly attributes: Map<string, Attribute>;
  /** The graphs among its attributes. */
  readonly subgraphs?: ReadonlyMap<string, RawSubgraph>;
}

/** A graph in an attribute, as files have it: it may use any name from around it. */
export interface RawSubgraph {
  readonly nodes: readonly RawNode[];
  readonly outputs: readonly string[];
}

/** What a rule may ask about the file that its node stands in. */
export interface NormaliseContext {
  /** The version of the operator set that the node is written in. */
  readonly opset: number;
  /** The stored tensor of this name, or null when the value is computed. */
  stored(name: string): DenseTensor | null;
  /** Adds a constant whose name starts with `hint`, and returns its name. */
  addConstant(hint: string, value: DenseTensor): string;
  /** Puts another node before this one and returns the name of its output. */
  insert(op: string, inputs: readonly string[], attributes: Attributes): string;
  /** The number of dimensions of a value, or null where it is not known. */
  rank(name: string): number | null;
}

type Rule = (node: RawNode, context: NormaliseContext) => void;

/** The oldest and the newest operator set that the table covers, and the one of our own graphs. */
export const opsets = { oldest: 9, newest: 26, own: 17 } as const;

/** Brings a node into the form of operator set 17, in place. */
export function normalise(node: RawNode, context: NormaliseContext): void {
  if (Object.hasOwn(rules, node.op)) rules[node.op as keyof typeof rules]?.(node, context);
  while (node.inputs.length > 0 && node.inputs.at(-1) === "") node.inputs.pop();
  while (node.outputs.length > 1 && node.outputs.at(-1) === "") node.outputs.pop();
}

const at = (node: RawNode) => ({ node: node.name, operator: node.op });

/** Before set 13 these coerced their input to two dimensions, by default at axis 1. */
const softmax: Rule = (node, context) => {
  if (context.opset >= 13) return;
  const axis = node.attributes.get("axis") ?? 1;
  // Files often state the rank of what leaves them, and it is the input's.
  const rank = context.rank(node.inputs[0] ?? "") ?? context.rank(node.outputs[0] ?? "");
  if (axis === -1 || (rank !== null && axis === rank - 1)) {
    node.attributes.set("axis", -1);
    return;
  }
  // Two dimensions in between; where the axis is the last one after all, both reshapes vanish.
  const [x = ""] = node.inputs;
  const sizes = context.insert("Shape", [x], {});
  const flat = context.insert("Flatten", [x], { axis });
  const result = context.insert(node.op, [flat], { axis: -1 });
  become(node, "Reshape");
  node.inputs = [result, sizes];
};

/** Old sets carry a list of integers as an attribute, later ones as an input. */
const integersToInput =
  (attribute: string, index: number): Rule =>
  (node, context) => {
    const value = node.attributes.get(attribute);
    if (value === undefined) return;
    node.attributes.delete(attribute);
    setInput(node, index, context.addConstant(`${node.name}.${attribute}`, integers(node, value)));
  };

/**
 * From set 18 on the axes of a reduction are an input; set 17 has them as an attribute. A node
 * may ask for no axes to mean none: what is left of it then is done to every element.
 */
const reduction =
  (each: "Identity" | "Abs" | "Log" | "Mul"): Rule =>
  (node, context) => {
    if (context.opset < 18) return;
    const keepsAll = node.attributes.get("noop_with_empty_axes") === 1;
    node.attributes.delete("noop_with_empty_axes");
    const axes = takeConstantInput(node, 1, context);
    if (axes !== null && axes.length > 0) node.attributes.set("axes", axes);
    else if (keepsAll) become(node, each);
    if (node.op === "Mul") node.inputs.push(node.inputs[0] ?? "");
  };

const resize: Rule = (node, context) => {
  if (context.opset < 11) {
    const mode = node.attributes.get("mode") ?? "nearest";
    become(node, "Resize");
    node.attributes.set("mode", mode);
    node.attributes.set("coordinate_transformation_mode", "asymmetric");
    node.attributes.set("nearest_mode", "floor");
    node.inputs = [node.inputs[0] ?? "", "", node.inputs[1] ?? ""];
    return;
  }
  // Sets 11 and 12 write an absent region or scale as an empty tensor.
  node.inputs = node.inputs.map((name, index) =>
    index > 0 && context.stored(name)?.data.length === 0 ? "" : name,
  );
  // Exporters write these out also where the mode does not look at them.
  if (node.attributes.get("mode") !== "cubic") node.attributes.delete("cubic_coeff_a");
  dropDefault(node, "antialias", 0);
  dropDefault(node, "exclude_outside", 0);
  if (node.attributes.get("coordinate_transformation_mode") !== "tf_crop_and_resize") {
    node.attributes.delete("extrapolation_value");
  }
  dropDefault(node, "keep_aspect_ratio_policy", "stretch");
};

const rules: { readonly [Op in OpName | "Scatter" | "Upsample"]?: Rule } = {
  Attention(node) {
    // From set 25 on a query may be kept to the keys around it; -1 is no such window.
    dropDefault(node, "left_window_size", -1);
    dropDefault(node, "right_window_size", -1);
  },
  AveragePool(node) {
    const dilations = node.attributes.get("dilations") ?? [];
    node.attributes.delete("dilations");
    if (Array.isArray(dilations) && dilations.every((dilation) => dilation === 1)) return;
    throw new ModelError(`dilations [${dilations}] of operator set 19; allowed: 1`, at(node));
  },
  Cast(node) {
    // Sets 19 and 24 say how to meet 8-bit floats, which have no DType here.
    node.attributes.delete("saturate");
    node.attributes.delete("round_mode");
  },
  Clip(node, context) {
    for (const [index, bound] of [
      [1, "min"],
      [2, "max"],
    ] as const) {
      const value = node.attributes.get(bound);
      if (value === undefined) continue;
      node.attributes.delete(bound);
      setInput(node, index, context.addConstant(`${node.name}.${bound}`, scalar(node, value)));
    }
  },
  BatchNormalization(node) {
    // Whether it measures is not the file's to say: a model that is trained does. Statistics that
    // it would give away show as dangling names where they are used.
    for (const name of ["training_mode", "spatial", "is_test"]) node.attributes.delete(name);
    node.outputs = node.outputs.slice(0, 1);
  },
  Dropout(node, context) {
    // Likewise; old sets have the ratio as an attribute. A seed of the file's own is not followed.
    const ratio = node.attributes.get("ratio");
    node.attributes.clear();
    node.inputs = node.inputs.slice(0, 2);
    if (ratio !== undefined) {
      setInput(node, 1, context.addConstant(`${node.name}.ratio`, scalar(node, ratio)));
    }
    node.outputs = node.outputs.slice(0, 1);
  },
  LogSoftmax: softmax,
  Pad(node, context) {
    const value = node.attributes.get("value");
    node.attributes.delete("value");
    integersToInput("pads", 1)(node, context);
    if (value !== undefined && value !== 0) {
      setInput(node, 2, context.addConstant(`${node.name}.value`, scalar(node, value)));
    }
  },
  ReduceL1: reduction("Abs"),
  ReduceL2: reduction("Abs"),
  ReduceLogSum: reduction("Log"),
  ReduceLogSumExp: reduction("Identity"),
  ReduceMax: reduction("Identity"),
  ReduceMean: reduction("Identity"),
  ReduceMin: reduction("Identity"),
  ReduceProd: reduction("Identity"),
  ReduceSum: integersToInput("axes", 1),
  ReduceSumSquare: reduction("Mul"),
  Resize: resize,
  Scatter(node) {
    node.op = "ScatterElements";
  },
  Slice(node, context) {
    integersToInput("starts", 1)(node, context);
    integersToInput("ends", 2)(node, context);
    integersToInput("axes", 3)(node, context);
  },
  Softmax: softmax,
  Split: integersToInput("split", 1),
  Squeeze: integersToInput("axes", 1),
  TopK: integersToInput("k", 1),
  Unsqueeze: integersToInput("axes", 1),
  Upsample: resize,
};

function become(node: RawNode, op: string): void {
  node.op = op;
  node.attributes.clear();
}

function setInput(node: RawNode, index: number, name: string): void {
  while (node.inputs.length < index) node.inputs.push("");
  node.inputs[index] = name;
}

function dropDefault(node: RawNode, attribute: string, standard: Attribute): void {
  if (node.attributes.get(attribute) === standard) node.attributes.delete(attribute);
}

function integers(node: RawNode, value: Attribute): DenseTensor {
  const list = typeof value === "number" ? [value] : value;
  if (!Array.isArray(list) || !list.every((item) => Number.isSafeInteger(item))) {
    throw new ModelError("a list attribute that is not made of integers", at(node));
  }
  return int64([list.length], list as number[]);
}

function scalar(node: RawNode, value: Attribute): DenseTensor {
  if (typeof value !== "number") {
    throw new ModelError("a bound or fill value that is not a number", at(node));
  }
  return tensor("float32", [], Float32Array.of(value));
}

/** Removes an input that must be constant and returns its integers; null when it is absent. */
function takeConstantInput(
  node: RawNode,
  index: number,
  context: NormaliseContext,
): number[] | null {
  const name = node.inputs[index] ?? "";
  node.inputs = node.inputs.slice(0, index);
  if (name === "") return null;
  const value = context.stored(name);
  if (value === null || value.dtype !== "int64") {
    throw new ModelError(`input ${index} ("${name}") must be a constant of type int64`, at(node));
  }
  return Array.from(value.data, Number);
}
