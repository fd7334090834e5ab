/**
 * The least shares with which the devices of one server are done by a given time, with no more work
 * for its processor than it has time for: a multiple-choice knapsack, of which each device takes one
 * option.
 *
 *   minimise sum share_io   with   sum S_io <= capacity
 *
 * Without the capacity each device takes its least share, and mostly that is all. Where the server
 * would be too busy, its linear relaxation is solved (Sinha and Zoltners, "The multiple-choice
 * knapsack problem", Operations Research 27(3), 1979): of each device only the lower convex hull of
 * its options in (S, share) matters. A move along a hull costs so many shares for a millisecond of the
 * server; all moves up to a price are taken, and the least price that keeps the capacity is looked
 * for. Its Lagrangian is a lower bound, and whole picks differ from it by one device's move at
 * most. Where that matters, branch and bound goes through what the bound leaves open, where there
 * are few devices.
 *
 * This is asked dozens of times for one plan, so options lie flat in arrays, device after device, by
 * falling S; nothing is allocated for an option that is not picked.
 */
import { present } from "../base/assert.ts";

/** One way to train for one device, in a round. */
export interface JointOption {
  /** A: milliseconds that do not depend on bandwidth. */
  readonly fixedMs: number;
  /** U and D. */
  readonly upBytes: number;
  readonly downBytes: number;
  /** S: milliseconds for which it holds its server's processor; 0 where it needs none. */
  readonly serverMs: number;
}

/** Bytes per millisecond each way, above 0; Infinity where nothing limits it. */
export interface Capacity {
  readonly up: number;
  readonly down: number;
}

export interface PricedDevice {
  /** At least one. */
  readonly options: readonly JointOption[];
  /** What its own link carries. */
  readonly link: Capacity;
  /** Milliseconds of waiting that come to what needs the server. */
  readonly waitMs: number;
}

/** What a device takes. */
export interface Picked {
  readonly option: number;
  readonly share: number;
  readonly serverMs: number;
  /** Whether the server's capacity had a say. */
  readonly isPriced: boolean;
}

/** What the devices of a server have to keep to. */
export interface Bounds {
  /** When all have to be done. */
  readonly roundMs: number;
  /** Milliseconds of the server's processor. */
  readonly capacityMs: number;
  /** Most that shares may come to, together. */
  readonly most: number;
}

/** Moves along hulls: their prices, and what each saves of the server's time. */
interface Moves {
  readonly prices: Float64Array;
  readonly savedMs: Float64Array;
}

/** Devices and nodes that branch and bound looks at. Of more devices, one that takes another option is no matter. */
const branchedMax = 24;
const nodesMax = 20_000;

/** The devices of one server. */
export class PricedGroup {
  readonly #count: number;
  /** What the device's own link carries each way, as a share. */
  readonly #upShare: Float64Array;
  readonly #downShare: Float64Array;
  /** All options, by falling work for the server; those of device i from #first[i] on. */
  readonly #first: Int32Array;
  readonly #option: Int32Array;
  readonly #fixedMs: Float64Array;
  /** Milliseconds of transfer at a share of 1. */
  readonly #upMs: Float64Array;
  readonly #downMs: Float64Array;
  readonly #workMs: Float64Array;
  /** Options that are best at some time when the server's work does not matter. */
  readonly #lean: readonly Int32Array[];
  /** For the time that is asked for: the least share of each option. */
  readonly #share: Float64Array;
  /** Corners of hulls, as positions among the options; those of device i from #first[i], so many. */
  readonly #corners: Int32Array;
  readonly #cornerCount: Int32Array;
  /** The price of the move to a corner, in shares for a millisecond of the server. */
  readonly #price: Float64Array;

