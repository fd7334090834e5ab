/**
 * Plays a round of split learning through in which nobody has a share of the cell to keep to: whoever
 * sends at a moment divides it with the others who send then, evenly but for those whose own link is
 * narrower (max-min fairness, Bertsekas and Gallager, "Data networks", 1992, section 6.5.2).
 *
 * A device with one batch under way sends for less than half of a round and receives for less than
 * half, so fixed shares of both ways leave more than half of the cell unused. Without shares that is used;
 * but nobody is given more than an even part of the moment, and the network has to hold devices to it.
 */
import { present } from "../base/assert.ts";
import { Heap } from "../base/heap.ts";
import type { Capacity } from "./server-price.ts";
import type { SplitRun, SplitTimes } from "./split-forecast.ts";

/** What a device does next, when what it does now is over. */
type Step =
  | "forward"
  | "send"
  | "arrive"
  // Where the model's end is on the device.
  | "reach"
  | "turn"
  | "return"
  | "arrive back"
  | "receive"
  | "backward"
  | "finish"
  | "end";

interface Timer {
  readonly atMs: number;
  readonly device: number;
  readonly step: Step;
}

/**
 * When each device has sent its weights back; `rate` of a run is its own link's.
 * @param work batches of devices that do not have a number of their own
 */
export function playOpenRound(
  runs: readonly SplitRun[],
  work: number,
  cell: Capacity,
): SplitTimes[] {
  return new OpenRound(runs, work, cell).play();
}

class OpenRound {
  readonly #runs: readonly SplitRun[];
  readonly #timers = new Heap<Timer>((a, b) => a.atMs - b.atMs || a.device - b.device);
  readonly #up: Wire;
  readonly #down: Wire;
  readonly #freeAtMs: number[] = [];
  readonly #left: number[];
  readonly #waitMs: number[];
  readonly #doneMs: number[];

