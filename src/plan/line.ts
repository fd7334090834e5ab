/**
 * Two nodes and the link between them played batch by batch. The formula for a window's period takes it that batches
 * come in an even flow; but a device that goes forward and back in turns lets them bunch up, and then some part waits
 * at times although there are enough of them on the average. How many it takes until nothing waits follows
 * from no figure but the play itself, which is short.
 */

/** What a batch takes, part by part, in milliseconds. */
export interface LineTimes {
  readonly forwardMs: number;
  readonly backwardMs: number;
  readonly upMs: number;
  readonly serverMs: number;
  readonly downMs: number;
  /** One-way. */
  readonly delayMs: number;
}

/** Batches that are played, and those at the start that do not count. */
const [played, skipped] = [90, 30];

/**
 * Time from batch to batch, once the line is full. The device takes gradients before new batches, as workers do;
 * links and server take what comes in its order.
 */
export function linePeriodMs(times: LineTimes, window: number): number {
  const { forwardMs, backwardMs, upMs, serverMs, downMs, delayMs } = times;
  /** When each batch's gradient is back. */
  const backMs: number[] = [];
  let [nowMs, upFreeMs, serverFreeMs, downFreeMs] = [0, 0, 0, 0];
  let [done, fromMs] = [0, 0];
  while (done < played) {
    const gradientMs = backMs[done] ?? Number.POSITIVE_INFINITY;
    const mayBegin = backMs.length < played && backMs.length - done <= window;
    if (gradientMs <= nowMs || !mayBegin) {
      nowMs = Math.max(nowMs, gradientMs) + backwardMs;
      if (++done === skipped) fromMs = nowMs;
      continue;
    }
    nowMs += forwardMs;
    upFreeMs = Math.max(nowMs, upFreeMs) + upMs;
    serverFreeMs = Math.max(upFreeMs + delayMs, serverFreeMs) + serverMs;
    downFreeMs = Math.max(serverFreeMs, downFreeMs) + downMs;
    backMs.push(downFreeMs + delayMs);
  }
  return (nowMs - fromMs) / (played - skipped);
}

/** A larger window has to save this share of a period: weights get staler with it. */
const gainMin = 0.01;
/** Windows that are tried beyond the first. */
const trials = 6;

/** The smallest window from one on, and at most another one, than which larger ones are hardly any faster. */
export function playedWindow(times: LineTimes, from: number, most: number): number {
  const periods: number[] = [];
  for (let window = from; window <= Math.min(most, from + trials); window++) {
    periods.push(linePeriodMs(times, window));
  }
  const leastMs = Math.min(...periods);
  return (
    from +
    Math.max(
      0,
      periods.findIndex((ms) => ms <= leastMs * (1 + gainMin)),
    )
  );
}
