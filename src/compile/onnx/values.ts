/**
 * Tensors, attributes and types, to and from their ONNX messages. Pure
 * translation, piece by piece; `read.ts` and `write.ts` put the pieces together.
 *
 * Messages come from bytes of unknown origin, so everything is checked here
 * before it is allocated: a tensor's dimensions must account for exactly the
 * values that the file holds.
 */
import { create } from "@bufbuild/protobuf";
import { ModelError } from "../../base/errors.ts";
import {
  bytesOf,
  bytesPerElement,
  type DenseTensor,
  type DType,
  elementCount,
  formatType,
  type TensorData,
  tensor,
  tensorOfBytes,
} from "../../base/tensor.ts";
import type { Attribute, Dimension } from "../graph.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProto,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./onnx_pb.js";

const dataTypes: { readonly [D in DType]: DataType } = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  float16: DataType.FLOAT16,
  int64: DataType.INT64,
  int32: DataType.INT32,
  int8: DataType.INT8,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};

const dtypes: ReadonlyMap<number, DType> = new Map(
  Object.entries(dataTypes).map(([dtype, code]) => [code, dtype as DType]),
);

/**
 * Attributes that ONNX types as float, or list of floats. A JavaScript number does not tell
 * 1 from 1.0, but a runtime refuses an integer here; ONNX uses each name with one type only.
 */
const floatAttributes: ReadonlySet<string> = new Set([
  "alpha",
  "beta",
  "bias",
  "cubic_coeff_a",
  "epsilon",
  "extrapolation_value",
  "gamma",
  "high",
  "lambd",
  "low",
  "mean",
  "momentum",
  "ratio",
  "scale",
  "softcap",
  "spatial_scale",
  "value_float",
  "value_floats",
]);

/**
 * The element type behind an ONNX code.
 * @throws ModelError for a code that is unknown or that Edgeloom has no tensors of.
 */
export function dtypeOfOnnx(code: number, node: string): DType {
  const dtype = dtypes.get(code);
  if (dtype === undefined) {
    const name = DataType[code] ?? `code ${code}`;
    throw new ModelError(
      `element type ${name} is not supported; supported: ${Object.keys(dataTypes).join(", ")}`,
      { node },
    );
  }
  return dtype;
}

/** A named tensor message that views the tensor's bytes. */
export const encodeTensor = (name: string, value: DenseTensor): TensorProto =>
  create(TensorProtoSchema, {
    name,
    dims: value.shape.map(BigInt),
    dataType: dataTypes[value.dtype],
    rawData: bytesOf(value),
  });

/**
 * A tensor that owns its memory, so that it can be updated in place or transferred.
 * @throws ModelError when values lie in another file, or do not fit the dimensions.
 */
export function decodeTensor(proto: TensorProto, node: string): DenseTensor {
  if (proto.dataLocation === DataLocation.EXTERNAL || proto.externalData.length > 0) {
    const file = proto.externalData.find((entry) => entry.key === "location")?.value ?? "?";
    throw new ModelError(
      `its values lie in another file ("${file}"); save the model as one file without external data`,
      { node },
    );
  }
  const dtype = dtypeOfOnnx(proto.dataType, node);
  const shape = proto.dims.map((dimension) => {
    if (dimension < 0n || dimension > 0x7fff_ffffn) {
      throw new ModelError(`dimension ${dimension} of a stored tensor; allowed: 0 to 2^31-1`, {
        node,
      });
    }
    return Number(dimension);
  });
  const type = { dtype, shape };
  const count = elementCount(shape);
  if (proto.rawData !== undefined) {
    const expected = count * bytesPerElement(dtype);
    if (proto.rawData.byteLength !== expected) {
      throw new ModelError(
        `${formatType(type)} needs ${expected} bytes, the file holds ${proto.rawData.byteLength}`,
        { node },
      );
    }
    return tensorOfBytes(type, new Uint8Array(proto.rawData));
  }
  const values = typedValues(proto, dtype);
  if (values.length !== count) {
    throw new ModelError(
      `${formatType(type)} needs ${count} values, the file holds ${values.length}`,
      { node },
    );
  }
  return tensor(dtype, shape, values);
}

/** The values of a tensor that is stored in the typed lists instead of raw bytes. */
function typedValues(proto: TensorProto, dtype: DType): TensorData {
  switch (dtype) {
    case "float32":
      return Float32Array.from(proto.floatData);
    case "float64":
      return Float64Array.from(proto.doubleData);
    case "float16":
      return new Float16Array(Uint16Array.from(proto.int32Data).buffer);
    case "int64":
      return BigInt64Array.from(proto.int64Data);
    case "int32":
      return Int32Array.from(proto.int32Data);
    case "int8":
      return Int8Array.from(proto.int32Data);
    case "uint8":
      return Uint8Array.from(proto.int32Data);
    case "bool":
      return Uint8Array.from(proto.int32Data, (value) => (value === 0 ? 0 : 1));
  }
}

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/**
 * An attribute as its message. Numbers become floats or integers by the attribute's name.
 * @throws ModelError for a number that is not an integer where ONNX wants one.
 */