  /** @param whole what a share is a share of */
  constructor(devices: readonly PricedDevice[], whole: Capacity) {
    const total = devices.reduce((sum, { options }) => sum + options.length, 0);
    const floats = (): Float64Array => new Float64Array(total);
    this.#count = devices.length;
    this.#upShare = Float64Array.from(devices, ({ link }) => link.up / whole.up);
    this.#downShare = Float64Array.from(devices, ({ link }) => link.down / whole.down);
    this.#first = new Int32Array(devices.length + 1);
    this.#option = new Int32Array(total);
    [this.#fixedMs, this.#upMs, this.#downMs] = [floats(), floats(), floats()];
    [this.#workMs, this.#share, this.#price] = [floats(), floats(), floats()];
    this.#corners = new Int32Array(total);
    this.#cornerCount = new Int32Array(devices.length);
    let at = 0;
    for (const [i, { options, waitMs }] of devices.entries()) {
      const negativeWork = (o: number): number => -present(options[o], "an option").serverMs;
      // By falling work for the server.
      for (const o of byRisingKey(options.length, negativeWork)) {
        const { fixedMs, upBytes, downBytes, serverMs } = present(options[o], "an option");
        this.#option[at] = o;
        this.#fixedMs[at] = fixedMs + (serverMs > 0 ? waitMs : 0);
        this.#upMs[at] = upBytes / whole.up;
        this.#downMs[at] = downBytes / whole.down;
        this.#workMs[at++] = serverMs;
      }
      this.#first[i + 1] = at;
    }
    this.#lean = devices.map((_, i) => this.#leanOf(i));
  }

  /**
   * Picks an option for every device.
   * @returns null where none, or none that was found, keeps within the bounds
   */
  leastShares(bounds: Bounds): Picked[] | null {
    const picks: number[] = [];
    let [share, serverMs] = [0, 0];
    for (let i = 0; i < this.#count; i++) {
      const lean = this.#lean[i] as Int32Array;
      let best = -1;
      let least = Number.POSITIVE_INFINITY;
      for (let k = 0; k < lean.length; k++) {
        const at = lean[k] as number;
        const own = this.#shareFor(i, at, bounds.roundMs);
        this.#share[at] = own;
        if (own >= least) continue;
        best = at;
        least = own;
      }
      share += least;
      // A price on the server's time only makes shares larger.
      if (share > bounds.most || best < 0) return null;
      picks.push(best);
      serverMs += this.#workMs[best] as number;
    }
    return serverMs <= bounds.capacityMs ? this.#picked(picks, false) : this.#priced(bounds);
  }

  /**
   * The least share with which an option is done in time; Infinity where none is enough. One share is for
   * both ways, but a device's own link may be narrower one way; then the other has to make up for it.
   */
  #shareFor(device: number, at: number, roundMs: number): number {
    const leftMs = roundMs - (this.#fixedMs[at] as number);
    if (!(leftMs > 0)) return Number.POSITIVE_INFINITY;
    const upMs = this.#upMs[at] as number;
    const downMs = this.#downMs[at] as number;
    const up = this.#upShare[device] as number;
    const down = this.#downShare[device] as number;
    const share = (upMs + downMs) / leftMs;
    const narrow = Math.min(up, down);
    if (share <= narrow) return share;
    const wideMs = up < down ? downMs : upMs;
    const restMs = leftMs - (upMs + downMs - wideMs) / narrow;
    if (!(restMs > 0)) return Number.POSITIVE_INFINITY;
    const wide = wideMs / restMs;
    return wide <= Math.max(up, down) ? Math.max(wide, narrow) : Number.POSITIVE_INFINITY;
  }

  /** Options that no other one beats or equals both in time and in what travels. */
  #leanOf(device: number): Int32Array {
    const [from, to] = [this.#first[device] as number, this.#first[device + 1] as number];
    const [fixedMs, upMs, downMs] = [this.#fixedMs, this.#upMs, this.#downMs] as const;
    const kept: number[] = [];
    let [leastUpMs, leastDownMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const k of byRisingKey(to - from, (i) => fixedMs[from + i] as number)) {
      const at = from + k;
      const [up, down] = [upMs[at] as number, downMs[at] as number];
      // Mostly what takes longer sends less than all before it.
      const isLess = up < leastUpMs || down < leastDownMs;
      if (
        !isLess &&
        kept.some((own) => (upMs[own] as number) <= up && (downMs[own] as number) <= down)
      ) {
        continue;
      }
      kept.push(at);
      leastUpMs = Math.min(leastUpMs, up);
      leastDownMs = Math.min(leastDownMs, down);
    }
    return Int32Array.from(kept);
  }

  #priced({ roundMs, capacityMs, most }: Bounds): Picked[] | null {
    let busiestMs = 0;
    for (let i = 0; i < this.#count; i++) {
      for (let at = this.#first[i] as number; at < (this.#first[i + 1] as number); at++) {
        this.#share[at] = this.#shareFor(i, at, roundMs);
      }
      this.#cornerCount[i] = this.#hull(i);
      busiestMs += this.#workMs[this.#corners[this.#first[i] as number] as number] as number;
    }
    const prices = leastPrice(this.#moves(), busiestMs - capacityMs);
    if (prices === null) return null;
    const { low, high } = prices;
    const picks = this.#picksAt(high);
    const [share, serverMs] = [sumAt(this.#share, picks), sumAt(this.#workMs, picks)];
    if (share <= most) return this.#picked(picks, true);
    if (share + high * (serverMs - capacityMs) > most) return null;
    const filled = this.#filledUp(this.#picksAt(low), capacityMs);
    if (filled !== null && sumAt(this.#share, filled) <= most) return this.#picked(filled, true);
    const found = this.#count <= branchedMax ? this.#branch(capacityMs, most, high) : null;
    return found === null ? null : this.#picked(found, true);
  }

  /** Finds the corners of a device's hull, from its least share to its least work. @returns how many */
  #hull(device: number): number {
    const from = this.#first[device] as number;
    const to = this.#first[device + 1] as number;
    const share = this.#share;
    const work = this.#workMs;
    const corners = this.#corners;
    let count = 0;
    for (let at = from; at < to; at++) {
      const own = share[at] as number;
      if (own === Number.POSITIVE_INFINITY) continue;
      let last = corners[from + count - 1] as number;
      if (count > 0 && work[last] === work[at] && (share[last] as number) <= own) continue;
      while (count > 0 && (share[last] as number) >= own) {
        count--;
        last = corners[from + count - 1] as number;
      }
      while (count > 1) {
        // What the corner before was moved to for is known: its price.
        last = corners[from + count - 1] as number;
        if ((this.#price[last] as number) < this.#priceOf(last, at)) break;
        count--;
      }
      if (count > 0) this.#price[at] = this.#priceOf(corners[from + count - 1] as number, at);
      corners[from + count++] = at;
    }
    return count;
  }

  /** Shares that a move costs for each millisecond of the server that it saves. */
  #priceOf(a: number, b: number): number {
    const saved = (this.#workMs[a] as number) - (this.#workMs[b] as number);
    return ((this.#share[b] as number) - (this.#share[a] as number)) / saved;
  }

  /** Prices of all moves along hulls, and what they save. */
  #moves(): Moves {
    const size = this.#cornerCount.reduce((sum, count) => sum + count - 1, 0);
    const [prices, savedMs] = [new Float64Array(size), new Float64Array(size)];
    let k = 0;
    for (let i = 0; i < this.#count; i++) {
      const from = this.#first[i] as number;
      for (let c = from + 1; c < from + (this.#cornerCount[i] as number); c++) {
        const [a, b] = [this.#corners[c - 1] as number, this.#corners[c] as number];
        prices[k] = this.#price[b] as number;
        savedMs[k++] = (this.#workMs[a] as number) - (this.#workMs[b] as number);
      }
    }
    return { prices, savedMs };
  }

  /** The corner that each device takes at a price: moves get dearer along its hull. */
  #picksAt(price: number): number[] {
    return Array.from({ length: this.#count }, (_, i) => {
      const from = this.#first[i] as number;
      let at = this.#corners[from] as number;
      for (let c = from + 1; c < from + (this.#cornerCount[i] as number); c++) {
        const next = this.#corners[c] as number;
        if ((this.#price[next] as number) > price) break;
        at = next;
      }
      return at;
    });
  }

  #picked(picks: readonly number[], isPriced: boolean): Picked[] {
    return picks.map((at) => ({
      option: this.#option[at] as number,
      share: this.#share[at] as number,
      serverMs: this.#workMs[at] as number,
      isPriced,
    }));
  }

  /** Brings picks that take a little too much of the server within its capacity by the one change that costs least. */
  #filledUp(picks: number[], capacityMs: number): number[] | null {
    const excessMs = sumAt(this.#workMs, picks) - capacityMs;
    let best: { readonly device: number; readonly at: number } | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const [device, now] of picks.entries()) {
      const [serverMs, share] = [this.#workMs[now] as number, this.#share[now] as number];
      for (let at = now + 1; at < (this.#first[device + 1] as number); at++) {
        const savedMs = serverMs - (this.#workMs[at] as number);
        const more = (this.#share[at] as number) - share;
        if (savedMs < excessMs || more >= least) continue;
        best = { device, at };
        least = more;
      }
    }
    if (best === null) return null;
    picks[best.device] = best.at;
    return picks;
  }

  /** Branch and bound: picks within both bounds; null where there are none, or too many nodes to look at. */
  #branch(capacityMs: number, most: number, price: number): number[] | null {
    const count = this.#count;
    // What the devices from one on cost at least: in shares, in time, and in both by the price.
    const rest = [0, 1, 2].map(() => new Float64Array(count + 1)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (let i = count - 1; i >= 0; i--) {
      const least = [Infinity, Infinity, Infinity];
      for (let at = this.#first[i] as number; at < (this.#first[i + 1] as number); at++) {
        const share = this.#share[at] as number;
        if (share === Infinity) continue;
        const serverMs = this.#workMs[at] as number;
        const costs = [share, serverMs, share + price * serverMs];
        for (const k of costs.keys()) {
          least[k] = Math.min(least[k] as number, costs[k] as number);
        }
      }
      for (const [k, sums] of rest.entries()) {
        sums[i] = (sums[i + 1] as number) + (least[k] as number);
      }
    }
    const [restShare, restMs, restCost] = rest;
    const chosen: number[] = [];
    let nodes = 0;
    const visit = (i: number, share: number, serverMs: number): boolean => {
      if (++nodes > nodesMax) return false;
      if (share + (restShare[i] as number) > most) return false;
      if (serverMs + (restMs[i] as number) > capacityMs) return false;
      const cost = share + price * serverMs + (restCost[i] as number);
      if (cost - price * capacityMs > most) return false;
      if (i === count) return true;
      for (let at = this.#first[i] as number; at < (this.#first[i + 1] as number); at++) {
        chosen[i] = at;
        const next = this.#workMs[at] as number;
        if (visit(i + 1, share + (this.#share[at] as number), serverMs + next)) return true;
      }
      return false;
    };
    return visit(0, 0, 0) ? chosen : null;
  }
}

/** The first so many whole numbers by rising keys; mostly they are in order, since cuts go from shallow to deep. */
function byRisingKey(count: number, keyOf: (i: number) => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  let isInOrder = true;
  for (let i = 1; isInOrder && i < count; i++) isInOrder = keyOf(i - 1) <= keyOf(i);
  return isInOrder ? order : order.sort((a, b) => keyOf(a) - keyOf(b));
}

/**
 * The least price up to which all moves save enough, found like the median of many numbers: moves are divided by the
 * price of one of them, and those whose side is known are looked at no more (Hoare, "Algorithm 65: Find",
 * Communications of the ACM 4(7), 1961).
 * @returns that price, and the next one below it, 0 where there is none; null where none is enough
 */
function leastPrice(
  { prices, savedMs }: Moves,
  excessMs: number,
): { readonly low: number; readonly high: number } | null {
  let [from, to, low, leftMs] = [0, prices.length, 0, excessMs];
  const swap = (a: number, b: number): void => {
    const [price, ms] = [prices[a] as number, savedMs[a] as number];
    prices[a] = prices[b] as number;
    savedMs[a] = savedMs[b] as number;
    prices[b] = price;
    savedMs[b] = ms;
  };
  while (from < to) {
    const pivot = prices[(from + to) >> 1] as number;
    // What is cheaper comes to stand before `cheaper`, what is as dear before `at`.
    let [cheaper, at, cheaperMs, sameMs, below] = [from, from, 0, 0, low];
    for (let k = from; k < to; k++) {
      const price = prices[k] as number;
      if (price > pivot) continue;
      swap(k, at);
      if (price === pivot) sameMs += savedMs[at] as number;
      else {
        cheaperMs += savedMs[at] as number;
        below = Math.max(below, price);
        swap(at, cheaper++);
      }
      at++;
    }
    if (cheaperMs >= leftMs) to = cheaper;
    else if (cheaperMs + sameMs >= leftMs) return { low: below, high: pivot };
    else [from, low, leftMs] = [at, pivot, leftMs - cheaperMs - sameMs];
  }
  return null;
}

function sumAt(values: Float64Array, positions: readonly number[]): number {
  let total = 0;
  for (const at of positions) total += values[at] as number;
  return total;
}
