/**
 * How what a round has trained travels home: as it is, or as its difference from what both ends have had
 * since the round began, in a codec of the table. Differences are small and lie around zero, so 8
 * bits say as much of them as they do of gradients (Alistarh et al., "QSGD", 2017, code those; DoubleSqueeze,
 * Tang et al., 2019, codes both ways of a parameter server).
 *
 * What comes of it is the base and the decoded difference, added in float32: both ends compute it, and
 * both go on from it, so they have the same bits and nothing has to be remembered of what was lost. The
 * next difference begins where this one ended; rounding to nearest loses as often on one side as on
 * the other.
 */
import { byteLength, dense, hollow, type Tensor, type TensorType, tensor } from "../base/tensor.ts";
import { type CodecName, codecs, fitsWire, wireBytes } from "./codec.ts";

/** Codecs that bring every value of a difference home; `float32` stands for values as they are. */
export type UpdateCodecName = Exclude<CodecName, "topk10" | "topk1">;

/** Every codec of updates by name. What top-k leaves out would be lost for good. */
export const updateCodecNames: readonly UpdateCodecName[] = [
  "float32",
  "float16",
  "affine8",
  "affine4",
  "affine8-stochastic",
  "affine4-stochastic",
];

/** Whether tensors of this type travel as differences: where that is smaller, which single numbers are not. */
export const isUpdateCoded = (codec: UpdateCodecName, type: TensorType): boolean =>
  codec !== "float32" && type.dtype === "float32" && wireBytes(codec, type) < byteLength(type);

/** The parts of a tensor's difference from its base, of the same type. @param seed as `Codec.encode` */
export function encodeUpdate(
  codec: UpdateCodecName,
  { value, base }: { readonly value: Tensor; readonly base: Tensor },
  seed: number,
): readonly Tensor[] {
  if (value.data === null || base.data === null) return codecs[codec].encode(hollow(value));
  const difference = (dense(value).data as Float32Array).slice();
  const from = dense(base).data as Float32Array;
  for (let i = 0; i < difference.length; i++) (difference[i] as number) -= from[i] as number;
  return codecs[codec].encode(tensor("float32", value.shape, difference), seed);
}

/**
 * The tensor that an update makes of its base.
 * @returns null where the parts are not what the codec makes of a tensor of this type
 */
export function applyUpdate(
  codec: UpdateCodecName,
  base: Tensor,
  parts: readonly Tensor[],
): Tensor | null {
  if (!fitsWire(codec, parts, base)) return null;
  const come = codecs[codec].decode(parts, base);
  if (come.data === null || base.data === null) return hollow(base);
  // Decoded values are nobody else's, so they may become the sums.
  const sums = come.data as Float32Array;
  const from = dense(base).data as Float32Array;
  for (let i = 0; i < sums.length; i++) (sums[i] as number) += from[i] as number;
  return tensor("float32", base.shape, sums);
}
