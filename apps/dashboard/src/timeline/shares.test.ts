import { expect, test } from "vitest";
import { historyOf, sampleRecords } from "../testing/sample-run.ts";
import { RoundTimes, recentTimes } from "./shares.ts";

test("time in rounds is told by kind, and the rest is waiting", () => {
  const times = new RoundTimes();
  const { rounds } = historyOf(sampleRecords());
  times.update(rounds.slice(0, 1));
  times.update(rounds);
  expect(times.byNode.get("a" as never)).toMatchObject({
    forward: 60,
    backward: 80,
    update: 20,
    sending: 40,
    receiving: 32,
    waiting: 168,
    totalMs: 400,
  });
});

test("work of an unknown kind is told as computing", () => {
  const times = new RoundTimes();
  times.update(historyOf(sampleRecords()).rounds);
  expect(times.byNode.get("c" as never)).toMatchObject({ computing: 80, forward: 30 });
});

test("recent shares count only what lies in the window, and overlaps wait once", () => {
  const spans = [
    { kind: "forward" as const, fromMs: 0, toMs: 40 },
    { kind: "sending" as const, fromMs: 90, toMs: 120 },
    { kind: "backward" as const, fromMs: 110, toMs: 130 },
    { kind: "receiving" as const, fromMs: 180, toMs: 220 },
  ];
  expect(recentTimes(spans, 100, 200)).toEqual({
    working: 0.2,
    sending: 0.2,
    receiving: 0.2,
    waiting: 0.5,
  });
});

test("nothing done is all waiting", () => {
  expect(recentTimes([], 0, 1000)).toEqual({ working: 0, sending: 0, receiving: 0, waiting: 1 });
});
