/**
 * How often to measure while training runs: often while forecasts are wrong, seldom while they hold
 * (EdgeMove, WWW 2023, probes adaptively; the constants are ours, since its abstract has none).
 *
 *   q = |measured - predicted| / predicted
 *   q > 0.15                     D = max(1 s, D / 2)
 *   q < 0.05, three times        D = min(60 s, 2 D)
 *
 * Batches measure for nothing. Payloads that are sent only to measure take no more than 2 % of a
 * link's time: a payload that took t is followed by another 50 t later at the earliest.
 */

/** What to remember from one measurement to the next. */
export interface ProbeState {
  /** D: milliseconds between two probes. */
  readonly periodMs: number;
  /** Good forecasts in a row. */
  readonly good: number;
}

export interface ProbeDecision {
  readonly state: ProbeState;
  readonly reason: string;
}

const periodMsMin = 1000;
const periodMsMax = 60_000;
const badError = 0.15;
const goodError = 0.05;
const goodInRow = 3;

/** Most of a link's time that payloads sent only to measure may take. */
export const probeShareMax = 0.02;

export const firstProbeState: ProbeState = { periodMs: periodMsMin, good: 0 };

/**
 * The period after one more measurement.
 * @param predictedMs above 0
 */
export function nextProbePeriod(
  { periodMs, good }: ProbeState,
  { measuredMs, predictedMs }: { readonly measuredMs: number; readonly predictedMs: number },
): ProbeDecision {
  const error = Math.abs(measuredMs - predictedMs) / predictedMs;
  const off = `the forecast was ${(100 * error).toFixed(0)} % off`;
  if (!(error <= badError)) {
    const shorter = Math.max(periodMsMin, periodMs / 2);
    return { state: { periodMs: shorter, good: 0 }, reason: `${off}: probe more often` };
  }
  if (error >= goodError) return { state: { periodMs, good: 0 }, reason: `${off}: go on so` };
  if (good + 1 < goodInRow) {
    return { state: { periodMs, good: good + 1 }, reason: `${off}: go on so` };
  }
  const longer = Math.min(periodMsMax, 2 * periodMs);
  return {
    state: { periodMs: longer, good: 0 },
    reason: `${off}, the ${goodInRow}rd time in a row: probe less often`,
  };
}

/**
 * When a payload may be sent again: after the period, and late enough that payloads keep to their
 * share of the link's time.
 * @param payloadMs how long the last one held the link
 * @returns milliseconds from the start of the last one
 */
export const payloadPauseMs = ({ periodMs }: ProbeState, payloadMs: number): number =>
  Math.max(periodMs, payloadMs / probeShareMax);
