import { describe, expect, test } from "vitest";
import { random } from "../base/random.ts";
import { handOverMs, type RateSample } from "./hand-over.ts";

/** Samples a second apart, of a rate that changes steadily, with even noise of some share of the start. */
function trace(
  { from, perSecond, noise }: { from: number; perSecond: number; noise: number },
  seed: number,
  count = 12,
): RateSample[] {
  const draw = random(seed);
  return Array.from({ length: count }, (_, i) => ({
    atMs: 5000 + 1000 * i,
    bytesPerMs: from + perSecond * i + from * noise * (2 * draw.uniform() - 1),
  }));
}

describe("the end of a link's use", () => {
  test("is where a clean trend meets the least useful rate", () => {
    // 1200 - 50 a second: 650 at the last of 12 samples, 400 five seconds later.
    const falling = trace({ from: 1200, perSecond: -50, noise: 0 }, 1);
    expect(handOverMs(falling, 400)).toBeCloseTo(5000, 6);
    expect(handOverMs(falling, 700)).toBe(0);
  });

  test("is found through noise, within a few seconds", () => {
    let found = 0;
    for (let seed = 0; seed < 200; seed++) {
      const ms = handOverMs(trace({ from: 1200, perSecond: -50, noise: 0.05 }, seed), 400);
      if (ms === null) continue;
      found++;
      expect(Math.abs(ms - 5000)).toBeLessThan(3000);
    }
    expect(found).toBeGreaterThan(195);
  });

  test("is not seen in flat noise, nor in a rate that grows", () => {
    let alarms = 0;
    for (let seed = 0; seed < 4000; seed++) {
      if (handOverMs(trace({ from: 1200, perSecond: 0, noise: 0.3 }, seed), 200) !== null) alarms++;
      expect(handOverMs(trace({ from: 200, perSecond: 100, noise: 0.1 }, seed), 100)).toBeNull();
    }
    expect(alarms).toBeLessThanOrEqual(2);
  });

  test("is not told from too few samples, at one moment, or far ahead", () => {
    const falling = trace({ from: 1200, perSecond: -50, noise: 0 }, 1);
    expect(handOverMs(falling.slice(0, 4), 400)).toBeNull();
    expect(handOverMs([], 400)).toBeNull();
    expect(
      handOverMs(
        falling.map((sample) => ({ ...sample, atMs: 0 })),
        400,
      ),
    ).toBeNull();
    expect(handOverMs(trace({ from: 1200, perSecond: -5, noise: 0 }, 1), 400)).toBeNull();
  });

  test("follows the last samples, not those of long ago", () => {
    const rising = trace({ from: 400, perSecond: 100, noise: 0 }, 1, 20);
    const falling = trace({ from: 1200, perSecond: -50, noise: 0 }, 1).map((sample) => ({
      ...sample,
      atMs: sample.atMs + 20_000,
    }));
    expect(handOverMs([...rising, ...falling], 400)).toBeCloseTo(5000, 6);
  });
});
