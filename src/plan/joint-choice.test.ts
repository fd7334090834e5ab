import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chooseJointly,
  type JointChoice,
  type JointDevice,
  type JointServer,
  splitMs,
} from "./joint-choice.ts";
import type { Capacity, JointOption } from "./server-price.ts";

const unlimited = Number.POSITIVE_INFINITY;
const open: JointServer = { link: { up: unlimited, down: unlimited }, idleMs: 0 };

/** Features one way, gradients of the same size the other. */
const option = (fixedMs: number, bytes: number, serverMs = 0): JointOption => ({
  fixedMs,
  upBytes: bytes / 2,
  downBytes: bytes / 2,
  serverMs,
});

const even = (rate: number): Capacity => ({ up: rate, down: rate });
const device = (ceiling: number, ...options: JointOption[]): JointDevice<JointOption> => ({
  options,
  link: even(ceiling),
  server: 0,
});

const choose = (
  devices: readonly JointDevice<JointOption>[],
  cell: number,
  server = open,
): JointChoice<JointOption> => chooseJointly({ devices, servers: [server], cell: even(cell) });

/** The answer by trying every combination of options, each with its own bisection for the rates. */
function bruteForce(
  devices: readonly JointDevice<JointOption>[],
  cell: number,
  { idleMs, link }: JointServer,
): number {
  let best = unlimited;
  const chosen: JointOption[] = [];
  const tryAll = (i: number): void => {
    if (i === devices.length) {
      const busyMs = chosen.reduce((sum, { serverMs }) => sum + serverMs, idleMs);
      const widest = Math.min(cell, link.up);
      best = Math.min(best, Math.max(busyMs, leastRoundMs(devices, chosen, widest)));
    }
    for (const each of devices[i]?.options ?? []) {
      chosen[i] = each;
      tryAll(i + 1);
    }
  };
  tryAll(0);
  return best;
}

