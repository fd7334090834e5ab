/**
 * Graph to ONNX bytes, in two forms.
 *
 * - {@link writeOnnx} with weights gives an ordinary inference model: parameters
 *   are initializers, and any ONNX runtime loads it.
 * - {@link writeOnnx} without weights gives the form in which programs reach an
 *   engine and structures cross a link: parameters are inputs, after the graph's own.
 *
 * Either way the file's metadata lists the parameters, so that `readOnnx` gives
 * back the same graph and does not have to guess what is trained. The same
 * graph gives the same bytes.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { ModelError } from "../../base/errors.ts";
import { formatType, sameType, type TensorType } from "../../base/tensor.ts";
import {
  type Dimension,
  type Graph,
  type GraphNode,
  isSubgraph,
  type Parameter,
  type Subgraph,
  type Value,
  type Weights,
} from "../graph.ts";
import { inferTypes } from "../infer.ts";
import { specialize } from "../specialize.ts";
import { fileForm } from "./file-form.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./onnx_pb.js";
import { encodeAttribute, encodeTensor, encodeValue } from "./values.ts";

/** Metadata keys under which names of parameters stand, as JSON arrays: all, and those of a kind. */
export const parameterKeys = {
  all: "edgeloom.parameters",
  buffer: "edgeloom.buffers",
  frozen: "edgeloom.frozen",
} as const;

/** What {@link writeOnnx} may take beside the graph. */
export interface WriteOptions {
  /** Values of the parameters. Without them the file holds the structure alone. */
  readonly weights?: Weights;
  /** Free text for the file's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes a graph as an ONNX file.
 * @throws ModelError when a parameter has no weight or one of another type, or when an
 * attribute does not fit ONNX.
 */
export function writeOnnx(graph: Graph, options: WriteOptions = {}): Uint8Array {
  const { weights } = options;
  const { opset, irVersion, nodes, constants } = fileForm(graph);
  const initializers = [...constants].map(([name, value]) => encodeTensor(name, value));
  const inputs = graph.inputs.map((input) => encodeValue(input.name, input.dtype, input.shape));
  for (const parameter of graph.parameters) {
    if (weights === undefined) {
      inputs.push(encodeValue(parameter.name, parameter.dtype, parameter.shape));
    } else {
      initializers.push(weightOf(parameter, weights));
    }
  }
  const metadata = {
    ...options.metadata,
    [parameterKeys.all]: namesWhere(graph, () => true),
    ...(graph.parameters.some(({ buffer }) => buffer) && {
      [parameterKeys.buffer]: namesWhere(graph, ({ buffer }) => buffer === true),
    }),
    ...(graph.parameters.some(({ frozen }) => frozen) && {
      [parameterKeys.frozen]: namesWhere(graph, ({ frozen }) => frozen === true),
    }),
  };
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: "edgeloom",
    opsetImport: [{ domain: "", version: BigInt(opset) }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name === "" ? "graph" : graph.name,
      node: nodes.map(encodeNode),
      initializer: initializers,
      input: inputs,
      output: encodeOutputs(graph),
    },
  });
  return toBinary(ModelProtoSchema, model);
}

const namesWhere = (graph: Graph, test: (parameter: Parameter) => boolean): string =>
  JSON.stringify(graph.parameters.filter(test).map(({ name }) => name));

function weightOf(parameter: Parameter, weights: Weights): TensorProto {
  const weight = weights.get(parameter.name);
  if (weight === undefined) {
    throw new ModelError("the parameter has no weight to write", { node: parameter.name });
  }
  if (!sameType(weight, parameter)) {
    throw new ModelError(
      `the weight is ${formatType(weight)}, the parameter ${formatType(parameter)}`,
      { node: parameter.name },
    );
  }
  return encodeTensor(parameter.name, weight);
}

const encodeNode = (node: GraphNode): NodeProto =>
  create(NodeProtoSchema, {
    opType: node.op,
    name: node.name,
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: Object.entries(node.attributes).map(([name, value]) =>
      isSubgraph(value) ? encodeSubgraph(name, value) : encodeAttribute(name, value, node.name),
    ),
  });

/** A graph inside; what it takes from around it, it names. */
const encodeSubgraph = (name: string, { nodes, outputs }: Subgraph): AttributeProto =>
  create(AttributeProtoSchema, {
    name,
    type: AttributeType.GRAPH,
    g: {
      name,
      node: nodes.map(encodeNode),
      output: outputs.map((output) => create(ValueInfoProtoSchema, { name: output })),
    },
  });

/** Runtimes infer a missing type, so an output that we cannot tell the type of goes without. */
function encodeOutputs(graph: Graph): ValueInfoProto[] {
  const types = outputTypes(graph);
  return graph.outputs.map((name) => {
    const type = types.get(name);
    return type === undefined
      ? create(ValueInfoProtoSchema, { name })
      : encodeValue(name, type.dtype, type.shape);
  });
}

/**
 * Types of the outputs, with names where a size follows a named dimension of the inputs. Operators
 * infer static types only, so the named dimensions are given two different sets of sizes:
 * what stays the same is a size, what moves with one name has that name, and what
 * moves otherwise gets a name of its own.
 */
function outputTypes(graph: Graph): ReadonlyMap<string, Pick<Value, "dtype" | "shape">> {
  const shapes = graph.inputs.flatMap((input) => input.shape);
  const names = [...new Set(shapes.filter((dimension) => typeof dimension === "string"))];
  // Large and round, so that windows and strides fit.
  const size = (index: number): number => 64 * (index + 1);
  const first = typesWith(graph, new Map(names.map((name, i) => [name, size(i)])));
  if (names.length === 0) return first;
  const second = typesWith(graph, new Map(names.map((name, i) => [name, size(names.length + i)])));
  const named = new Map<string, Pick<Value, "dtype" | "shape">>();
  for (const [output, type] of first) {
    const other = second.get(output)?.shape ?? [];
    const shape = type.shape.map((dimension, axis): Dimension => {
      if (dimension === other[axis]) return dimension;
      const follows = names.find(
        (_, i) => dimension === size(i) && other[axis] === size(names.length + i),
      );
      return follows ?? `${output}_dim${axis}`;
    });
    named.set(output, { dtype: type.dtype, shape });
  }
  return named;
}

/** Types of the outputs at these sizes; none when the graph does not fit them. */
function typesWith(
  graph: Graph,
  sizes: ReadonlyMap<string, number>,
): ReadonlyMap<string, TensorType> {
  const inputs = graph.inputs.map((input) => ({
    ...input,
    shape: input.shape.map((dimension) =>
      typeof dimension === "string" ? (sizes.get(dimension) ?? dimension) : dimension,
    ),
  }));
  try {
    const types = inferTypes(specialize({ ...graph, inputs }, {}));
    return new Map(
      graph.outputs.flatMap((name) => {
        const type = types.get(name);
        return type === undefined ? [] : [[name, type] as const];
      }),
    );
  } catch (error) {
    if (error instanceof ModelError) return new Map();
    throw error;
  }
}
