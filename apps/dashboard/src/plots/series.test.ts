import { expect, test } from "vitest";
import { historyOf, sampleRecords } from "../testing/sample-run.ts";
import {
  curveInWords,
  hasAccuracy,
  joined,
  marksOf,
  measured,
  NodeCurves,
  trainingLoss,
} from "./series.ts";

const history = historyOf(sampleRecords());

test("loss stands at the number of rounds done, or at seconds", () => {
  expect(trainingLoss(history, "round")).toEqual({ x: [1, 2, 3, 4], y: [2, 1.5, 1, 0.5] });
  expect(trainingLoss(history, "time").x).toEqual([0.11, 0.21, 0.325, 0.425]);
});

test("a measurement stands at the rounds that it was made after", () => {
  expect(measured(history, "round", "accuracy")).toEqual({ x: [2, 4], y: [0.5, 0.8] });
});

test("there is an accuracy to draw until a measurement has none", () => {
  expect(hasAccuracy(history)).toBe(true);
  expect(hasAccuracy({ rounds: [], evaluations: [] })).toBe(true);
  const none = history.evaluations.map((point) => ({ ...point, accuracy: null }));
  expect(hasAccuracy({ rounds: [], evaluations: none })).toBe(false);
});

test("curves over different places share one row, with nulls between", () => {
  const table = joined([
    { x: [1, 2, 3], y: [9, 8, 7] },
    { x: [2, 2.5], y: [5, 4] },
  ]);
  expect(table.x).toEqual([1, 2, 2.5, 3]);
  expect(table.ys).toEqual([
    [9, 8, null, 7],
    [null, 5, 4, null],
  ]);
});

test("a leave and the plan that answers it are one mark, the first plan is none", () => {
  const marks = marksOf(history, "round");
  expect(marks).toEqual([
    { x: 2, letter: "A", text: "after round 2: b left: lost; new plan, term 2" },
  ]);
  expect(marksOf(history, "time")[0]?.x).toBe(0.22);
});

test("who leaves after the end is no mark", () => {
  const records = [
    ...sampleRecords(),
    { atMs: 500, type: "left", node: "a", name: "a", reason: "closed", round: null },
  ];
  expect(marksOf(historyOf(records), "round")).toHaveLength(1);
});

test("node curves grow with the rounds and stay aligned for nodes that left", () => {
  const ids = new Set(["a", "b", "c"] as never[]);
  const curves = new NodeCurves((cost) => (cost.node === "c" ? 9 : cost.bytesUp), ids);
  curves.update(history.rounds.slice(0, 1));
  curves.update(history.rounds);
  expect(curves.of("b" as never)).toEqual([5000, 5000, null, null]);
  expect(curves.of("nobody" as never)).toEqual([null, null, null, null]);
  expect(curves.lowest).toEqual([9, 9, 9, 9]);
  expect(curves.highest).toEqual([5000, 5000, 5000, 5000]);
  expect(curves.median).toEqual([5000, 5000, 9, 9]);
});

test("a curve is told by its ends", () => {
  const words = (y: (number | null)[]) =>
    curveInWords("Loss", { x: [1, 2, 3], y }, "round", String);
  expect(words([null, 2, 1])).toBe("Loss: from 2 at round 2 to 1 at round 3.");
  expect(words([null, 2, null])).toBe("Loss: 2 at round 2.");
  expect(words([null, null, null])).toBe("Loss: no values yet.");
});
