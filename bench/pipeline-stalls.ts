/**
 * What hand-overs cost, seen from the device: how long its batches stood still while it went from one
 * cell to the next, and batches that it trained and that no commit has.
 */
import type { NodeId, SpanKind, TimedRecord } from "edgeloom";
import type { SimulationOptions } from "edgeloom/sim";

/** A hand-over shows for so long around it, and is compared with so long before. */
const [aroundMs, beforeMs] = [10_000, 60_000];
/** Longer without any cell is a place without coverage. */
const gapMsMax = 1_000;

/** Whether a device is done with a batch after such work. */
export const endsBatch = (kind: SpanKind): boolean => kind === "backward" || kind === "step";

/** When batches came back to the device, in order. It has to be watched. */
export function batchTimes(records: readonly TimedRecord[], device: NodeId): number[] {
  return records.flatMap(({ atMs, record }) => {
    if (record.type !== "activity" || record.node !== device) return [];
    const last = record.spans.filter(([kind]) => endsBatch(kind));
    return last.map(([, agoMs, ms]) => atMs - agoMs + ms);
  });
}

/** Whether every server is there all the time, and in reach but for hand-overs. */
export function losesNobody(ready: SimulationOptions, endMs: number): boolean {
  const crashes = ready.faults ?? [];
  return crashes.length === 0 && outages(ready, endMs).every(([from, to]) => isShort(from, to));
}

/** When a node came from one cell into another. */
export const handOvers = (ready: SimulationOptions, endMs: number): number[] =>
  outages(ready, endMs - aroundMs).flatMap(([fromMs, toMs]) =>
    isShort(fromMs, toMs) ? [toMs] : [],
  );

const isShort = (fromMs: number, toMs: number): boolean => toMs - fromMs <= gapMsMax;

/** Stretches without any cell that begin in time. */
function outages(
  { traces = [] }: SimulationOptions,
  endMs: number,
): [fromMs: number, toMs: number][] {
  return traces.flatMap((trace) => {
    if (trace.kind !== "cell") return [];
    return trace.points.flatMap(([fromMs, cell], i): [number, number][] => {
      const toMs = trace.points[i + 1]?.[0] ?? Infinity;
      return cell === null && fromMs < endMs ? [[fromMs, toMs]] : [];
    });
  });
}

/**
 * How long batches stood still around a moment, beyond the usual, in usual times from batch to batch;
 * null where there were too few of them before.
 */
export function stallPeriods(times: readonly number[], atMs: number): number | null {
  const gaps = (fromMs: number, toMs: number): number[] =>
    times.flatMap((ms, i) => {
      const earlier = times[i - 1];
      return earlier !== undefined && ms > fromMs && earlier < toMs ? [ms - earlier] : [];
    });
  const before = gaps(atMs - beforeMs, atMs - gapMsMax).sort((a, b) => a - b);
  const usual = before[Math.floor(before.length / 2)];
  if (usual === undefined || before.length < 10) return null;
  return Math.max(0, ...gaps(atMs - gapMsMax, atMs + aroundMs)) / usual - 1;
}
