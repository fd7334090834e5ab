import { expect, test } from "vitest";
import { nearest, scaled, ticksOf } from "./ticks.ts";

test("numbers stand at round places within the bounds", () => {
  expect(ticksOf(0, 2.3, 5, "number")).toEqual([0, 0.5, 1, 1.5, 2]);
  expect(ticksOf(0.31, 0.98, 4, "number")).toEqual([0.4, 0.6, 0.8]);
  expect(ticksOf(0, 0.3, 3, "number")).toEqual([0, 0.1, 0.2, 0.3]);
});

test("counts are whole even where there is room for more", () => {
  expect(ticksOf(1, 4, 20, "count")).toEqual([1, 2, 3, 4]);
  expect(ticksOf(0, 45, 8, "count")).toEqual([0, 10, 20, 30, 40]);
});

test("clocks step by seconds, minutes and hours that clocks have", () => {
  expect(ticksOf(0, 50, 6, "clock")).toEqual([0, 10, 20, 30, 40, 50]);
  expect(ticksOf(0, 200, 6, "clock")).toEqual([0, 60, 120, 180]);
  expect(ticksOf(0, 200_000, 6, "clock")).toEqual([0, 36_000, 72_000, 108_000, 144_000, 180_000]);
});

test("an empty or broken range has one place", () => {
  expect(ticksOf(3, 3, 5, "number")).toEqual([3]);
  expect(ticksOf(0, Number.NaN, 5, "number")).toEqual([0]);
});

test("never more places than asked for, whatever the range", () => {
  for (const max of [1e-6, 0.07, 3, 19, 1234, 5e9]) {
    for (const kind of ["number", "count", "clock"] as const) {
      expect(ticksOf(0, max, 5, kind).length).toBeLessThanOrEqual(6);
    }
  }
});

test("a value is placed between its bounds, also upside down", () => {
  expect(scaled(5, [0, 10], [100, 200])).toBe(150);
  expect(scaled(0, [0, 10], [200, 100])).toBe(200);
});

test("the nearest place is found at both ends and between", () => {
  const places = [1, 2, 5, 9];
  expect([-4, 1.4, 3.4, 3.6, 7.1, 40].map((x) => nearest(places, x))).toEqual([0, 0, 1, 2, 3, 3]);
  expect(nearest([], 1)).toBe(-1);
});