  constructor(runs: readonly SplitRun[], work: number, cell: Capacity) {
    this.#runs = runs;
    this.#up = new Wire(
      cell.up,
      runs.map(({ rate }) => rate.up),
    );
    this.#down = new Wire(
      cell.down,
      runs.map(({ rate }) => rate.down),
    );
    this.#left = runs.map(({ option }) => option.work ?? work);
    this.#waitMs = runs.map(() => 0);
    this.#doneMs = runs.map(() => 0);
  }

  play(): SplitTimes[] {
    for (const [device, { option }] of this.#runs.entries()) {
      this.#down.add(0, device, option.weightBytes, "forward");
    }
    for (;;) {
      const timerMs = this.#timers.peek()?.atMs ?? Number.POSITIVE_INFINITY;
      const [upMs, downMs] = [this.#up.nextMs(), this.#down.nextMs()];
      const atMs = Math.min(timerMs, upMs, downMs);
      if (atMs === Number.POSITIVE_INFINITY) break;
      if (atMs === timerMs) {
        const { device, step } = present(this.#timers.pop(), "a timer");
        this.#begin(device, step, atMs);
        continue;
      }
      const { device, step } = (atMs === upMs ? this.#up : this.#down).take(atMs);
      const delayMs = present(this.#runs[device], "a device").option.delayMs;
      this.#timers.push({ atMs: atMs + delayMs, device, step });
    }
    return this.#doneMs.map((roundMs, i) => ({ roundMs, waitMs: this.#waitMs[i] as number }));
  }

  #begin(device: number, step: Step, nowMs: number): void {
    const { option } = present(this.#runs[device], "a device");
    const { tail } = option;
    const after = (ms: number, next: Step): void =>
      this.#timers.push({ atMs: nowMs + ms, device, step: next });
    switch (step) {
      case "forward":
        if (option.serverMs === 0)
          after((this.#left[device] as number) * option.forwardMs, "finish");
        else after(option.forwardMs, "send");
        return;
      case "send":
        this.#up.add(nowMs, device, option.featureBytes, "arrive");
        return;
      case "arrive":
        if (tail === null) after(this.#served(device, option.stepMs, nowMs), "receive");
        else after(this.#served(device, tail.serverMs, nowMs), "reach");
        return;
      case "reach":
        this.#down.add(nowMs, device, present(tail, "an end").featureBytes, "turn");
        return;
      case "turn":
        after(present(tail, "an end").ms, "return");
        return;
      case "return":
        this.#up.add(nowMs, device, present(tail, "an end").gradientBytes, "arrive back");
        return;
      case "arrive back": {
        const backMs = option.stepMs - present(tail, "an end").serverMs;
        after(this.#served(device, backMs, nowMs), "receive");
        return;
      }
      case "receive":
        this.#down.add(nowMs, device, option.gradientBytes, "backward");
        return;
      case "backward": {
        const left = (this.#left[device] as number) - 1;
        this.#left[device] = left;
        after(option.backwardMs, left > 0 ? "forward" : "finish");
        return;
      }
      case "finish":
        this.#up.add(nowMs, device, option.homeBytes, "end");
        return;
      case "end":
        this.#doneMs[device] = nowMs;
    }
  }

  /** A batch holds its server for so long. @returns milliseconds until then, waiting included */
  #served(device: number, ms: number, nowMs: number): number {
    const { server } = present(this.#runs[device], "a device");
    const startsMs = Math.max(nowMs, this.#freeAtMs[server] ?? 0);
    this.#freeAtMs[server] = startsMs + ms;
    this.#waitMs[device] = (this.#waitMs[device] as number) + startsMs - nowMs;
    return startsMs - nowMs + ms;
  }
}

interface Transfer {
  readonly device: number;
  readonly step: Step;
  left: number;
  rate: number;
}

/** One way of the cell, and what is on it. */
class Wire {
  readonly #capacity: number;
  readonly #ceilings: readonly number[];
  #active: Transfer[] = [];
  #nowMs = 0;
  #nextMs = Number.POSITIVE_INFINITY;

  constructor(capacity: number, ceilings: readonly number[]) {
    this.#capacity = capacity;
    this.#ceilings = ceilings;
  }

  /** When the first of the transfers that are under way is done. */
  nextMs(): number {
    return this.#nextMs;
  }

  add(nowMs: number, device: number, bytes: number, step: Step): void {
    this.#advance(nowMs);
    const transfer = { device, step, left: bytes, rate: 0 };
    const ceiling = this.#ceilings[device] as number;
    const at = this.#active.findIndex((one) => (this.#ceilings[one.device] as number) > ceiling);
    // Narrow links first: they leave the rest to others.
    this.#active.splice(at < 0 ? this.#active.length : at, 0, transfer);
    this.#share();
  }

  /** Takes a transfer off that is done at a time. */
  take(nowMs: number): Transfer {
    this.#advance(nowMs);
    let first = 0;
    for (const [i, { left, rate }] of this.#active.entries()) {
      const least = present(this.#active[first], "a transfer");
      if (left / rate < least.left / least.rate) first = i;
    }
    const [done] = this.#active.splice(first, 1);
    this.#share();
    return present(done, "a transfer that is done");
  }

  #advance(nowMs: number): void {
    const ms = nowMs - this.#nowMs;
    this.#nowMs = nowMs;
    for (const one of this.#active) {
      one.left = one.rate === Number.POSITIVE_INFINITY ? 0 : Math.max(0, one.left - one.rate * ms);
    }
  }

  #share(): void {
    let capacity = this.#capacity;
    let sharing = this.#active.length;
    this.#nextMs = Number.POSITIVE_INFINITY;
    for (const one of this.#active) {
      one.rate = Math.min(capacity / sharing, this.#ceilings[one.device] as number);
      if (capacity < Number.POSITIVE_INFINITY) capacity -= one.rate;
      sharing--;
      this.#nextMs = Math.min(this.#nextMs, this.#nowMs + one.left / one.rate);
    }
  }
}
