import { describe, expect, it } from "vitest";
import { type NodeId, nodeId } from "../../base/ids.ts";
import { roundsCsv } from "./csv.ts";
import { activityKeptMs, RunHistory } from "./history.ts";
import type { NodeRound } from "./record.ts";

const cost = (node: NodeId): NodeRound => ({
  node,
  computeMs: 4,
  busyMs: 8,
  dutyAchieved: 0.5,
  held: { forward: 3, backward: 4, update: 1, step: 0 },
  ahead: 3,
  bytesUp: 100,
  bytesDown: 50,
  bytesStraight: 0,
  straight: [],
  sending: { bytes: 100, ms: 20 },
  receiving: null,
  peakRssBytes: null,
});

const round = (number: number, ...nodes: NodeRound[]) =>
  ({
    atMs: 100 * (number + 1),
    record: {
      type: "round",
      round: number,
      term: 1,
      learningRate: 0.1,
      ms: 60,
      loss: 0.5,
      participants: [],
      dropped: [],
      nodes,
    },
  }) as const;

describe("a run's history", () => {
  it("keeps only the last stretch of each node's activity", () => {
    const history = new RunHistory();
    const node = nodeId("a");
    for (let i = 0; i < 2000; i++) {
      history.add({
        atMs: 100 * (i + 1),
        record: { type: "activity", node, spans: [["forward", 90, 40]] },
      });
    }
    const spans = history.activity.get(node) ?? [];
    const newestMs = 200_000;
    expect(spans.at(-1)).toEqual({ kind: "forward", fromMs: newestMs - 90, toMs: newestMs - 50 });
    expect(spans.filter((span) => span.toMs > newestMs - activityKeptMs)).toHaveLength(300);
    expect(spans.length).toBeLessThan(900);
  });

  it("counts the newest time and its events in words", () => {
    const history = new RunHistory();
    history.add({
      atMs: 40,
      record: { type: "left", node: nodeId("a"), name: "phone", reason: "gone", round: 1 },
    });
    history.add(round(0));
    expect(history.atMs).toBe(100);
    expect(history.events).toEqual([{ atMs: 40, kind: "left", text: "phone left: gone" }]);
  });
});

describe("rounds as CSV", () => {
  it("have a row per round and node under one header, unmeasured fields empty", () => {
    const history = new RunHistory();
    history.add(round(0, cost(nodeId("a")), cost(nodeId("b"))));
    history.add({
      atMs: 110,
      record: {
        type: "evaluation",
        round: 1,
        samples: 10,
        accuracy: 0.9,
        loss: 0.3,
        ms: 2,
        final: false,
      },
    });
    const [header = "", first = "", second = "", rest] = roundsCsv(history).split("\r\n");
    const columns = header.split(",");
    const row = Object.fromEntries(first.split(",").map((cell, i) => [columns[i], cell]));
    expect(row).toMatchObject({
      round: "1",
      at_ms: "100",
      test_accuracy: "0.9",
      node: "a",
      forward_ms: "3",
      send_bytes_per_ms: "5",
      receive_bytes_per_ms: "",
      peak_rss_bytes: "",
      batches_ahead: "3",
      waiting_ms: "32",
    });
    expect(second.split(",")).toHaveLength(columns.length);
    expect(rest).toBe("");
  });

  it("keep a name that looks like a formula, or has a comma, a text", () => {
    const history = new RunHistory();
    history.add(round(0, cost(nodeId('=SUM(1,"2")'))));
    expect(roundsCsv(history)).toContain(`,"'=SUM(1,""2"")",`);
  });
});
