/** A graph as text, for people and for golden tests: one line per value, types on the right. */
import { type DenseTensor, formatType, type TensorType } from "../base/tensor.ts";
import { type Attribute, type Graph, type GraphNode, isSubgraph } from "./graph.ts";

/**
 * Prints a graph. With `types` (see `inferTypes`) every node shows what it gives.
 * The text holds everything but the values of large constants.
 */
export function print(graph: Graph, types?: ReadonlyMap<string, TensorType>): string {
  const lines = [`graph ${graph.name}`];
  for (const input of graph.inputs) {
    const kind = input.noise ? "noise" : "input";
    lines.push(`  ${kind} ${input.name}: ${input.dtype}[${input.shape.join(",")}]`);
  }
  for (const parameter of graph.parameters) {
    const kind = parameter.buffer ? "buffer" : "parameter";
    const how = parameter.frozen ? "frozen " : "";
    lines.push(`  ${how}${kind} ${parameter.name}: ${formatType(parameter)}`);
  }
  for (const [name, value] of graph.constants) {
    lines.push(`  constant ${name}: ${formatType(value)}${printValues(value.data)}`);
  }
  for (const node of graph.nodes) lines.push(`  ${printNode(node, types)}`);
  for (const [buffer, value] of graph.updates ?? []) lines.push(`  update ${buffer} = ${value}`);
  lines.push(`  return ${graph.outputs.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

/** Values of small constants; larger ones show their type alone. */
const valuesShown = 8;

function printValues(data: ArrayLike<number | bigint>): string {
  if (data.length > valuesShown) return "";
  return ` = {${Array.from(data, String).join(", ")}}`;
}

function printNode(node: GraphNode, types?: ReadonlyMap<string, TensorType>): string {
  const outputs = node.outputs.map((name) => (name === "" ? "_" : name)).join(", ");
  const inputs = node.inputs.map((name) => (name === "" ? "_" : name)).join(", ");
  const attributes = Object.entries(node.attributes)
    .map(([name, value]) => `${name}=${printAttribute(value)}`)
    .join(" ");
  const type = types?.get(node.outputs[0] ?? "");
  return (
    `${outputs} = ${node.op}(${inputs})` +
    (attributes === "" ? "" : ` {${attributes}}`) +
    (type === undefined ? "" : `: ${formatType(type)}`)
  );
}

function printAttribute(value: Attribute): string {
  if (typeof value === "string" || typeof value === "number") return JSON.stringify(value);
  if (Array.isArray(value)) return JSON.stringify(value);
  if (isSubgraph(value)) {
    const nodes = value.nodes.map((node) => `${printNode(node)}; `).join("");
    return `(${value.inputs.join(", ")}) => { ${nodes}return ${value.outputs.join(", ")} }`;
  }
  const { dtype, shape, data } = value as DenseTensor;
  return `${formatType({ dtype, shape })}${printValues(data)}`;
}
