/**
 * ONNX bytes to a model. The bytes may come from any exporter, or from a peer
 * who means harm, so everything that can be wrong is a {@link ModelError}: the
 * reader never crashes, hangs, or hands on a graph that breaks the rules of
 * `graph.ts`.
 *
 * On the way, stored tensors are sorted into parameters (trained) and constants,
 * nodes are brought into topological order and into the form of operator set 17
 * (`normalise.ts`), and what means nothing to us is dropped: `Constant` nodes
 * become constants, `Identity` and `Dropout` disappear.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { ModelError, messageOf } from "../../base/errors.ts";
import type { DenseTensor } from "../../base/tensor.ts";
import type { Dimension, Model, Parameter, Value } from "../graph.ts";
import { decodeNodes, Names, store } from "./decode.ts";
import { normaliseNodes, Scope, sortNodes } from "./nodes.ts";
import { opsets } from "./normalise.ts";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type ValueInfoProto,
} from "./onnx_pb.js";
import { decodeTensor, dtypeOfOnnx } from "./values.ts";
import { statisticNames, weightNames } from "./weights.ts";
import { parameterKeys } from "./write.ts";

/**
 * Reads an ONNX file.
 *
 * Which stored tensors are parameters: in files that Edgeloom wrote, those that
 * the metadata lists. In others, tensors of floating type that a weighted
 * operator takes as its weight (see `weights.ts`), directly or through
 * operators that only move data. All others are constants; those that nobody
 * reads are dropped. Dimensions without a name or size get a name of their own.
 *
 * A file without weights (`writeOnnx` without `weights`) gives a model whose
 * `weights` are empty.
 *
 * @throws ModelError naming the node and the operator where there is one.
 */
export function readOnnx(bytes: Uint8Array): Model {
  const proto = decode(bytes);
  const opset = operatorSet(proto);
  const file = graphOf(proto);
  const stored = new Map<string, DenseTensor>();
  for (const initializer of file.initializer) {
    store(stored, initializer.name, decodeTensor(initializer, initializer.name));
  }
  const { nodes: rawNodes, names } = decodeNodes(file, stored);
  const declared = declaredInputs(file, stored);
  const outputs = outputNames(file);
  const scope = new Scope([...stored.keys(), ...declared.map((value) => value.name)]);
  const nodes = normaliseNodes(
    sortNodes(rawNodes, scope),
    { opset, stored, ranks: declaredRanks(file, stored), names },
    { scope, outputs: new Set(outputs), actual: (name) => name },
  );
  for (const output of outputs) {
    if (!scope.has(output)) throw new ModelError("nothing gives this output", { node: output });
  }
  const listed = listedNames(proto, parameterKeys.all);
  const trained = listed ?? weightNames(nodes, stored);
  const buffers =
    listed === null ? statisticNames(nodes, stored) : listedNames(proto, parameterKeys.buffer);
  const frozen = listedNames(proto, parameterKeys.frozen);
  const used = new Set([...nodes.flatMap((node) => node.inputs), ...outputs]);
  const weights = new Map([...stored].filter(([name]) => trained.has(name)));
  const constants = [...stored].filter(([name]) => !trained.has(name) && used.has(name));
  const graph = {
    name: file.name,
    inputs: declared.filter((value) => !trained.has(value.name)),
    parameters: [...trained].map((name) => ({
      ...parameterOf(name, weights, declared),
      ...(buffers?.has(name) && { buffer: true as const }),
      ...(frozen?.has(name) && { frozen: true as const }),
    })),
    constants: new Map(constants),
    nodes,
    outputs,
  };
  return { graph, weights };
}

function decode(bytes: Uint8Array): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw new ModelError(`not an ONNX file, or cut short (${messageOf(cause)})`, {}, { cause });
  }
}

function operatorSet(proto: ModelProto): number {
  const versions = proto.opsetImport
    .filter(({ domain }) => domain === "" || domain === "ai.onnx")
    .map(({ version }) => version);
  const allowed = `${opsets.oldest} to ${opsets.newest}`;
  if (versions.length !== 1) {
    throw new ModelError(
      `the file names ${versions.length} versions of ONNX's operator set; allowed: one, ${allowed}`,
    );
  }
  const version = versions[0] as bigint;
  if (version < opsets.oldest || version > opsets.newest) {
    throw new ModelError(`operator set ${version}; allowed: ${allowed}`);
  }
  return Number(version);
}

