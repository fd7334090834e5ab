import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExchangeMember } from "./member.ts";
import { lengthOf } from "./slices.ts";
import { delayMax, exchangeTimes, fragmentSlices } from "./streaming.ts";

const anyStream = fc
  .record({ every: fc.integer({ min: 2, max: 40 }), periods: fc.integer({ min: 1, max: 4 }) })
  .chain(({ every, periods }) =>
    fc.integer({ min: 1, max: every }).chain((fragments) =>
      fc.record({
        ...{ every: fc.constant(every), updates: fc.constant(periods * every) },
        fragments: fc.constant(fragments),
        delay: fc.integer({ min: 1, max: delayMax(every, fragments) }),
      }),
    ),
  );

describe("exchanges of a round", () => {
  it("are of all entries at once where they do not stream", () => {
    expect(exchangeTimes({ every: 3 }, 6)).toEqual([
      { fragment: null, sharedAt: 3, joinedAt: 3 },
      { fragment: null, sharedAt: 6, joinedAt: 6 },
    ]);
  });

  it("R31: are of one fragment after the other, each at its offset, and of all at the end", () => {
    const stream = { fragments: 3, delay: 2, mix: 0.5 };
    expect(exchangeTimes({ every: 7, stream }, 14)).toEqual([
      { fragment: 0, sharedAt: 2, joinedAt: 4 },
      { fragment: 1, sharedAt: 4, joinedAt: 6 },
      { fragment: 2, sharedAt: 7, joinedAt: 9 },
      { fragment: 0, sharedAt: 9, joinedAt: 11 },
      { fragment: 1, sharedAt: 11, joinedAt: 13 },
      { fragment: null, sharedAt: 14, joinedAt: 14 },
    ]);
  });

  it("R31: have one under way at a time, and all that is trained behind them at the round's end", () => {
    fc.assert(
      fc.property(anyStream, ({ every, updates, fragments, delay }) => {
        const times = exchangeTimes({ every, stream: { fragments, delay, mix: 0 } }, updates);
        expect(times).toHaveLength((updates / every) * fragments);
        times.forEach(({ fragment, sharedAt, joinedAt }, i) => {
          expect(sharedAt).toBeGreaterThanOrEqual(times[i - 1]?.joinedAt ?? 1);
          const isLast = i === times.length - 1;
          expect(fragment).toBe(isLast ? null : i % fragments);
          expect(joinedAt).toBe(isLast ? updates : Math.min(updates, sharedAt + delay));
          if (isLast) expect(sharedAt).toBe(updates);
        });
      }),
    );
  });

  it("have every entry in one fragment, and about as many in each", () => {
    const counts = [5, 1, 0, 12, 7];
    for (const fragments of [1, 2, 3, 4, 25, 30]) {
      const stream = { fragments, delay: 1, mix: 0 };
      const all = Array.from({ length: fragments }, (_, i) => fragmentSlices(counts, stream, i));
      counts.forEach((count, tensor) => {
        const own = all.map((slices) => lengthOf(slices[tensor] ?? { from: 0, to: 0 }));
        expect(own.reduce((sum, length) => sum + length, 0)).toBe(count);
      });
      const lengths = all.map((slices) => slices.reduce((sum, own) => sum + lengthOf(own), 0));
      expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
    }
  });
});

describe("a member that exchanges by fragments", () => {
  const coding = {
    bytesOf: (_count: number, chosen: number) => chosen,
    encode: (
      all: Parameters<ConstructorParameters<typeof ExchangeMember>[0]["coding"]["encode"]>[0],
    ) => ({
      parts: { chosen: [], tensors: new Map() },
      arrived: all,
    }),
  };
  const pair = (mix: number, outer = { rate: 1, momentum: 0 }) =>
    [0, 1].map((place) => {
      const member = new ExchangeMember({
        rules: {
          ...{ every: 4, select: { kind: "all" }, staleness: 0, reduce: "each" },
          ...{ join: { kind: "average" }, outer, stream: { fragments: 2, delay: 1, mix } },
        },
        outgoing: [{ chain: String(1 - place), bytes: null, place: 1 - place }],
        ...{ microBatches: 1, jointBatches: 2, voices: 2, place, learningRate: 0.1, coding },
      });
      member.begin([Float32Array.of(0, 0), Float32Array.of(0, 0)]);
      return member;
    });
  const exchange = (
    members: readonly ExchangeMember[],
    values: readonly (readonly Float32Array[])[],
    fragment: number | null,
  ) => {
    const shared = members.map((one, i) => one.share(values[i] ?? [], null, fragment));
    return members.map((member) => member.join(shared.map(({ own }) => own)));
  };

  it("R31: keeps a share of what it has come to meanwhile, of the fragment alone", () => {
    const members = pair(0.25);
    const values = [1, 3].map((at) => [Float32Array.of(at, at), Float32Array.of(at, at)]);
    const joint = exchange(members, values, 0);
    expect(joint).toEqual([0, 1].map(() => [Float32Array.of(2, 2), new Float32Array(0)]));
    // It has trained on, to 9 everywhere: of the way back from 2 a quarter; tensors that the fragment lacks may be left out.
    const now = [Float32Array.of(9, 9), new Float32Array(0)];
    expect(members[0]?.mixed(joint[0] ?? [], now)).toEqual([
      Float32Array.of(3.75, 3.75),
      new Float32Array(0),
    ]);
  });

  it("R31: counts each fragment's changes from what came of it last, with a velocity of its own", () => {
    const members = pair(0, { rate: 1, momentum: 0.5 });
    const both = (at: number) =>
      members.map(() => [Float32Array.of(at, at), Float32Array.of(at, at)]);
    // v = 1, w = 0 + 1 + 0.5
    expect(exchange(members, both(1), 0)[0]?.[0]).toEqual(Float32Array.of(1.5, 1.5));
    // The second half has moved by 2 since the start: v = 2, w = 0 + 2 + 1.
    expect(exchange(members, both(2), 1)[0]?.[1]).toEqual(Float32Array.of(3, 3));
    // All: the first by 0.5 from 1.5, v = 1, w = 1.5 + 0.5 + 0.5; the second by -1 from 3, v = 0, w = 3 - 1 + 0.
    expect(exchange(members, both(2), null)[0]).toEqual([
      Float32Array.of(2.5, 2.5),
      Float32Array.of(2, 2),
    ]);
  });
});
