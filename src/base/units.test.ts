import { expect, test } from "vitest";
import {
  bytesPerMsOfMbit,
  formatBytes,
  formatCount,
  formatMs,
  formatRate,
  mbitOfBytesPerMs,
} from "./units.ts";

test("a megabit per second is 125 bytes per millisecond", () => {
  expect(bytesPerMsOfMbit(200)).toBe(25_000);
  expect(mbitOfBytesPerMs(25_000)).toBe(200);
});

test.each([
  [0, "0 B"],
  [812, "812 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [14_230, "14.2 kB"],
  [99_949, "99.9 kB"],
  [99_951, "100 kB"],
  [999_499, "999 kB"],
  [999_500, "1.0 MB"],
  [3_100_000, "3.1 MB"],
  [5e15, "5000 TB"],
])("%d bytes read %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [812, "812"],
  [61_706, "61.7 k"],
  [3_100_000, "3.1 M"],
])("a count of %d reads %s", (count, text) => {
  expect(formatCount(count)).toBe(text);
});

test.each([
  [0.42, "0.42 ms"],
  [4.21, "4.2 ms"],
  [180.4, "180 ms"],
  [12_345, "12.3 s"],
  [250_000, "4 min 10 s"],
  [Number.NaN, "?"],
  [Number.POSITIVE_INFINITY, "?"],
])("%d milliseconds read %s", (ms, text) => {
  expect(formatMs(ms)).toBe(text);
});

test.each([
  [125, "1.00 Mbit/s"],
  [4275, "34.2 Mbit/s"],
  [Number.POSITIVE_INFINITY, "unlimited"],
])("%d bytes per millisecond read %s", (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});
