/**
 * The exact joint choice of cuts and bandwidth shares behind `parallel-split`, as plain numbers.
 *
 * Device i with option o (a cut, on a server) and rates u, d of its up- and downlink takes
 *
 *   T_i = A_io + U_io / u_i + D_io / d_i
 *
 * where A is what no bandwidth shortens, and U and D are the bytes that travel. The option holds its
 * server's processor for S_io of that. Wanted is the least T = max_i T_i with
 *
 *   sum u_i <= up, sum d_i <= down       of the cell, and of each server's own link
 *   u_i, d_i <= the device's own link
 *   sum S_io <= T - idle                 for each server: one processor, that works on one batch at
 *                                        a time and has nothing to do while all first ones are away
 *
 * A device has one share of the cell, the same of both ways: u = share * up and d = share * down, so
 * T_i = A + (U / up + D / down) / share. Nothing is lost by that where all devices have the same ratio
 * U : D (features one way, gradients of the same size the other, weights both): with prices l / up and
 * (1 - l) / down a device costs (sqrt(l U / up) + sqrt((1 - l) D / down))^2 / (T - A), of which the
 * greatest over l is (U / up + D / down) / (T - A), by Cauchy and Schwarz, for the same l for all.
 *
 * For a given T the devices decouple: the least share with which device i is done by T is
 *
 *   share_i(T) = min over o of (U / up + D / down) / (T - A)
 *
 * It never grows with T, so T can be met exactly when the shares fit, and one bisection on T finds the
 * optimum, whatever the options are like (EdgeSplit, arXiv 2403.15815, states the problem and alternates
 * between cuts and rates: `alternating-split.ts`). That is exact as long as the processor of no server
 * is full. Where one is, the least sum of shares under its capacity is a multiple-choice knapsack: its
 * Lagrangian (`server-price.ts`) finds it but for one device's option, and branch and bound closes that gap
 * where there are few devices.
 *
 * What is relaxed: S counts as capacity, not in its order. Batches queue at a server in the order in
 * which they come, and what they wait there is not in A. `split-forecast.ts` plays a choice through
 * with the queue, and the planner asks again with the waiting it has seen.
 */
import { assert, present } from "../base/assert.ts";
import { type Capacity, type JointOption, type Picked, PricedGroup } from "./server-price.ts";

export interface JointDevice<O extends JointOption> {
  /** At least one. */
  readonly options: readonly O[];
  /** Its own link. */
  readonly link: Capacity;
  /** Position of its server. */
  readonly server: number;
  /** Milliseconds of a round for which it is expected to wait for that server; 0 where absent. */
  readonly waitMs?: number;
}

export interface JointServer {
  readonly link: Capacity;
  /** Milliseconds of a round in which it cannot have anything to do yet, or any more. */
  readonly idleMs: number;
  /** Share of the rest for which it may be busy: less than 1 leaves it time, so that fewer wait; 1 where absent. */
  readonly load?: number;
}

export interface JointProblem<O extends JointOption> {
  readonly devices: readonly JointDevice<O>[];
  readonly servers: readonly JointServer[];
  /** What all devices share. */
  readonly cell: Capacity;
}

export interface JointChosen<O extends JointOption> {
  readonly option: O;
  readonly rate: Capacity;
}

export interface JointChoice<O extends JointOption> {
  /** The least T that can be met, by devices and by servers. */
  readonly leastMs: number;
  /** The slowest device's time as chosen, with no more waiting than was expected of it. */
  readonly roundMs: number;
  /** Whether more bandwidth in the cell, or at a server, would make the round shorter. */
  readonly cellDecides: boolean;
  /** Whether a server's processor is full. */
  readonly serverDecides: boolean;
  /** In the order of the devices. */
  readonly choices: readonly JointChosen<O>[];
}

/** The slack that rounding is given. */
const tolerance = 1e-9;
/** Devices up to which a round is found to the last bit but rounding, and the relative width at which bisections stop. */
const few = 200;
const widthOf = (devices: number): number => (devices <= few ? tolerance : 1e-5);

