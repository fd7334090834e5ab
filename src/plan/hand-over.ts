/**
 * When a link will be too slow to be of use, by the trend of its measured rate: the least-squares line
 * through the last samples (Draper and Smith, "Applied Regression Analysis", 3rd ed., 1998, chapter 1),
 * followed to where it meets the least useful rate.
 *
 * Rates are noisy, and a false alarm costs a move. So the slope counts only where it is clearly below
 * zero: by more than five of its standard errors, s / sqrt(sum (t - mean t)^2), where s is how far
 * samples lie from the line. Normal noise around a flat rate passes that three times in ten thousand with
 * a dozen samples (Student's t with ten degrees of freedom, one side), and then mostly with a far date.
 */
import { mean } from "../base/statistics.ts";

/** A measured rate and when it was measured. */
export interface RateSample {
  readonly atMs: number;
  readonly bytesPerMs: number;
}

/** Samples that a trend is read from. */
export const samplesMax = 12;
/** Fewer tell nothing. */
const samplesMin = 5;
/** Standard errors of the slope below zero. */
const clearly = 5;
/** A date further off than the samples go back, this many times, is a guess. */
const horizon = 2;

/**
 * Milliseconds from the last sample until the rate falls below `usefulBytesPerMs`, 0 where the line is below
 * it already; null where the trend does not say that it will.
 *
 * @param samples in the order of their times
 */
export function handOverMs(
  samples: readonly RateSample[],
  usefulBytesPerMs: number,
): number | null {
  const last = samples.slice(-samplesMax);
  const end = last.at(-1);
  const start = last[0];
  if (end === undefined || start === undefined || last.length < samplesMin) return null;
  const meanMs = mean(last.map(({ atMs }) => atMs));
  const meanRate = mean(last.map(({ bytesPerMs }) => bytesPerMs));
  let [spread, together] = [0, 0];
  for (const { atMs, bytesPerMs } of last) {
    spread += (atMs - meanMs) ** 2;
    together += (atMs - meanMs) * (bytesPerMs - meanRate);
  }
  if (spread === 0) return null;
  const slope = together / spread;
  let squares = 0;
  for (const { atMs, bytesPerMs } of last) {
    squares += (bytesPerMs - meanRate - slope * (atMs - meanMs)) ** 2;
  }
  const error = Math.sqrt(squares / (last.length - 2) / spread);
  if (!(slope < 0 && slope < -clearly * error)) return null;
  const rateNow = meanRate + slope * (end.atMs - meanMs);
  const untilMs = Math.max(0, (usefulBytesPerMs - rateNow) / slope);
  return untilMs <= horizon * (end.atMs - start.atMs) ? untilMs : null;
}
