import { describe, expect, test } from "vitest";
import { historyOf, sampleRecords } from "./testing/sample-run.ts";
import {
  clock,
  leftMs,
  listed,
  mbitDigits,
  measuredInCell,
  phaseOf,
  planInWords,
  segmentsWords,
  sentencesOf,
} from "./words.ts";

describe("the state of a run", () => {
  const phase = (count: number, source: "live" | "past", isLost = false) => {
    const history = historyOf(sampleRecords().slice(0, count));
    return phaseOf(history, history.summary, source, isLost);
  };

  test("is told as it goes", () => {
    expect(phase(3, "live")).toMatchObject({ kind: "waiting", detail: "2 nodes so far" });
    expect(phase(8, "live").text).toBe("training round 3 of 4");
    expect(phase(13, "live").kind).toBe("measuring");
    expect(phase(15, "live").text).toBe("finished");
  });

  test("says when the server is gone, but not after the end", () => {
    expect(phase(8, "live", true).kind).toBe("gone");
    expect(phase(15, "live", true).kind).toBe("finished");
  });

  test("says when a past run has no end", () => {
    expect(phase(8, "past").kind).toBe("stopped");
  });
});

test("time left follows the pace since the first plan", () => {
  const history = historyOf(sampleRecords(false).slice(0, 8));
  expect(leftMs(history, history.summary, 210)).toBe(200);
  const early = historyOf(sampleRecords().slice(0, 5));
  expect(leftMs(early, early.summary, 50)).toBeNull();
});

test("a plan is told to somebody who never heard of it", () => {
  const { summary } = historyOf(sampleRecords());
  if (summary.plan === null) throw new Error("the sample has a plan");
  expect(planInWords(summary.plan, summary)).toBe(
    "2 devices train the first 1 to 3 of 5 segments of the model on their own data, which never " +
      "leave them; edge trains the rest. After each round the copies are averaged into one model.",
  );
});

test("a plan of one node that trains everything", () => {
  const { summary } = historyOf(sampleRecords().slice(0, 6));
  const { plan } = summary;
  if (plan === null) throw new Error("the sample has a plan");
  const alone = plan.chains
    .slice(0, 1)
    .map((chain) => ({ ...chain, stages: chain.stages.slice(0, 1) }));
  expect(planInWords({ ...plan, chains: alone }, summary)).toBe(
    "1 device trains the whole model on its own data.",
  );
});

test("segments are counted from one", () => {
  expect(segmentsWords(0, 7, 12)).toBe("segments 1–7 of 12");
  expect(segmentsWords(6, 7, 12)).toBe("segment 7 of 12");
  expect(segmentsWords(0, 12, 12)).toBe("all 12 segments");
});

test("reasons become sentences", () => {
  expect(sentencesOf("as fast as any; keeps 22 % of the work")).toEqual([
    "As fast as any.",
    "Keeps 22 % of the work.",
  ]);
  expect(sentencesOf("slow: 8 x slower than the fastest; cut 2 keeps 31 % of its time")).toEqual([
    "Slow: 8 x slower than the fastest.",
    "Cut 2 keeps 31 % of its time.",
  ]);
  expect(sentencesOf("")).toEqual([]);
});

test("lists, rates and times read as people write them", () => {
  expect(listed(["a"])).toBe("a");
  expect(listed(["a", "b", "c"])).toBe("a, b and c");
  expect(listed(["a", "b", "c", "d", "e", "f"], 2)).toBe("a, b and 4 more");
  expect([0.21, 31.04, 180.4].map((mbit) => mbitDigits(mbit * 125))).toEqual([
    "0.21",
    "31.0",
    "180",
  ]);
  expect([0, 7_900, 750_000, 3_750_000].map(clock)).toEqual(["0:00", "0:07", "12:30", "1:02:30"]);
});

test("a cell for accuracies says so where it holds a loss", () => {
  expect(measuredInCell({ accuracy: 0.931, heldOutLoss: 0.2 })).toBe("93.10 %");
  expect(measuredInCell({ accuracy: null, heldOutLoss: 0.2 })).toBe("loss 0.2000");
  expect(measuredInCell({ accuracy: null })).toBe("–");
});
