/** Inputs of recorded cases: computed from a seed by integer arithmetic, as recording.py does. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
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

/** The entries of a recorded file. */
export const fixture = <T>(name: string): T[] =>
  JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url), "utf8"));

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

/** Fails naming the worst element when values are not those expected. */
export function expectClose(actual: DenseTensor, expected: ArrayLike<number>, what: string): void {
  expect(actual.data.length, `${what}: number of elements`).toBe(expected.length);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const allowed = 1e-4 * largest + 1e-6;
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [Number(actual.data[i]), expected[i] as number];
    // Written so that NaN fails.
    if (!(Math.abs(a - b) <= allowed)) {
      throw new Error(`${what}[${i}] is ${a}, PyTorch has ${b}; allowed difference ${allowed}`);
    }
  }
}