/** Milliseconds of a device's round, waiting not counted. */
export const splitMs = (option: JointOption, rate: Capacity): number =>
  option.fixedMs + option.upBytes / rate.up + option.downBytes / rate.down;

/** The same with the waiting that is expected. */
const expectedMs = (
  { waitMs = 0 }: JointDevice<JointOption>,
  option: JointOption,
  rate: Capacity,
): number => splitMs(option, rate) + (option.serverMs > 0 ? waitMs : 0);

/** The option that is done first at a rate, of several the first. */
export const fastestAt = <O extends JointOption>(options: readonly O[], rate: Capacity): O =>
  options.reduce((a, b) => (splitMs(b, rate) < splitMs(a, rate) ? b : a));

/**
 * Chooses option and rates of every device.
 *
 * What the optimum leaves of the cell is given out in proportion to shares, up to each ceiling, so
 * every transfer shrinks by the same factor; then each device takes its fastest option for the rates
 * it got, as long as the servers keep up. Both only make devices faster.
 */
export function chooseJointly<O extends JointOption>(problem: JointProblem<O>): JointChoice<O> {
  const { devices, cell } = problem;
  assert(devices.length > 0, "a joint choice needs devices");
  assert(cell.up > 0 && cell.down > 0, "a joint choice needs a cell that carries something");
  const scaled = new ScaledProblem(problem);
  const { roundMs: metMs, picked } = leastRound(scaled);
  const shares = scaled.shareOut(picked);
  const rates = devices.map((device, i) => scaled.rateOf(device, shares[i] as number));
  const options = picked.map(({ option }) => option);
  const fastest = scaled.fastest(rates, options, metMs);
  const choices = devices.map((device, i) => ({
    option: present(device.options[fastest[i] as number], "an option"),
    rate: present(rates[i], "a rate"),
  }));
  const doneMs = choices.map(({ option, rate }, i) =>
    expectedMs(present(devices[i], "a device"), option, rate),
  );
  const roundMs = Math.max(...doneMs);
  const serverDecides = scaled.isFull(picked, metMs);
  const aloneMs = Math.max(...devices.map((device) => fastestMs(device, device.link)));
  const cellDecides = roundMs > aloneMs * (1 + 2 * tolerance) && scaled.isUsedUp(picked);
  return { leastMs: metMs, roundMs, cellDecides, serverDecides, choices };
}

/** The least round that can be met, and with which options and shares. */
function leastRound<O extends JointOption>(
  scaled: ScaledProblem<O>,
): { roundMs: number; picked: readonly Picked[] } {
  // Nobody beats a cell of his own.
  let low = Math.max(scaled.aloneMs(), Number.MIN_VALUE) * (1 + tolerance);
  let picked = scaled.pick(low);
  if (picked !== null) return { roundMs: low, picked };
  let high = low;
  while (picked === null) {
    low = high;
    high *= 2;
    assert(Number.isFinite(high), "a round that is long enough can be met");
    picked = scaled.pick(high);
  }
  while (high - low > scaled.width * high) {
    const middle = low + (high - low) / 2;
    const tried = scaled.pick(middle);
    if (tried === null) low = middle;
    else {
      high = middle;
      picked = tried;
    }
  }
  return { roundMs: high, picked };
}

/** Where only one way is limited, the other counts as so many times as wide. */
const asGoodAsFree = 1000;

/** The problem in shares of the cell: transfers in milliseconds with all of it. */
class ScaledProblem<O extends JointOption> {
  readonly #problem: JointProblem<O>;
  /** What a share is a share of: the cell, or 1 where there is none. */
  readonly #whole: Capacity;
  readonly #cellShare: number;
  readonly #linkShares: readonly number[];
  readonly #groups: readonly PricedGroup[];
  /** Positions of the devices of each server. */
  readonly #members: readonly (readonly number[])[];

  /** Relative width of the bisection. What it leaves of the cell is given out, so that many devices lose nothing by it. */
  readonly width: number;

