import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseJointly, type SplitDevice, type SplitOption, splitMs } from "./joint-choice.ts";

const unlimited = Number.POSITIVE_INFINITY;

const option = (cut: number, fixedMs: number, bytes: number): SplitOption => ({
  cut,
  fixedMs,
  bytes,
});

/** The answer by trying every combination of options, each with its own bisection for the rates. */
function bruteForce(devices: readonly SplitDevice[], cell: number): number {
  let best = unlimited;
  const chosen: SplitOption[] = [];
  const tryAll = (i: number): void => {
    if (i === devices.length) best = Math.min(best, leastRoundMs(devices, chosen, cell));
    for (const each of devices[i]?.options ?? []) {
      chosen[i] = each;
      tryAll(i + 1);
    }
  };
  tryAll(0);
  return best;
}

function leastRoundMs(
  devices: readonly SplitDevice[],
  chosen: readonly SplitOption[],
  cell: number,
): number {
  const reachable = (roundMs: number): boolean => {
    let total = 0;
    for (const [i, { fixedMs, bytes }] of chosen.entries()) {
      if (roundMs <= fixedMs) return false;
      const rate = bytes / (roundMs - fixedMs);
      if (rate > (devices[i]?.ceiling ?? 0)) return false;
      total += rate;
    }
    return total <= cell;
  };
  let low = 0;
  let high = 1;
  while (!reachable(high)) high *= 2;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (reachable(middle)) high = middle;
    else low = middle;
  }
  return high;
}

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const anyOption = fc.record({
  cut: fc.constant(1),
  fixedMs: number(0, 500),
  bytes: number(1, 10_000),
});
const anyDevices = fc.array(
  fc.record({
    options: fc.array(anyOption, { minLength: 1, maxLength: 4 }),
    ceiling: fc.oneof(fc.constant(unlimited), number(1, 200)),
  }),
  { minLength: 1, maxLength: 4 },
);
const anyCell = fc.oneof({ weight: 4, arbitrary: number(1, 500) }, fc.constant(unlimited));

describe("the joint choice of cut and bandwidth", () => {
  test("gives each device the rate that lets both finish together", () => {
    // 1000 / (T - 100) + 3000 / (T - 50) = 30 holds for T = 200.
    const { choices, roundMs, cellDecides } = chooseJointly(
      [
        { options: [option(1, 100, 1000)], ceiling: unlimited },
        { options: [option(1, 50, 3000)], ceiling: unlimited },
      ],
      30,
    );
    expect(roundMs).toBeCloseTo(200, 5);
    expect(choices[0]?.rate).toBeCloseTo(10, 5);
    expect(choices[1]?.rate).toBeCloseTo(20, 5);
    expect(cellDecides).toBe(true);
  });

  test("takes the deeper cut where bandwidth is dear and the shallow one where it is not", () => {
    const options = [option(1, 10, 5000), option(2, 100, 100)];
    const cutAt = (cell: number) =>
      chooseJointly([{ options, ceiling: unlimited }], cell).choices[0]?.option.cut;
    // Equal where 10 + 5000 / b = 100 + 100 / b, at b = 54.4.
    expect(cutAt(54)).toBe(2);
    expect(cutAt(55)).toBe(1);
  });

  test("gives what a ceiling leaves over to the others, never above their ceilings", () => {
    const { choices, roundMs, cellDecides } = chooseJointly(
      [
        { options: [option(1, 0, 1000)], ceiling: 10 },
        { options: [option(1, 0, 400)], ceiling: 30 },
        { options: [option(1, 0, 200)], ceiling: unlimited },
      ],
      100,
    );
    // The first decides: 1000 / 10. The rest of the cell goes 2:1, until the second has its 30.
    expect(roundMs).toBeCloseTo(100, 5);
    expect(cellDecides).toBe(false);
    expect(choices.map(({ rate }) => Math.round(rate))).toEqual([10, 30, 60]);
  });

  test("leaves rates unlimited where nothing limits them", () => {
    const { choices, roundMs, cellDecides } = chooseJointly(
      [
        { options: [option(1, 70, 1), option(2, 60, 1e9)], ceiling: unlimited },
        { options: [option(1, 10, 1000)], ceiling: 50 },
      ],
      unlimited,
    );
    expect(choices.map(({ rate }) => rate)).toEqual([unlimited, 50]);
    expect(choices[0]?.option.cut).toBe(2);
    expect(roundMs).toBe(60);
    expect(cellDecides).toBe(false);
  });

  test("equals brute force over all combinations of cuts", () => {
    fc.assert(
      fc.property(anyDevices, anyCell, (devices, cell) => {
        const { roundMs } = chooseJointly(devices, cell);
        const least = bruteForce(devices, cell);
        expect(Math.abs(roundMs - least)).toBeLessThanOrEqual(1e-7 * least + 1e-9);
      }),
      { numRuns: 300 },
    );
  });

  test("keeps within cell and ceilings, with every device done in time", () => {
    fc.assert(
      fc.property(anyDevices, anyCell, (devices, cell) => {
        const { choices, roundMs } = chooseJointly(devices, cell);
        let total = 0;
        for (const [i, { option: chosen, rate }] of choices.entries()) {
          const device = devices[i] as SplitDevice;
          expect(device.options).toContain(chosen);
          expect(rate).toBeGreaterThan(0);
          expect(rate).toBeLessThanOrEqual(device.ceiling);
          expect(splitMs(chosen, rate)).toBeLessThanOrEqual(roundMs);
          total += rate;
        }
        expect(total).toBeLessThanOrEqual(cell * (1 + 1e-9));
      }),
    );
  });

  test("wastes none of the cell that a device could use", () => {
    fc.assert(
      fc.property(anyDevices, number(1, 500), (devices, cell) => {
        const rates = chooseJointly(devices, cell).choices.map(({ rate }) => rate);
        const total = rates.reduce((sum, rate) => sum + rate, 0);
        const allAtCeiling = rates.every((rate, i) => rate === devices[i]?.ceiling);
        expect(allAtCeiling || total > cell * (1 - 1e-9)).toBe(true);
      }),
    );
  });

  test("never takes longer with more bandwidth", () => {
    fc.assert(
      fc.property(anyDevices, number(1, 500), number(1, 4), (devices, cell, factor) => {
        const { roundMs } = chooseJointly(devices, cell);
        const wider = devices.map((device) => ({ ...device, ceiling: device.ceiling * factor }));
        const slack = roundMs * (1 + 1e-7);
        expect(chooseJointly(devices, cell * factor).roundMs).toBeLessThanOrEqual(slack);
        expect(chooseJointly(wider, cell).roundMs).toBeLessThanOrEqual(slack);
      }),
    );
  });
});
