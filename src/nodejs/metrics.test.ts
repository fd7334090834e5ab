import { expect, it } from "vitest";
import { chainId, nodeId } from "../base/ids.ts";
import type { NodeJoined, NodeRound, RoundCommitted } from "../run/metrics/record.ts";
import { RunMetrics } from "./metrics.ts";

const joined = (name: string, kind: NodeJoined["kind"]): NodeJoined => ({
  type: "joined",
  node: nodeId(name),
  name,
  kind,
  duty: 1,
  memoryBytes: null,
  ceilingBytesPerMs: null,
  samples: 1,
  engine: "none",
});

const cost = (name: string): NodeRound => ({
  node: nodeId(name),
  computeMs: 1,
  busyMs: 1,
  dutyAchieved: 1,
  held: null,
  ahead: null,
  bytesUp: 100,
  bytesDown: 30,
  bytesStraight: 0,
  straight: [],
  sending: null,
  receiving: null,
  peakRssBytes: null,
});

const round = (number: number, ms: number, dropped: RoundCommitted["dropped"]): RoundCommitted => ({
  type: "round",
  round: number,
  term: 1,
  learningRate: 0.1,
  ms,
  loss: 1 / (number + 1),
  participants: [],
  dropped,
  nodes: [cost("a"), cost("edge")],
});

/** Value of a series; undefined where it is not there. */
const valueIn = (text: string, series: string): number | undefined => {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};

it("metrics are a fold over the records, in Prometheus' text form", async () => {
  const metrics = new RunMetrics();
  try {
    const before = await metrics.text();
    expect(valueIn(before, "edgeloom_rounds_total")).toBe(0);
    expect(valueIn(before, "edgeloom_loss")).toBeUndefined();
    for (const record of [joined("a", "device"), joined("b", "device"), joined("edge", "edge")]) {
      metrics.add(record, 0);
    }
    const late = { chain: chainId("chain:b"), reason: "1 of 2 chains missed the deadline" };
    const gone = { chain: chainId("chain:b"), reason: "b left: the connection closed" };
    metrics.add(round(0, 300, [late]), 0);
    metrics.add(round(1, 700, [gone, gone]), 0);
    metrics.add(
      { type: "left", node: nodeId("b"), name: "b", reason: "the connection closed", round: 1 },
      0,
    );
    metrics.add(
      { type: "evaluation", round: 2, samples: 5, accuracy: 0.8, loss: 0.5, ms: 1, final: false },
      0,
    );
    const text = await metrics.text();
    const expected: Record<string, number> = {
      edgeloom_rounds_total: 2,
      edgeloom_loss: 0.5,
      edgeloom_accuracy: 0.8,
      'edgeloom_members{kind="device"}': 1,
      'edgeloom_members{kind="edge"}': 1,
      'edgeloom_bytes_total{direction="up"}': 400,
      'edgeloom_bytes_total{direction="down"}': 120,
      'edgeloom_chains_dropped_total{reason="deadline"}': 1,
      'edgeloom_chains_dropped_total{reason="left"}': 2,
      edgeloom_round_duration_seconds_count: 2,
      edgeloom_round_duration_seconds_sum: 1,
      'edgeloom_round_duration_seconds_bucket{le="0.5"}': 1,
      'edgeloom_leaves_total{kind="device"}': 1,
    };
    const found = Object.keys(expected).map((series) => [series, valueIn(text, series)]);
    expect(Object.fromEntries(found)).toEqual(expected);
    for (const series of ["process_resident_memory_bytes", "process_cpu_seconds_total"]) {
      expect(valueIn(text, series), series).toBeGreaterThan(0);
    }
    expect(text).toContain("# TYPE edgeloom_rounds_total counter");
    expect(text).toContain("# TYPE edgeloom_round_duration_seconds histogram");
  } finally {
    metrics.close();
  }
});
