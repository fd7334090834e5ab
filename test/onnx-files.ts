/** ONNX files that tests write by hand, for forms that our writer never emits. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { ModelError } from "../src/base/errors.ts";
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
} from "../src/compile/onnx/onnx_pb.js";
import { readOnnx } from "../src/compile/onnx/read.ts";

export type Graphlike = MessageInitShape<typeof GraphProtoSchema>;
type Extra = Pick<Partial<ModelProto>, "functions" | "metadataProps">;
export type Attributelike = MessageInitShape<typeof AttributeProtoSchema>;

/** A minimal file around the given graph, for forms that our writer never emits. */
export const fileOf = (graph: Graphlike, opset = 17, extra: Extra = {}): Uint8Array =>
  toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [create(OperatorSetIdProtoSchema, { version: BigInt(opset) })],
      graph: create(GraphProtoSchema, graph),
      ...extra,
    }),
  );

export const image = (name: string, dims: (number | string)[]) => ({
  name,
  type: {
    value: {
      case: "tensorType" as const,
      value: {
        elemType: DataType.FLOAT,
        shape: {
          dim: dims.map((dimension) => ({
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

export const floats = (name: string, dims: number[], values: number[]) => ({
  name,
  dataType: DataType.FLOAT,
  dims: dims.map(BigInt),
  floatData: values,
});

export const ints = (name: string, values: number[]) => ({
  name,
  type: AttributeType.INTS,
  ints: values.map(BigInt),
});

/** Why a file is not read. */
export const refusal = (bytes: Uint8Array): ModelError => {
  try {
    readOnnx(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ModelError);
    return error as ModelError;
  }
  throw new Error("the file was not refused");
};
