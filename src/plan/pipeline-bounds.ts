/**
 * What no chain of a pipeline does without: bounds by which the search gives up ends of chains that cannot
 * be part of a better one. They come from recurrences that forget which servers have been used.
 */
import { present } from "../base/assert.ts";
import type { PipelineProblem } from "./pipeline-schedule.ts";

/** The least that a chain has before a stage which begins at a segment, its border included. */
export interface Bounds {
  readonly latencyMs: Float64Array;
  readonly periodMs: Float64Array;
}

/**
 * By node, what the segments before a cut cost at least, each figure for itself, with servers that
 * may be used any number of times and memory that holds everything: shortest (and widest) ways from
 * the source through all borders. Every true chain is such a way.
 */
export function lowerBounds(problem: PipelineProblem): readonly Bounds[] {
  const { stages, borders, segments, firstCut } = problem;
  const empty = (): Bounds => ({
    latencyMs: new Float64Array(segments + 1).fill(Number.POSITIVE_INFINITY),
    periodMs: new Float64Array(segments + 1).fill(Number.POSITIVE_INFINITY),
  });
  const before = stages.map(empty);
  const ending = stages.map(empty);
  present(before[0], "the source").latencyMs[0] = 0;
  present(before[0], "the source").periodMs[0] = 0;
  for (let cut = firstCut; cut < segments; cut++) {
    for (const [node, costs] of stages.entries()) {
      const end = ending[node] as Bounds;
      for (let from = node === 0 ? 0 : firstCut; from < (node === 0 ? 1 : cut); from++) {
        const at = from * (segments + 1) + cut;
        const latencyMs = (before[node] as Bounds).latencyMs[from] as number;
        const periodMs = (before[node] as Bounds).periodMs[from] as number;
        end.latencyMs[cut] = Math.min(
          end.latencyMs[cut] as number,
          latencyMs + (costs.latencyMs[at] as number),
        );
        end.periodMs[cut] = Math.min(
          end.periodMs[cut] as number,
          Math.max(periodMs, costs.periodMs[at] as number),
        );
      }
    }
    for (const [to, least] of before.entries()) {
      for (const [from, end] of ending.entries()) {
        if (from === to || to === 0) continue;
        const border = present(borders[from]?.[to], "a border");
        least.latencyMs[cut] = Math.min(
          least.latencyMs[cut] as number,
          (end.latencyMs[cut] as number) + (border.latencyMs[cut] as number),
        );
        least.periodMs[cut] = Math.min(
          least.periodMs[cut] as number,
          Math.max(end.periodMs[cut] as number, border.periodMs[cut] as number),
        );
      }
    }
  }
  return before;
}
