/**
 * The exact joint choice of cut and bandwidth behind the `parallel-split`
 * planner, as plain numbers. Device i with option c and rate b takes
 *
 *   T_i = A_ic + V_ic / b_i
 *
 * where A is the time that no bandwidth shortens and V the bytes that travel.
 * Wanted is the least max_i T_i under sum b_i <= cell and b_i <= ceiling_i.
 *
 * For a given T the devices decouple: the least rate with which device i is done
 * by T is need_i(T), the minimum of V / (T - A) over its options. need_i never
 * grows with T, so T is reachable exactly when the needs fit into the cell, and
 * one bisection on T finds the optimum, where alternating between cuts and rates
 * can stop in a local one (EdgeSplit, arXiv 2403.15815, solves it by alternating).
 */
import { assert, present } from "../base/assert.ts";

/** One way to split for one device. */
export interface SplitOption {
  /** Segments [0, cut) stay on the device. */
  readonly cut: number;
  /** A: milliseconds of a round that do not depend on bandwidth. */
  readonly fixedMs: number;
  /** V: bytes that travel in a round, both ways; above 0. */
  readonly bytes: number;
}

export interface SplitDevice {
  /** At least one. */
  readonly options: readonly SplitOption[];
  /** Bytes per millisecond, above 0; Infinity where its link is not limited. */
  readonly ceiling: number;
}

export interface SplitChoice {
  readonly option: SplitOption;
  /** Bytes per millisecond; Infinity where nothing limits it. */
  readonly rate: number;
}

export interface JointChoice {
  /** The least possible time of the slowest device. */
  readonly roundMs: number;
  /** Whether more bandwidth in the cell would make the round shorter. */
  readonly cellDecides: boolean;
  /** In the order of the devices. */
  readonly choices: readonly SplitChoice[];
}

/** Relative width at which the bisection stops; also the slack that rounding is given. */
const tolerance = 1e-9;

/**
 * Chooses option and rate of every device.
 *
 * What the optimum leaves of the cell is given out in proportion to need, up to
 * each ceiling, so every transfer shrinks by the same factor; then each device
 * takes its fastest option for the rate it got. Both only make devices faster.
 *
 * @param cell bytes per millisecond that all devices share; Infinity where there is no such limit
 */
export function chooseJointly(devices: readonly SplitDevice[], cell: number): JointChoice {
  assert(devices.length > 0 && cell > 0, "a joint choice needs devices and a cell above 0");
  const ceilings = devices.map((device) => Math.min(device.ceiling, cell));
  const rates =
    cell === Number.POSITIVE_INFINITY
      ? ceilings
      : shareOut(leastNeeds(devices, ceilings, cell), ceilings, cell);
  const choices = devices.map((device, i) => {
    const rate = present(rates[i], "a rate");
    return { option: fastest(device, rate), rate };
  });
  const roundMs = Math.max(...choices.map(({ option, rate }) => splitMs(option, rate)));
  const withoutCell = slowest(devices, (device) => device.ceiling);
  return { roundMs, cellDecides: roundMs > withoutCell * (1 + 2 * tolerance), choices };
}

/** Milliseconds of a device's round: T = A + V / b. */
export const splitMs = (option: SplitOption, rate: number): number =>
  option.fixedMs + option.bytes / rate;

/** Rates of the shortest round: the needs at the least reachable T. */
function leastNeeds(
  devices: readonly SplitDevice[],
  ceilings: readonly number[],
  cell: number,
): readonly number[] {
  const needsAt = (roundMs: number): number[] => devices.map((device) => need(device, roundMs));
  const fits = (needs: readonly number[]): boolean => sum(needs) <= cell;

  // Nobody beats the own ceiling, and even shares can always be had.
  let low = slowest(devices, (_, i) => ceilings[i] as number) * (1 + tolerance);
  let needs = needsAt(low);
  if (fits(needs)) return needs;
  const even = cell / devices.length;
  let high = slowest(devices, (_, i) => Math.min(ceilings[i] as number, even)) * (1 + tolerance);
  needs = needsAt(high);
  while (high - low > tolerance * high) {
    const middle = low + (high - low) / 2;
    const tried = needsAt(middle);
    if (fits(tried)) {
      high = middle;
      needs = tried;
    } else low = middle;
  }
  return needs;
}

/**
 * The least rate with which a device is done by `roundMs`. No ceiling is asked: the
 * bisection starts where every device is in time at its ceiling, so its need is below.
 */
function need(device: SplitDevice, roundMs: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { fixedMs, bytes } of device.options) {
    if (fixedMs >= roundMs) continue;
    least = Math.min(least, bytes / (roundMs - fixedMs));
  }
  return least;
}

/** Raises needs by one common factor until the cell is used up or every ceiling is reached. */
function shareOut(needs: readonly number[], ceilings: readonly number[], cell: number): number[] {
  const rates = [...ceilings];
  const headroom = (i: number): number => (ceilings[i] as number) / (needs[i] as number);
  const order = needs.map((_, i) => i).sort((a, b) => headroom(a) - headroom(b) || a - b);
  let restOfCell = cell;
  let restOfNeeds = sum(needs);
  for (const [position, i] of order.entries()) {
    const factor = restOfCell / restOfNeeds;
    if (headroom(i) > factor) {
      for (const other of order.slice(position)) {
        rates[other] = Math.min(ceilings[other] as number, (needs[other] as number) * factor);
      }
      return rates;
    }
    restOfCell -= ceilings[i] as number;
    restOfNeeds -= needs[i] as number;
  }
  return rates;
}

function fastest(device: SplitDevice, rate: number): SplitOption {
  let best = present(device.options[0], "an option");
  for (const option of device.options) {
    if (splitMs(option, rate) < splitMs(best, rate)) best = option;
  }
  return best;
}

/** Time of the slowest device when each has the given rate and its fastest option. */
function slowest(
  devices: readonly SplitDevice[],
  rateOf: (device: SplitDevice, i: number) => number,
): number {
  return Math.max(
    ...devices.map((device, i) => {
      const rate = rateOf(device, i);
      return splitMs(fastest(device, rate), rate);
    }),
  );
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
