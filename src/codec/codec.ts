/**
 * Codecs: how a tensor travels on a link. A codec turns one tensor into the
 * tensors that go on the wire (values, or codes and what they mean) and back.
 * Byte counts are exact and known from the type alone, so planners can ask.
 * `docs/codecs.md` says which one to use when.
 *
 * The codecs of this table remember nothing. Those that do are built from them, with a memory for
 * each end of a link: `link-codec.ts`.
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
import { affine } from "./affine.ts";
import type { Codec } from "./codec-type.ts";
import { topK } from "./top-k.ts";

/** The values as they are. */
const float32: Codec = {
  wire: (type) => [type],
  encode: (value) => [value],
  decode: (parts) => only(parts),
};

/** IEEE 754 binary16, rounded to nearest even: half the bytes, 11 bits of significand. */
const float16: Codec = {
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

const affine8 = affine({ bits: 8, rounding: "nearest" });

/** A codec without memory. */
export type CodecName =
  | "float32"
  | "float16"
  | "affine8"
  | "affine4"
  | "affine8-stochastic"
  | "affine4-stochastic"
  | "topk10"
  | "topk1";

/** Every codec without memory by name. A new one is an entry and its name; the contract suite runs over this table. */
export const codecs: { readonly [Name in CodecName]: Codec } = {
  float32,
  float16,
  affine8,
  affine4: affine({ bits: 4, rounding: "nearest" }),
  "affine8-stochastic": affine({ bits: 8, rounding: "stochastic" }),
  "affine4-stochastic": affine({ bits: 4, rounding: "stochastic" }),
  topk10: topK(1 / 10, affine8),
  topk1: topK(1 / 100, affine8),
};

export const codecNames = Object.keys(codecs) as CodecName[];

/** Bytes on the wire of one tensor of this type. */
export function wireBytes(codec: CodecName, type: TensorType): number {
  let bytes = 0;
  for (const part of codecs[codec].wire(type)) bytes += byteLength(part);
  return bytes;
}

/** Whether received parts have the types that the codec's wire form demands, and can be decoded. */
export function fitsWire(name: CodecName, parts: readonly Tensor[], type: TensorType): boolean {
  const codec = codecs[name];
  const expected = codec.wire(type);
  return (
    parts.length === expected.length &&
    expected.every((part, i) => sameType(part, parts[i] as Tensor)) &&
    (codec.isSound?.(parts, type) ?? true)
  );
}

function only(parts: readonly Tensor[]): Tensor {
  const [part] = parts;
  assert(part !== undefined && parts.length === 1, `one part expected, got ${parts.length}`);
  return part;
}
