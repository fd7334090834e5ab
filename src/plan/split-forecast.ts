/**
 * Plays a round of split learning through: devices compute and send at their own pace, and queue at
 * their server, whose processor takes one batch at a time in the order in which they come. That is
 * what the joint choice relaxes, and what workers do; so it judges every planner's choice alike, and
 * a plan's forecast is the time that this gives (`npm run bench -- parallel-split` compares it with the
 * simulator, which passes every message).
 *
 * A round is closed: a device has one batch under way, so a queue is never longer than there are
 * devices. All else is deterministic, and an event each time that a batch reaches a server is enough.
 */
import { present } from "../base/assert.ts";
import { Heap } from "../base/heap.ts";
import { splitMs } from "./joint-choice.ts";
import type { Capacity } from "./server-price.ts";
import type { SplitOption } from "./split-option.ts";

/** A device's part in a round. */
export interface SplitRun {
  readonly option: SplitOption;
  readonly rate: Capacity;
  /** Position of its server. */
  readonly server: number;
}

/** How a device's round goes. */
export interface SplitTimes {
  readonly roundMs: number;
  /** Waiting for the server's processor, part of the round. */
  readonly waitMs: number;
}

/** A device's next batch at its server: one object for all of a round, of which there may be many. */
interface Arrival {
  atMs: number;
  readonly device: number;
  /** Whether it comes from the model's end, where that is on the device. */
  isBack: boolean;
}

/**
 * When each device has sent its weights back, in milliseconds from the start of the round.
 * @param work batches of devices that do not have a number of their own
 */
export function playRound(runs: readonly SplitRun[], work: number): SplitTimes[] {
  const arrivals = new Heap<Arrival>((a, b) => a.atMs - b.atMs || a.device - b.device);
  const freeAtMs: number[] = [];
  const left = runs.map(({ option }) => option.work ?? work);
  const waitMs = runs.map(() => 0);
  const cycles = runs.map(cycleOf);
  for (const [device, { option }] of runs.entries()) {
    const { beforeMs } = present(cycles[device], "a cycle");
    if (option.serverMs > 0) arrivals.push({ atMs: beforeMs, device, isBack: false });
  }
  for (let next = arrivals.pop(); next !== undefined; next = arrivals.pop()) {
    const { atMs, device } = next;
    const { option, server } = present(runs[device], "a device's part");
    const { stepMs, tail } = option;
    const cycle = present(cycles[device], "a cycle");
    const startsMs = Math.max(atMs, freeAtMs[server] ?? 0);
    const firstMs = tail?.serverMs ?? stepMs;
    const endsMs = startsMs + (next.isBack ? stepMs - firstMs : firstMs);
    freeAtMs[server] = endsMs;
    waitMs[device] = (waitMs[device] as number) + startsMs - atMs;
    if (tail !== null) {
      next.isBack = !next.isBack;
      if (next.isBack) {
        next.atMs = endsMs + cycle.tailMs;
        arrivals.push(next);
        continue;
      }
    }
    left[device] = (left[device] as number) - 1;
    if (left[device] === 0) continue;
    next.atMs = endsMs + cycle.betweenMs;
    arrivals.push(next);
  }
  return runs.map(({ option, rate }, i) => {
    const waited = waitMs[i] as number;
    return { roundMs: splitMs(option, rate) + waited, waitMs: waited };
  });
}

/** When a device's batches are not at the server. */
interface Cycle {
  /** From the start of the round to the first one. */
  readonly beforeMs: number;
  /** From a batch's last time there to the next batch. */
  readonly betweenMs: number;
  /** From a batch's first time there to its second, where the model's end is on the device. */
  readonly tailMs: number;
}

function cycleOf({ option, rate }: SplitRun): Cycle {
  const { forwardMs, backwardMs, delayMs, featureBytes, gradientBytes, weightBytes, tail } = option;
  const upMs = featureBytes / rate.up + delayMs;
  const tailMs =
    tail === null
      ? 0
      : tail.featureBytes / rate.down + tail.ms + tail.gradientBytes / rate.up + 2 * delayMs;
  return {
    tailMs,
    beforeMs: weightBytes / rate.down + delayMs + forwardMs + upMs,
    betweenMs: gradientBytes / rate.down + delayMs + backwardMs + forwardMs + upMs,
  };
}

/** Time of the slowest device. */
export const slowestMs = (times: readonly SplitTimes[]): number =>
  times.reduce((most, { roundMs }) => Math.max(most, roundMs), 0);
