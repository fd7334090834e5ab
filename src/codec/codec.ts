/**
 * Codecs: how a tensor travels on a link. A codec turns one tensor into the
 * tensors that go on the wire (values, and later scales or indices) and back.
 * Byte counts are exact and known from the type alone, so planners can ask.
 */
import { assert } from "../base/assert.ts";
import {
  byteLength,
  dense,
  hollow,
  sameType,
  type Tensor,
  type TensorType,
  tensor,
} from "../base/tensor.ts";

/** One way of encoding a float32 tensor. Tensors without values stay without values. */
export interface Codec {
  /** Types of the tensors that {@link encode} yields for a tensor of this type, in order. */
  wire(type: TensorType): readonly TensorType[];
  encode(value: Tensor): readonly Tensor[];
  /** Rebuilds a tensor of type `type` from parts that have the types of {@link wire}. */
  decode(parts: readonly Tensor[], type: TensorType): Tensor;
}

/** The values as they are. */
const float32Codec: Codec = {
  wire: (type) => [type],
  encode: (value) => [value],
  decode: (parts) => only(parts),
};

/** IEEE 754 binary16, rounded to nearest even: half the bytes, 11 bits of significand. */
const float16Codec: Codec = {
  wire: (type) => [{ dtype: "float16", shape: type.shape }],
  encode(value) {
    const type = { dtype: "float16", shape: value.shape } as const;
    if (value.data === null) return [hollow(type)];
    assert(value.dtype === "float32", `float16 codec encodes float32, got ${value.dtype}`);
    return [tensor("float16", value.shape, new Float16Array(dense(value).data as Float32Array))];
  },
  decode(parts, type) {
    const part = only(parts);
    if (part.data === null) return hollow(type);
    return tensor("float32", type.shape, new Float32Array(part.data as Float16Array));
  },
};

/** Every codec by name. A new one is one entry; the contract suite runs over this table. */
export const codecs = { float32: float32Codec, float16: float16Codec } as const satisfies Record<
  string,
  Codec
>;

export type CodecName = keyof typeof codecs;
export const codecNames = Object.keys(codecs) as CodecName[];

/** Bytes on the wire of one tensor of this type. */
export function wireBytes(codec: CodecName, type: TensorType): number {
  let bytes = 0;
  for (const part of codecs[codec].wire(type)) bytes += byteLength(part);
  return bytes;
}

/** Whether received parts have the types that the codec's wire form demands. */
export function fitsWire(codec: CodecName, parts: readonly Tensor[], type: TensorType): boolean {
  const expected = codecs[codec].wire(type);
  return (
    parts.length === expected.length &&
    expected.every((part, i) => sameType(part, parts[i] as Tensor))
  );
}

function only(parts: readonly Tensor[]): Tensor {
  const [part] = parts;
  assert(part !== undefined && parts.length === 1, `one part expected, got ${parts.length}`);
  return part;
}
