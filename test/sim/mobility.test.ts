import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { drawMobility, type MobilityFields, parseMobility } from "../../src/sim/mobility.ts";
import { parseScenario } from "../../src/sim/scenario.ts";

const mobility = parseMobility(parse(readFileSync("bench/pipeline-mobility.yaml", "utf8")));
const drawn = mobility.sets.flatMap((set) => {
  const [first, last] = set.seeds;
  const seeds = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return seeds.map((seed) => ({ set, seed, fields: drawMobility(mobility, set, seed) }));
});
const scenarioOf = (fields: MobilityFields) =>
  parseScenario({ model: "vgg11", data: "mnist", ...fields });
const tracesOf = (fields: MobilityFields) => {
  const { traces } = scenarioOf(fields);
  return {
    cells: traces.flatMap((one) => (one.kind === "cell" ? [one.points] : [])).flat(),
    rates: traces.flatMap((one) => (one.kind === "rate" && "points" in one ? one.points : [])),
    loads: traces.flatMap((one) => (one.kind === "speed" && "points" in one ? [one.points] : [])),
  };
};
/** Mean of a value that holds from each point to the next, or to the end. */
function meanOf(points: readonly (readonly [number, number])[], endMs: number): number {
  const weighed = points.map(([atMs, value], i) => value * ((points[i + 1]?.[0] ?? endMs) - atMs));
  return weighed.reduce((sum, one) => sum + one, 0) / endMs;
}
const endMs = 1000 * mobility.durationSeconds;

describe("drawn mobility", () => {
  it("is a scenario for each of twenty seeds, the same when it is drawn again", () => {
    expect(drawn).toHaveLength(20);
    for (const { set, seed, fields } of drawn) {
      expect(scenarioOf(fields).nodes).toHaveLength(10);
      expect(drawMobility(mobility, set, seed)).toEqual(fields);
    }
    expect(new Set(drawn.map(({ fields }) => JSON.stringify(fields))).size).toBe(20);
  });

  it("has its points in order, within the time it lasts, and begins in reach of a cell", () => {
    for (const { fields } of drawn) {
      const { cells, rates, loads } = tracesOf(fields);
      for (const points of [cells, rates, ...loads]) {
        const times = points.map(([atMs]) => atMs);
        expect(times[0]).toBe(0);
        expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
        expect(times.at(-1)).toBeLessThan(endMs + 1000 * mobility.handOver.gapSeconds);
      }
      expect(cells[0]?.[1]).not.toBeNull();
    }
  });

  it("loses reach for longer than a hand-over only where cells are far apart, and servers only where they crash", () => {
    const gapMs = 1000 * mobility.handOver.gapSeconds;
    const longestMs = (fields: MobilityFields): number => {
      const { cells } = tracesOf(fields);
      const gaps = cells.map(([atMs, cell], i) =>
        cell === null ? (cells[i + 1]?.[0] ?? endMs) - atMs : 0,
      );
      return Math.max(...gaps);
    };
    for (const { set, fields } of drawn) {
      if (set.name !== "holes") expect(longestMs(fields)).toBeLessThanOrEqual(gapMs + 1e-6);
      if (set.crashes === undefined) expect(fields.faults).toEqual([]);
    }
    const holes = drawn.filter(({ set }) => set.name === "holes");
    expect(Math.max(...holes.map(({ fields }) => longestMs(fields)))).toBeGreaterThan(10 * gapMs);
    const crashes = drawn.filter(({ set }) => set.name === "crashes");
    for (const { fields } of crashes) expect(fields.faults.length).toBeGreaterThan(2);
  });

  it("moves through several cells at every rate of the radio", () => {
    const moves = drawn.map(
      ({ fields }) => new Set(tracesOf(fields).cells.map(([, cell]) => cell)),
    );
    expect(Math.min(...moves.map((cells) => cells.size))).toBeGreaterThanOrEqual(3);
    const rates = new Set(drawn.flatMap(({ fields }) => tracesOf(fields).rates.map(([, r]) => r)));
    expect(rates.size).toBe(mobility.radio.mbitByDecibels.length);
  });

  it("leaves servers the share of time that their tenants do not take", () => {
    const shares = drawn.flatMap(({ fields }) =>
      tracesOf(fields).loads.map((points) => meanOf(points, endMs)),
    );
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    // Four tenants, each there half of the time: the mean of 1 / (1 + n), n binomial, is 31 / 80.
    expect(mean).toBeCloseTo(31 / 80, 1);
  });

  it("refuses parameters that mean nothing", () => {
    expect(() => parseMobility({ ...mobility, durationSeconds: 0 }, "m.yaml")).toThrow(
      /m\.yaml.*durationSeconds: got 0/,
    );
    const walk = { ...mobility.walk, metresPerSecond: [0, 1] };
    expect(() => parseMobility({ ...mobility, walk })).toThrow(/metresPerSecond/);
  });
});
