/** Noise for dropout, sampled layers and codecs that round at random: the same on every engine, and in every replay. */
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

/** Names what crosses a border: equal crossings are rounded equally. */
export interface Crossing {
  readonly seed: number;
  readonly chain: string;
  /** The stage before the border. */
  readonly border: number;
  readonly way: "up" | "down";
  /** Batches of the chain before this one. */
  readonly step: number;
}

/** The seed with which the tensor at a place of the border is encoded. */
export const roundingSeed = ({ seed, chain, border, way, step }: Crossing, place: number): number =>
  seed ^ hash32(`rounding ${chain} ${border} ${way} ${step} ${place}`);
