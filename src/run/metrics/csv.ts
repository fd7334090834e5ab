/** A run's rounds as CSV (RFC 4180) for spreadsheets and data frames. */

import type { EvaluationPoint, RunHistory } from "./history.ts";
import { waitingMs } from "./waiting.ts";

const columns = [
  "round",
  "at_ms",
  "term",
  "round_ms",
  "learning_rate",
  "train_loss",
  "test_accuracy",
  "test_loss",
  "node",
  "compute_ms",
  "forward_ms",
  "backward_ms",
  "update_ms",
  "step_ms",
  "bytes_up",
  "bytes_down",
  "bytes_straight",
  "send_bytes_per_ms",
  "receive_bytes_per_ms",
  "peak_rss_bytes",
  "batches_ahead",
  "waiting_ms",
] as const;

/**
 * One row for each round and node, the round's own figures repeated; rounds count
 * from 1. A figure that was not measured is an empty field. An accuracy stands in
 * the rows of the round it was measured after.
 */
export function roundsCsv(history: RunHistory): string {
  const measured = new Map<number, EvaluationPoint>();
  for (const point of history.evaluations) measured.set(point.round, point);
  const lines = [columns.join(",")];
  for (const { round, atMs, term, ms, learningRate, loss, nodes } of history.rounds) {
    const evaluation = measured.get(round + 1);
    const common = [round + 1, Math.round(atMs), term, ms, learningRate, loss];
    const test = [evaluation?.accuracy ?? null, evaluation?.loss ?? null];
    for (const node of nodes) {
      const { held, sending, receiving } = node;
      const cells = [
        ...common,
        ...test,
        quoted(node.node),
        node.computeMs,
        held?.forward ?? null,
        held?.backward ?? null,
        held?.update ?? null,
        held?.step ?? null,
        node.bytesUp,
        node.bytesDown,
        node.bytesStraight,
        rateOf(sending),
        rateOf(receiving),
        node.peakRssBytes,
        node.ahead,
        held === null ? null : waitingMs(ms, node),
      ];
      lines.push(cells.join(","));
    }
  }
  return `${lines.join("\r\n")}\r\n`;
}

const rateOf = (traffic: { bytes: number; ms: number } | null): number | null =>
  traffic === null || traffic.ms === 0 ? null : traffic.bytes / traffic.ms;

/** Names are quoted where a comma or a quote would break the row; a formula is kept a text. */
function quoted(text: string): string {
  const safe = /^[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
