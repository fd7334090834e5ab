/** Noise for dropout and sampled layers: the same on every engine, and in every replay. */
import { hash32, random } from "../base/random.ts";
import { elementCount, type Tensor, type TensorType, tensor } from "../base/tensor.ts";

/** Names a drawing of noise: equal keys give equal numbers. */
export interface NoiseKey {
  readonly seed: number;
  /** The node whose batch it is for. */
  readonly node: string;
  /** Batches that the node has drawn before this one. */
  readonly step: number;
  /** The value in the model that takes it. */
  readonly of: string;
}

/** Numbers of this type, uniform from 0 up to 1, 1 excluded; 24 random bits fill a float32. */
export function drawNoise(type: TensorType, { seed, node, step, of }: NoiseKey): Tensor {
  const stream = random(seed ^ hash32(`noise ${node} ${step} ${of}`));
  const values = new Float32Array(elementCount(type.shape));
  for (let i = 0; i < values.length; i++) values[i] = (stream.uint32() >>> 8) / 0x100_0000;
  return tensor("float32", type.shape, values);
}
