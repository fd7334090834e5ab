/** What a codec is. */
import type { Tensor, TensorType } from "../base/tensor.ts";

/** One way of encoding a float32 tensor. Tensors without values stay without values. */
export interface Codec {
  /** Types of the tensors that {@link encode} yields for a tensor of this type, in order. */
  wire(type: TensorType): readonly TensorType[];
  /**
   * The parts of a tensor.
   * @param seed names the drawing of a codec that rounds at random: equal seeds give equal parts.
   *   The others do without
   */
  encode(value: Tensor, seed?: number): readonly Tensor[];
  /** Rebuilds a tensor of type `type` from parts that have the types of {@link wire}, and are sound. */
  decode(parts: readonly Tensor[], type: TensorType): Tensor;
  /** Whether parts of the right types hold what {@link decode} can read; any do where it is absent. */
  isSound?(parts: readonly Tensor[], type: TensorType): boolean;
}
