import { expect, test } from "vitest";
import { historyOf, sampleRecords } from "../testing/sample-run.ts";
import { achievedIn, sceneOf, straightIn } from "./scene.ts";

const history = historyOf(sampleRecords());
const byName = (history_ = history) =>
  new Map(sceneOf(history_.summary).map((node) => [node.name, node]));

test("each node shows the segments that the newest plan gives it, and for whom", () => {
  const nodes = byName();
  expect(nodes.get("a")?.strips).toEqual([{ from: 0, to: 3, sources: ["a"] }]);
  expect(nodes.get("edge")?.strips).toEqual([
    { from: 1, to: 5, sources: ["c"] },
    { from: 3, to: 5, sources: ["a"] },
  ]);
});

test("equal parts for several devices are one strip", () => {
  const early = historyOf(sampleRecords().slice(0, 6));
  expect(byName(early).get("edge")?.strips).toEqual([
    { from: 2, to: 5, sources: ["b", "c"] },
    { from: 3, to: 5, sources: ["a"] },
  ]);
});

test("a node that left holds nothing and keeps its place under the edge server", () => {
  const gone = byName().get("b");
  expect(gone).toMatchObject({ left: "lost", strips: [], parent: "edge", allotted: null });
});

test("before the plan, devices already stand under the edge server", () => {
  const nodes = byName(historyOf(sampleRecords().slice(0, 5)));
  expect(nodes.get("a")).toMatchObject({ parent: "edge", strips: [], allotted: null });
});

test("what a link achieved is bytes over the time that they took to leave", () => {
  const achieved = achievedIn(history.rounds.at(-1));
  expect(achieved.get("a" as never)).toEqual({ up: 500, down: 500 });
  expect(achieved.get("c" as never)).toEqual({ up: null, down: null });
  expect(achievedIn(undefined).size).toBe(0);
});

test("what went straight is shown at both of its ends, each way with its rate", () => {
  const links = straightIn(history.rounds.at(-1));
  const there = { sentBytes: 1800, receivedBytes: 1200, up: 250, down: null };
  expect(links.get("a" as never)).toEqual([{ with: "edge", ...there }]);
  const back = { sentBytes: 1200, receivedBytes: 1800, up: null, down: 250 };
  expect(links.get("edge" as never)).toEqual([{ with: "a", ...back }]);
  expect(links.get("c" as never)).toBeUndefined();
  expect(straightIn(undefined).size).toBe(0);
});
