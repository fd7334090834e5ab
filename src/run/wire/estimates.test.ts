/** Rates from arrivals: what counts as one burst, whose clock is read, and what a liar comes to. */
import { describe, expect, it } from "vitest";
import { AchievedRate, RoundTrip } from "./estimates.ts";

const kB = 1000;

/**
 * A sender and a receiver whose clock is an hour off. Messages of so many bytes leave at the first
 * time and arrive at the second one; each is acknowledged 300 ms later.
 */
function rateAfter(
  messages: readonly (readonly [bytes: number, departedMs: number, arrivedMs: number])[],
  { isHeldBack = false, clockMs = 3_600_000 } = {},
): number | null {
  const rate = new AchievedRate();
  let sent = 0;
  for (const [bytes, departedMs] of messages) {
    sent += bytes;
    rate.departed(sent, departedMs, isHeldBack);
  }
  let arrived = 0;
  for (const [bytes, , arrivedMs] of messages) {
    arrived += bytes;
    rate.arrived({ bytes: arrived, atMs: arrivedMs + clockMs }, arrivedMs + 300);
  }
  return rate.bytesPerMs;
}

describe("the achieved rate", () => {
  it("is that of bytes which arrive after others that left with them", () => {
    expect(rateAfter([[16 * kB, 0, 30]])).toBe(null);
    // 40 kB in 20 ms; what the first 16 kB took is also the way itself.
    const burst = [
      [16 * kB, 0, 30],
      [40 * kB, 0, 50],
    ] as const;
    expect(rateAfter(burst)).toBe(2000);
    expect(rateAfter(burst, { clockMs: -20 })).toBe(2000);
  });

  it("goes on where a message leaves before the one before it is there", () => {
    const messages = [0, 10, 20, 30].map((ms, i) => [20 * kB, ms, 30 + 20 * i] as const);
    // 60 kB from 30 to 90 ms.
    expect(rateAfter(messages)).toBe(1000);
  });

  it("counts no pause in which nothing was sent", () => {
    const messages = [0, 100, 200, 300].map((ms) => [20 * kB, ms, ms + 30] as const);
    expect(rateAfter(messages)).toBe(null);
    // Unless it was for the sake of a share of the bandwidth: 60 kB in 300 ms.
    expect(rateAfter(messages, { isHeldBack: true })).toBe(200);
  });

  it("does not depend on when acknowledgements come", () => {
    const rate = new AchievedRate();
    rate.departed(500 * kB, 0, false);
    rate.arrived({ bytes: 100 * kB, atMs: 100 }, 900);
    rate.arrived({ bytes: 300 * kB, atMs: 300 }, 901);
    rate.arrived({ bytes: 500 * kB, atMs: 500 }, 2000);
    expect(rate.bytesPerMs).toBe(1000);
  });

  it("is the median by time of half a second: heaps of arrivals count for little, and a fall is soon seen", () => {
    const rate = new AchievedRate();
    rate.departed(2000 * kB, 0, false);
    let [bytes, atMs] = [0, 0];
    const arrive = (more: number, ms: number) => {
      bytes += more;
      atMs += ms;
      rate.arrived({ bytes, atMs }, atMs);
    };
    for (let i = 0; i < 10; i++) arrive(60 * kB, 60);
    expect(rate.bytesPerMs).toBe(1000);
    // The receiver was busy: 60 kB come late, and the next 300 kB at once.
    arrive(60 * kB, 140);
    for (let i = 0; i < 5; i++) arrive(60 * kB, 1);
    expect(rate.bytesPerMs).toBe(1000);
    for (let i = 0; i < 4; i++) arrive(40 * kB, 100);
    expect(rate.bytesPerMs).toBe(400);
  });

  it("stays a number, and small in memory, whatever times are told", () => {
    const rate = new AchievedRate();
    for (let i = 1; i <= 10_000; i++) {
      rate.departed(20 * kB * i, 0, false);
      rate.arrived({ bytes: 20 * kB * i, atMs: 7 }, i);
    }
    expect(rate.bytesPerMs).toBe(1e9);
  });
});

describe("a round trip of late", () => {
  it("is the lesser of the newest two, so one that was held up says nothing", () => {
    const trip = new RoundTrip();
    const late = [40, 900, 41, 10, 11].map((ms) => {
      trip.add(ms);
      return trip.lateMs;
    });
    expect(late).toEqual([null, 40, 41, 10, 10]);
  });
});