export function encodeAttribute(name: string, value: Attribute, node: string): AttributeProto {
  if (typeof value === "string") {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: utf8.encoder.encode(value),
    });
  }
  const isFloat = floatAttributes.has(name);
  const integer = (number: number): bigint => {
    if (Number.isSafeInteger(number)) return BigInt(number);
    throw new ModelError(`attribute ${name}: got ${number}; allowed: integers`, { node });
  };
  if (typeof value === "number") {
    return isFloat
      ? create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value })
      : create(AttributeProtoSchema, { name, type: AttributeType.INT, i: integer(value) });
  }
  if (!Array.isArray(value)) {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.TENSOR,
      t: encodeTensor("", value as DenseTensor),
    });
  }
  if (value.length > 0 && typeof value[0] === "string") {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRINGS,
      strings: value.map((text) => utf8.encoder.encode(text)),
    });
  }
  return isFloat
    ? create(AttributeProtoSchema, { name, type: AttributeType.FLOATS, floats: value })
    : create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(integer) });
}

/**
 * An attribute's value. Integers beyond 2^53, which files use only to mean "to the end",
 * are drawn in to the largest safe integer.
 * @throws ModelError for kinds that no operator of ours takes. Graphs are for {@link graphOf}.
 */
export function decodeAttribute(
  proto: AttributeProto,
  at: { node: string; operator: string },
): Attribute {
  if (proto.refAttrName !== "") {
    throw new ModelError(`attribute ${proto.name} refers to a function's attribute`, at);
  }
  switch (kindOf(proto)) {
    case AttributeType.FLOAT:
      return shortest(proto.f ?? 0);
    case AttributeType.INT:
      return safeInteger(proto.i ?? 0n);
    case AttributeType.STRING:
      return utf8.decoder.decode(proto.s ?? new Uint8Array());
    case AttributeType.TENSOR:
      if (proto.t === undefined) break;
      return decodeTensor(proto.t, at.node);
    case AttributeType.FLOATS:
      return proto.floats.map(shortest);
    case AttributeType.INTS:
      return proto.ints.map(safeInteger);
    case AttributeType.STRINGS:
      return proto.strings.map((bytes) => utf8.decoder.decode(bytes));
  }
  const kind = AttributeType[proto.type] ?? `code ${proto.type}`;
  throw new ModelError(
    `attribute ${proto.name} of kind ${kind}; allowed: numbers, strings, their lists, a tensor`,
    at,
  );
}

/** The graph in an attribute, or null where it is of another kind. */
export const graphOf = (proto: AttributeProto): GraphProto | null =>
  kindOf(proto) === AttributeType.GRAPH ? (proto.g ?? null) : null;

/** The kind; very old writers leave it out, then the field that is filled tells. */
function kindOf(proto: AttributeProto): AttributeType {
  if (proto.type !== AttributeType.UNDEFINED) return proto.type;
  if (proto.f !== undefined) return AttributeType.FLOAT;
  if (proto.i !== undefined) return AttributeType.INT;
  if (proto.s !== undefined) return AttributeType.STRING;
  if (proto.t !== undefined) return AttributeType.TENSOR;
  if (proto.g !== undefined) return AttributeType.GRAPH;
  if (proto.floats.length > 0) return AttributeType.FLOATS;
  if (proto.ints.length > 0) return AttributeType.INTS;
  if (proto.strings.length > 0) return AttributeType.STRINGS;
  return AttributeType.UNDEFINED;
}

/**
 * The shortest decimal that rounds to the same float32: what was written as 1e-5
 * reads as 1e-5 and not as 0.000009999999747.
 */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

const largest = BigInt(Number.MAX_SAFE_INTEGER);

function safeInteger(value: bigint): number {
  if (value > largest) return Number.MAX_SAFE_INTEGER;
  if (value < -largest) return Number.MIN_SAFE_INTEGER;
  return Number(value);
}

/** A typed value of a graph's border; names of dimensions stand for sizes bound later. */
export const encodeValue = (
  name: string,
  dtype: DType,
  shape: readonly Dimension[],
): ValueInfoProto =>
  create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: "tensorType",
        value: {
          elemType: dataTypes[dtype],
          shape: {
            dim: shape.map((dimension) => ({
              value:
                typeof dimension === "number"
                  ? { case: "dimValue" as const, value: BigInt(dimension) }
                  : { case: "dimParam" as const, value: dimension },
            })),
          },
        },
      },
    },
  });
