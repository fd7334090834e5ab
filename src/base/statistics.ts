/** Small statistics that several layers need. */

/** Middle value; the lower of the two where the count is even; 0 for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}

/** The sum, 0 for none. */
export function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The arithmetic mean; NaN for none. */
export const mean = (values: readonly number[]): number => sum(values) / values.length;
