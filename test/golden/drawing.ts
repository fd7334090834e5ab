/**
 * Inputs of recorded cases: computed from a seed by integer arithmetic, as recording.py does.
 * It needs no platform, so pages in browsers draw them too.
 */
import { type DenseTensor, elementCount, float32, tensor } from "../../src/base/tensor.ts";

/** Values drawn by integer arithmetic: (hash mod levels, centred) * scale + shift. */
export interface Drawn {
  readonly shape: readonly number[];
  readonly seed: number;
  readonly levels: number;
  readonly scale: number;
  readonly shift: number;
  readonly dtype?: "bool";
}

/** A well-mixed 32-bit integer; the same as `hash32` in recording.py. */
export function hash(index: number, seed: number): number {
  let x = Math.imul(index, 0x9e3779b1) + Math.imul(seed, 0x85ebca6b) + 0x27d4eb2f;
  x = Math.imul(x ^ ((x | 0) >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  return (x ^ (x >>> 15)) >>> 0;
}

export function draw({ shape, seed, levels, scale, shift, dtype }: Drawn): DenseTensor {
  const half = Math.floor(levels / 2);
  const values = new Float32Array(elementCount(shape));
  for (let i = 0; i < values.length; i++) {
    values[i] = ((hash(i, seed) % levels) - half) * scale + shift;
  }
  return dtype === "bool"
    ? tensor("bool", shape, Uint8Array.from(values))
    : float32(shape, values);
}

/** Class numbers. */
export const labelsOf = (values: readonly number[]): DenseTensor =>
  tensor("int64", [values.length], BigInt64Array.from(values, BigInt));
