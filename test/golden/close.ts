/** What near enough to PyTorch's values in float64 is. */
import { expect } from "vitest";
import type { DenseTensor } from "../../src/base/tensor.ts";

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
