/** Where an axis has its numbers: round steps, as many as there is room for. */

const clockSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** The smallest step of 1, 2 or 5 times a power of ten that makes at most `most` parts of a range. */
function roundStep(range: number, most: number): number {
  const rough = range / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  return (
    [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= rough * (1 - 1e-9)) ?? rough
  );
}

/** A step in seconds that a clock has; beyond hours, whole hours in round numbers. */
const clockStep = (range: number, most: number): number =>
  clockSteps.find((step) => range / step <= most) ?? 3600 * roundStep(range / 3600, most);

/** What numbers stand on an axis. */
export type TickKind = "number" | "count" | "clock";

/**
 * Places of the numbers between `min` and `max`, at most `most` + 1 of them.
 * @param kind counts get whole numbers only, clocks steps of seconds, minutes, hours
 */
export function ticksOf(min: number, max: number, most: number, kind: TickKind): number[] {
  const range = max - min;
  if (!(range > 0) || !Number.isFinite(range)) return [min];
  const step =
    kind === "clock"
      ? clockStep(range, most)
      : Math.max(roundStep(range, most), kind === "count" ? 1 : 0);
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => {
    // Steps such as 0.1 have no exact binary form; twelve digits hide that.
    return Number(((first + i) * step).toPrecision(12));
  });
}

/** Where a value stands between two bounds, in pixels from `from` to `to`. */
export const scaled = (
  value: number,
  [min, max]: readonly [number, number],
  [from, to]: readonly [number, number],
): number => from + ((value - min) / (max - min)) * (to - from);

/** Index of the place nearest to `x` in rising places; -1 where there is none. */
export function nearest(places: readonly number[], x: number): number {
  let low = 0;
  let high = places.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((places[middle] ?? 0) <= x) low = middle;
    else high = middle;
  }
  if (high < 0) return -1;
  return x - (places[low] ?? 0) <= (places[high] ?? 0) - x ? low : high;
}