function leastRoundMs(
  devices: readonly JointDevice<JointOption>[],
  chosen: readonly JointOption[],
  cell: number,
): number {
  const reachable = (roundMs: number): boolean => {
    let total = 0;
    for (const [i, { fixedMs, upBytes, downBytes }] of chosen.entries()) {
      if (roundMs <= fixedMs) return false;
      const rate = (upBytes + downBytes) / (roundMs - fixedMs);
      if (rate > (devices[i]?.link.up ?? 0)) return false;
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
const anyOption = fc
  .tuple(number(0, 500), number(1, 10_000), fc.oneof(fc.constant(0), number(1, 300)))
  .map(([fixedMs, bytes, serverMs]) => option(fixedMs + serverMs, bytes, serverMs));
const anyDevices = fc.array(
  fc
    .tuple(
      fc.oneof(fc.constant(unlimited), number(1, 200)),
      fc.array(anyOption, { minLength: 1, maxLength: 4 }),
    )
    .map(([ceiling, options]) => device(ceiling, ...options)),
  { minLength: 1, maxLength: 4 },
);
const anyCell = fc.oneof({ weight: 4, arbitrary: number(1, 500) }, fc.constant(unlimited));
const anyServer = fc.record({
  idleMs: number(0, 200),
  link: fc.oneof(fc.constant(even(unlimited)), number(1, 500).map(even)),
});

describe("the joint choice of cut and bandwidth", () => {
  test("gives each device the rate that lets both finish together", () => {
    // 1000 / (T - 100) + 3000 / (T - 50) = 30 holds for T = 200.
    const devices = [device(unlimited, option(100, 1000)), device(unlimited, option(50, 3000))];
    const { choices, roundMs, cellDecides, serverDecides } = choose(devices, 30);
    expect(roundMs).toBeCloseTo(200, 5);
    expect(choices[0]?.rate.up).toBeCloseTo(10, 5);
    expect(choices[1]?.rate.down).toBeCloseTo(20, 5);
    expect({ cellDecides, serverDecides }).toEqual({ cellDecides: true, serverDecides: false });
  });

  test("takes the deeper cut where bandwidth is dear and the shallow one where it is not", () => {
    const [shallow, deep] = [option(10, 5000), option(100, 100)];
    const cutAt = (cell: number) =>
      choose([device(unlimited, shallow, deep)], cell).choices[0]?.option;
    // Equal where 10 + 5000 / b = 100 + 100 / b, at b = 54.4.
    expect(cutAt(54)).toBe(deep);
    expect(cutAt(55)).toBe(shallow);
  });

  test("gives what a ceiling leaves over to the others, never above their ceilings", () => {
    const { choices, roundMs, cellDecides } = choose(
      [device(10, option(0, 1000)), device(30, option(0, 400)), device(unlimited, option(0, 200))],
      100,
    );
    // The first decides: 1000 / 10. The rest of the cell goes 2:1, until the second has its 30.
    expect(roundMs).toBeCloseTo(100, 5);
    expect(cellDecides).toBe(false);
    expect(choices.map(({ rate }) => Math.round(rate.up))).toEqual([10, 30, 60]);
  });

  test("leaves rates unlimited where nothing limits them", () => {
    const { choices, roundMs, cellDecides } = choose(
      [device(unlimited, option(70, 1), option(60, 1e9)), device(50, option(10, 1000))],
      unlimited,
    );
    expect(choices.map(({ rate }) => rate.up)).toEqual([unlimited, 50]);
    expect(roundMs).toBe(60);
    expect(cellDecides).toBe(false);
  });

  test("keeps more on devices where the server would be too busy otherwise", () => {
    // Both shallow: 100 ms of the server and 10 without work. One of them deep: done after 90.
    const [shallow, deep] = [option(50, 10, 50), option(90, 10, 10)];
    const two = [device(unlimited, shallow, deep), device(unlimited, shallow, deep)];
    const { choices, roundMs, serverDecides } = choose(two, 1e6, { ...open, idleMs: 10 });
    expect(roundMs).toBeCloseTo(90, 3);
    expect(serverDecides).toBe(true);
    expect(choices.map((one) => one.option.serverMs).sort()).toEqual([10, 50]);
    // Where deep is no way out, the server's work is the round.
    const only = [device(unlimited, shallow), device(unlimited, shallow)];
    expect(choose(only, 1e6, { ...open, idleMs: 10 }).roundMs).toBeLessThan(110.1);
  });

  test("has uplinks and downlinks apart", () => {
    const up: JointOption = { fixedMs: 0, upBytes: 900, downBytes: 100, serverMs: 0 };
    const devices = [device(unlimited, up), device(unlimited, up)];
    const { roundMs, choices } = chooseJointly({
      devices,
      servers: [open],
      cell: { up: 90, down: 20 },
    });
    // Half of each: 900 / 45 + 100 / 10.
    expect(roundMs).toBeCloseTo(30, 5);
    expect(choices[0]?.rate.up).toBeCloseTo(45, 5);
    expect(choices[0]?.rate.down).toBeCloseTo(10, 5);
    // A slow uplink of its own takes nothing from the downlink.
    const thin = { ...device(unlimited, up), link: { up: 10, down: unlimited } };
    const alone = chooseJointly({ devices: [thin], servers: [open], cell: { up: 90, down: 20 } });
    expect(alone.roundMs).toBeCloseTo(900 / 10 + 100 / 20, 5);
  });

  test("adds the waiting that is expected to what needs the server", () => {
    const [shallow, deep] = [option(50, 10, 20), option(80, 10)];
    const waiting = { ...device(unlimited, shallow, deep), waitMs: 40 };
    expect(choose([waiting], 1e9).choices[0]?.option).toBe(deep);
    expect(choose([{ ...waiting, waitMs: 20 }], 1e9).choices[0]?.option).toBe(shallow);
  });

  test("shares a server's own link among its devices", () => {
    const near = { ...device(unlimited, option(0, 1000)), server: 0 };
    const far = { ...device(unlimited, option(0, 1000)), server: 1 };
    const servers = [{ ...open, link: even(10) }, open];
    const { choices, roundMs } = chooseJointly({ devices: [near, far], servers, cell: even(100) });
    expect(roundMs).toBeCloseTo(100, 5);
    expect(choices.map(({ rate }) => Math.round(rate.up))).toEqual([10, 90]);
  });

  test("equals brute force over all combinations of cuts", () => {
    fc.assert(
      fc.property(anyDevices, anyCell, anyServer, (devices, cell, server) => {
        const { leastMs, roundMs } = choose(devices, cell, server);
        const least = bruteForce(devices, cell, server);
        expect(Math.abs(leastMs - least)).toBeLessThanOrEqual(1e-7 * least + 1e-9);
        // What is left over may make every device faster than that, when a server decides.
        expect(roundMs).toBeLessThanOrEqual(leastMs * (1 + 1e-7));
      }),
      { numRuns: 500 },
    );
  });

  test("keeps within cell, ceilings and the server's time, with every device done in time", () => {
    fc.assert(
      fc.property(anyDevices, anyCell, anyServer, (devices, cell, server) => {
        const { choices, roundMs } = choose(devices, cell, server);
        const least = bruteForce(devices, cell, server);
        let [total, busyMs] = [0, server.idleMs];
        for (const [i, { option: chosen, rate }] of choices.entries()) {
          expect(devices[i]?.options).toContain(chosen);
          expect(rate.up).toBeGreaterThan(0);
          expect(rate.up).toBeLessThanOrEqual(devices[i]?.link.up ?? 0);
          expect(splitMs(chosen, rate)).toBeLessThanOrEqual(roundMs);
          total += rate.up;
          busyMs += chosen.serverMs;
        }
        expect(total).toBeLessThanOrEqual(Math.min(cell, server.link.up) * (1 + 1e-8));
        expect(busyMs).toBeLessThanOrEqual(least * (1 + 1e-7) + 1e-9);
      }),
    );
  });

  test("wastes none of the cell that a device could use", () => {
    fc.assert(
      fc.property(anyDevices, number(1, 500), (devices, cell) => {
        const rates = choose(devices, cell).choices.map(({ rate }) => rate.up);
        const total = rates.reduce((sum, rate) => sum + rate, 0);
        const allAtCeiling = rates.every(
          (rate, i) => rate >= (devices[i]?.link.up ?? 0) * (1 - 1e-8),
        );
        expect(allAtCeiling || total > cell * (1 - 1e-8)).toBe(true);
      }),
    );
  });

  test("never takes longer with more bandwidth", () => {
    fc.assert(
      fc.property(anyDevices, number(1, 500), number(1, 4), (devices, cell, factor) => {
        const { leastMs } = choose(devices, cell);
        const wider = devices.map((one) => ({ ...one, link: even(one.link.up * factor) }));
        const slack = leastMs * (1 + 1e-6);
        expect(choose(devices, cell * factor).leastMs).toBeLessThanOrEqual(slack);
        expect(choose(wider, cell).leastMs).toBeLessThanOrEqual(slack);
      }),
    );
  });
});
