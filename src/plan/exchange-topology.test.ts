import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { copyId } from "../base/ids.ts";
import { exchangeTopology, type TopologyName, topologyNames } from "./exchange-topology.ts";

const members = (count: number) => Array.from({ length: count }, (_, i) => copyId(`c${i}`));
const even = { lines: [] as number[], rateOf: () => Number.POSITIVE_INFINITY };

/** Whether what one knows reaches all others, and the largest number of neighbours. */
function shapeOf(count: number, name: TopologyName, lines: readonly number[]) {
  const { pairs } = exchangeTopology(members(count), { ...even, lines }, name);
  const next = new Map<string, string[]>();
  for (const [from, to] of pairs) next.set(from, [...(next.get(from) ?? []), to]);
  const reached = new Set(["c0"]);
  for (const at of reached) for (const to of next.get(at) ?? []) reached.add(to);
  const edges = new Set(pairs.map((pair) => pair.join(" ")));
  return {
    reached: reached.size,
    most: Math.max(0, ...[...next.values()].map((own) => own.length)),
    isPlain: edges.size === pairs.length && pairs.every(([from, to]) => from !== to),
  };
}

describe("topologies", () => {
  const bounds = { mesh: 40, ring: 2, exponential: 6, nearest: 6, clusters: 9 };

  it.each(topologyNames)(
    "%s: reach everybody, with bounded neighbours and no edge twice",
    (name) => {
      const lines = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 40 });
      fc.assert(
        fc.property(lines, (rates) => {
          const { reached, most, isPlain } = shapeOf(rates.length, name, rates);
          expect(isPlain).toBe(true);
          expect(reached).toBe(rates.length);
          expect(most).toBeLessThanOrEqual(bounds[name]);
        }),
        { numRuns: 50 },
      );
    },
  );

  it("stay bounded up to a thousand members", () => {
    const lines = Array.from({ length: 1000 }, (_, i) => 1 + (i % 7));
    const most = topologyNames
      .filter((name) => name !== "mesh")
      .map((name) => {
        const { most: own, reached } = shapeOf(1000, name, lines);
        expect(reached).toBe(1000);
        return own;
      });
    expect(most).toEqual([2, 8, 6, 9]);
  });

  it("let what one knows reach all soon, however many there are", () => {
    for (const count of [9, 64, 256, 257, 1000, 5000]) {
      const { pairs } = exchangeTopology(members(count), { ...even, lines: [] }, "exponential");
      const own = pairs.flatMap(([from, to]) => (from === "c0" ? [Number(to.slice(1))] : []));
      expect(own.length).toBeLessThanOrEqual(8);
      let known = new Set([0]);
      let exchanges = 0;
      for (; known.size < count; exchanges++) {
        known = new Set([...known].flatMap((at) => [at, ...own.map((hop) => (at + hop) % count)]));
      }
      // Log2 of their number while all powers of two are there.
      expect(exchanges).toBeLessThanOrEqual(count <= 256 ? Math.ceil(Math.log2(count)) : 12);
    }
  });

  it("are a mesh for few, the fastest ways for many with unequal lines, and the exponential graph for others", () => {
    const textOf = (lines: readonly number[]): string =>
      exchangeTopology(members(lines.length), { ...even, lines }).text;
    expect(textOf([1, 9, 9])).toBe("everybody with everybody");
    expect(textOf(Array(12).fill(5))).toContain("places on, up to 4 of 12");
    expect(textOf([...Array(6).fill(50), ...Array(6).fill(5)])).toContain("fastest neighbours");
  });

  it("prefer fast ways: two clusters with slow ways between them exchange mostly within", () => {
    const lines = Array(12).fill(50);
    const rateOf = (a: number, b: number): number => (a % 2 === b % 2 ? 50 : 5);
    const { pairs } = exchangeTopology(members(12), { lines, rateOf }, "nearest");
    const across = pairs.filter(([a, b]) => Number(a.slice(1)) % 2 !== Number(b.slice(1)) % 2);
    // The ring in this order goes across all the time; what is chosen by speed never does.
    expect(across).toHaveLength(24);
    expect(pairs.length - across.length).toBe(2 * 20);
  });
});
