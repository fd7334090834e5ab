/** What hand-overs cost, on records and traces of a few lines. */
import { describe, expect, it } from "vitest";
import { batchTimes, handOvers, losesNobody, stallPeriods } from "../../bench/pipeline-stalls.ts";
import { nodeId } from "../../src/base/ids.ts";
import type { TimedRecord } from "../../src/run/metrics/record.ts";
import type { SimTrace, SimulationOptions } from "../../src/sim.ts";

const phone = nodeId("phone");

const walk = (
  points: Extract<SimTrace, { kind: "cell" }>["points"],
  faults: SimulationOptions["faults"] = [],
): SimulationOptions =>
  ({ traces: [{ kind: "cell", node: "phone", points }], faults }) as unknown as SimulationOptions;

describe("times of batches", () => {
  it("are the ends of the device's backward passes and steps", () => {
    const records: TimedRecord[] = [
      {
        atMs: 1000,
        record: {
          type: "activity",
          node: phone,
          // Kind, age of the beginning, duration.
          spans: [
            ["forward", 60, 10],
            ["backward", 40, 15],
            ["step", 20, 5],
          ],
        },
      },
      {
        atMs: 1200,
        record: { type: "activity", node: nodeId("server"), spans: [["backward", 40, 15]] },
      },
      { atMs: 1300, record: { type: "activity", node: phone, spans: [["backward", 100, 30]] } },
    ];
    expect(batchTimes(records, phone)).toEqual([975, 985, 1230]);
  });
});

describe("hand-overs", () => {
  const points = [
    [0, "a"],
    [1000, null],
    [1300, "b"],
    [5000, null],
    [9000, "c"],
    [31_000, null],
    [31_300, "d"],
  ] as const;

  it("are where a node has come into another cell after a short gap, with time to see what it cost", () => {
    expect(handOvers(walk(points), 60_000)).toEqual([1300, 31_300]);
    expect(handOvers(walk(points), 41_000)).toEqual([1300]);
  });

  it("lose nobody where gaps are short and nothing crashes", () => {
    expect(losesNobody(walk(points), 4000)).toBe(true);
    expect(losesNobody(walk(points), 60_000)).toBe(false);
    const crash = { kind: "crash", node: "server", atMs: 50 } as const;
    expect(losesNobody(walk([[0, "a"]], [crash]), 4000)).toBe(false);
  });
});

describe("a stall", () => {
  /** A batch every 100 ms for two minutes, but for what is left out. */
  const steady = (isThere: (ms: number) => boolean = () => true): number[] =>
    Array.from({ length: 1200 }, (_, i) => 100 * i).filter(isThere);

  it("is the longest gap beyond the usual one, in usual gaps", () => {
    expect(stallPeriods(steady(), 60_050)).toBe(0);
    // 400 ms from one batch to the next.
    const gap = (fromMs: number) => steady((ms) => ms <= fromMs || ms >= fromMs + 400);
    expect(stallPeriods(gap(60_000), 60_050)).toBe(3);
    // It belongs to the hand-over from a second before to ten seconds after.
    expect(stallPeriods(gap(59_200), 60_050)).toBe(3);
    expect(stallPeriods(gap(69_900), 60_050)).toBe(3);
    expect(stallPeriods(gap(58_000), 60_050)).toBe(0);
    expect(stallPeriods(gap(75_000), 60_050)).toBe(0);
  });

  it("is not known where too few batches came before", () => {
    expect(stallPeriods(steady(), 1500)).toBe(null);
    expect(stallPeriods([], 60_000)).toBe(null);
  });
});