function graphOf(proto: ModelProto): GraphProto {
  if (proto.graph === undefined) throw new ModelError("the file holds no graph");
  if (proto.graph.sparseInitializer.length > 0) {
    throw new ModelError("the file holds sparse tensors; allowed: dense tensors");
  }
  if (proto.functions.length > 0) {
    const names = proto.functions.map((definition) => definition.name).join(", ");
    throw new ModelError(
      `the file defines operators of its own (${names}); allowed: ONNX's own operators`,
    );
  }
  return proto.graph;
}

/** Inputs that have no stored value; files of IR version 3 repeat the stored tensors as inputs. */
function declaredInputs(file: GraphProto, stored: ReadonlyMap<string, DenseTensor>): Value[] {
  const free = file.input.filter((input) => !stored.has(input.name));
  const dimensions = new Names(free.flatMap((input) => namedDimensions(input)));
  const seen = new Set<string>();
  return free.map((input) => {
    if (input.name === "") throw new ModelError("an input has no name");
    if (seen.has(input.name)) {
      throw new ModelError("two inputs have this name", { node: input.name });
    }
    seen.add(input.name);
    return decodeInput(input, dimensions);
  });
}

function decodeInput(input: ValueInfoProto, dimensions: Names): Value {
  const at = { node: input.name };
  const type = input.type?.value;
  if (type?.case !== "tensorType") {
    throw new ModelError("the input has no type, or is not a tensor", at);
  }
  const dtype = dtypeOfOnnx(type.value.elemType, input.name);
  if (type.value.shape === undefined) {
    throw new ModelError("the input has no shape; allowed: a known number of dimensions", at);
  }
  const shape = type.value.shape.dim.map(({ value }, axis): Dimension => {
    if (value.case === "dimParam" && value.value !== "") return value.value;
    if (value.case !== "dimValue" || value.value <= 0n) {
      return dimensions.unique(`${input.name}_dim${axis}`);
    }
    if (value.value > 0x7fff_ffffn) {
      throw new ModelError(`dimension ${value.value}; allowed: 1 to 2^31-1, or a name`, at);
    }
    return Number(value.value);
  });
  return { name: input.name, dtype, shape };
}

function namedDimensions(value: ValueInfoProto): string[] {
  const type = value.type?.value;
  if (type?.case !== "tensorType") return [];
  const dimensions = type.value.shape?.dim ?? [];
  return dimensions.flatMap(({ value }) => (value.case === "dimParam" ? [value.value] : []));
}

function outputNames(file: GraphProto): string[] {
  const names = file.output.map((output) => output.name);
  if (names.length === 0) throw new ModelError("the graph has no outputs");
  if (names.includes("")) throw new ModelError("an output has no name");
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ModelError("two outputs have this name", { node: twice });
  return names;
}

/** Numbers of dimensions that the file states. */
function declaredRanks(
  file: GraphProto,
  stored: ReadonlyMap<string, DenseTensor>,
): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const value of [...file.valueInfo, ...file.output, ...file.input]) {
    const type = value.type?.value;
    if (type?.case === "tensorType" && type.value.shape !== undefined) {
      ranks.set(value.name, type.value.shape.dim.length);
    }
  }
  for (const [name, value] of stored) ranks.set(name, value.shape.length);
  return ranks;
}

/** Names that the metadata of a file of ours lists; null in files of others. */
function listedNames(proto: ModelProto, list: string): Set<string> | null {
  const entry = proto.metadataProps.find(({ key }) => key === list);
  if (entry === undefined) return null;
  let names: unknown;
  try {
    names = JSON.parse(entry.value);
  } catch {
    names = null;
  }
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    throw new ModelError(`metadata ${list} is not a JSON array of names`);
  }
  return new Set(names);
}

function parameterOf(
  name: string,
  weights: ReadonlyMap<string, DenseTensor>,
  declared: readonly Value[],
): Parameter {
  const weight = weights.get(name);
  if (weight !== undefined) return { name, dtype: weight.dtype, shape: weight.shape };
  const value = declared.find((input) => input.name === name);
  if (value === undefined) {
    throw new ModelError("the metadata lists a parameter that the graph does not have", {
      node: name,
    });
  }
  const shape = value.shape.map((dimension) => {
    if (typeof dimension === "number") return dimension;
    throw new ModelError(`a parameter of unknown size (${dimension})`, { node: name });
  });
  return { name, dtype: value.dtype, shape };
}