  constructor(problem: JointProblem<O>) {
    const { devices, servers, cell } = problem;
    this.#problem = problem;
    this.width = widthOf(devices.length);
    this.#whole = wholeOf(cell);
    this.#cellShare = Number.isFinite(Math.min(cell.up, cell.down)) ? 1 : Number.POSITIVE_INFINITY;
    this.#linkShares = servers.map(({ link }) => this.#shareOf(link).least);
    this.#members = servers.map((_, server) =>
      devices.flatMap((device, i) => (device.server === server ? [i] : [])),
    );
    this.#groups = this.#members.map((members) => {
      const own = members.map((i) => ({ waitMs: 0, ...present(devices[i], "a device") }));
      return new PricedGroup(own, this.#whole);
    });
  }

  /** The round of the slowest device if each had the cell and its server's link for itself. */
  aloneMs(): number {
    const { devices, servers, cell } = this.#problem;
    return Math.max(
      ...devices.map((device) => {
        const { link } = present(servers[device.server], "a server");
        return fastestMs(device, {
          up: Math.min(device.link.up, cell.up, link.up),
          down: Math.min(device.link.down, cell.down, link.down),
        });
      }),
    );
  }

  /** Options and shares with which everybody is done by then, in the order of the devices; null where there are none. */
  pick(roundMs: number): readonly Picked[] | null {
    const picked: Picked[] = [];
    let total = 0;
    for (const [server, group] of this.#groups.entries()) {
      const capacityMs = this.#capacityMs(server, roundMs);
      const most = Math.min(this.#cellShare - total, this.#linkShares[server] as number);
      const own = group.leastShares({ roundMs, capacityMs, most: most * (1 + tolerance) });
      if (own === null) return null;
      for (const [k, i] of present(this.#members[server], "a server's devices").entries()) {
        picked[i] = present(own[k], "what was picked");
        total += picked[i].share;
      }
    }
    return picked;
  }

  /** Raises shares by one factor until a limit is met; whom it does not hold gets more, and so on. */
  shareOut(picked: readonly Picked[]): number[] {
    const { devices } = this.#problem;
    const shares = picked.map(({ share }) => share);
    const ceilings = devices.map(({ link }) => this.#shareOf(link).most);
    const headroom = shares.map((share, i) => (ceilings[i] as number) / share);
    const limits = [
      { members: [...devices.keys()], share: this.#cellShare },
      ...this.#members.map((members, k) => ({ members, share: this.#linkShares[k] as number })),
    ].filter(({ share }) => Number.isFinite(share));
    const isHeld = devices.map(() => false);
    for (;;) {
      // By which factor each limit would be met, when those who are at their ceilings stay there.
      const factors = limits.map((limit) => {
        const open = limit.members.filter((i) => !isHeld[i]);
        const held = sumOf(limit.members, shares) - sumOf(open, shares);
        return open.length === 0
          ? Number.POSITIVE_INFINITY
          : // What was picked fits, but for rounding.
            Math.max(1, factorFor(open, { shares, headroom, share: limit.share - held }));
      });
      const factor = Math.min(Number.POSITIVE_INFINITY, ...factors);
      const met = limits.filter((_, k) => (factors[k] as number) <= factor * (1 + tolerance));
      const closing = new Set(
        factor === Number.POSITIVE_INFINITY
          ? devices.keys()
          : met.flatMap(({ members }) => [...members]),
      );
      let isDone = true;
      for (const i of devices.keys()) {
        if (isHeld[i]) continue;
        if (!closing.has(i)) {
          isDone = false;
          continue;
        }
        isHeld[i] = true;
        const isCeiling = (headroom[i] as number) <= factor;
        shares[i] = isCeiling ? (ceilings[i] as number) : (shares[i] as number) * factor;
      }
      if (isDone) return shares;
    }
  }

  /** What a share comes to, as far as the device's own link goes. */
  rateOf({ link }: JointDevice<O>, share: number): Capacity {
    return {
      up: Math.min(link.up, share * this.#whole.up),
      down: Math.min(link.down, share * this.#whole.down),
    };
  }

  /** The fastest option of each device for its rates; a slower one where its server would not keep up. */
  fastest(
    rates: readonly Capacity[],
    options: readonly number[],
    roundMs: number,
  ): readonly number[] {
    const chosen = [...options];
    for (const [server, members] of this.#members.entries()) {
      const capacityMs = this.#capacityMs(server, roundMs);
      const optionAt = (i: number, o: number): O =>
        present(this.#problem.devices[i]?.options[o], "an option");
      let busyMs = 0;
      for (const i of members) busyMs += optionAt(i, chosen[i] as number).serverMs;
      for (const i of members) {
        const rate = present(rates[i], "a rate");
        const device = present(this.#problem.devices[i], "a device");
        for (const o of device.options.keys()) {
          const [now, next] = [optionAt(i, chosen[i] as number), optionAt(i, o)];
          const nextMs = busyMs - now.serverMs + next.serverMs;
          const isSlower = expectedMs(device, next, rate) >= expectedMs(device, now, rate);
          if (isSlower || (nextMs > capacityMs && next.serverMs > now.serverMs)) continue;
          chosen[i] = o;
          busyMs = nextMs;
        }
      }
    }
    return chosen;
  }

  /** Whether some server's processor is what made devices take other options. */
  isFull(picked: readonly Picked[], roundMs: number): boolean {
    return this.#members.some((members, server) => {
      let busyMs = 0;
      for (const i of members) busyMs += present(picked[i], "what was picked").serverMs;
      const isPriced = members.some((i) => picked[i]?.isPriced === true);
      return isPriced || busyMs >= this.#capacityMs(server, roundMs) * (1 - 1e-6);
    });
  }

  /** Whether shares fill the cell or a server's link. */
  isUsedUp(picked: readonly Picked[]): boolean {
    const shares = picked.map(({ share }) => share);
    const all = [...shares.keys()];
    const isFull = (members: readonly number[], share: number): boolean =>
      sumOf(members, shares) >= share * (1 - 1e-6);
    return (
      isFull(all, this.#cellShare) ||
      this.#members.some((members, k) => isFull(members, this.#linkShares[k] as number))
    );
  }

  #capacityMs(server: number, roundMs: number): number {
    const { idleMs, load = 1 } = present(this.#problem.servers[server], "a server");
    return load * (roundMs - idleMs);
  }

  #shareOf({ up, down }: Capacity): { up: number; down: number; least: number; most: number } {
    const shares = { up: up / this.#whole.up, down: down / this.#whole.down };
    return {
      ...shares,
      least: Math.min(shares.up, shares.down),
      most: Math.max(shares.up, shares.down),
    };
  }
}

/** The factor by which shares come to a sum, each up to its headroom; Infinity where they never do. */
function factorFor(
  members: readonly number[],
  of: { readonly shares: readonly number[]; readonly headroom: readonly number[]; share: number },
): number {
  const { shares, headroom, share } = of;
  let [left, growing] = [share, sumOf(members, shares)];
  const order = members.toSorted((a, b) => (headroom[a] as number) - (headroom[b] as number));
  for (const i of order) {
    const factor = left / growing;
    if ((headroom[i] as number) > factor) return factor;
    left -= (shares[i] as number) * (headroom[i] as number);
    growing -= shares[i] as number;
  }
  return Number.POSITIVE_INFINITY;
}

function wholeOf({ up, down }: Capacity): Capacity {
  if (Number.isFinite(up) && Number.isFinite(down)) return { up, down };
  if (Number.isFinite(up)) return { up, down: asGoodAsFree * up };
  if (Number.isFinite(down)) return { up: asGoodAsFree * down, down };
  return { up: 1, down: 1 };
}

function fastestMs(device: JointDevice<JointOption>, rate: Capacity): number {
  let least = Number.POSITIVE_INFINITY;
  for (const option of device.options) least = Math.min(least, expectedMs(device, option, rate));
  return least;
}

function sumOf(members: readonly number[], values: readonly number[]): number {
  let total = 0;
  for (const i of members) total += values[i] as number;
  return total;
}
