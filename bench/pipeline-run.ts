/** One scheme on one scenario in virtual time, and what it came to. */
import type { LinksMeasured, Plan, Planner, TimedRecord } from "edgeloom";
import { type SimulationOptions, simulate } from "edgeloom/sim";
import { chainText } from "./pipeline-schemes.ts";
import { batchTimes, handOvers, stallPeriods } from "./pipeline-stalls.ts";

/** What a scheme came to on a scenario. */
export interface Outcome {
  /** Batches that were committed from the first plan to the end of the trace. */
  readonly batches: number;
  /** From the start to the first plan: joining and probing. */
  readonly startMs: number;
  /** From the first plan to the end of the trace. */
  readonly trainedMs: number;
  /** Batches a minute. */
  readonly perMinute: number;
  readonly terms: number;
  /** Times that a round could not be finished, and began anew. */
  readonly lostRounds: number;
  /** Stalls at hand-overs, in times from batch to batch; none where it was not watched. */
  readonly stalls: readonly number[];
  /** Batches that came back to the device before a change of plan, and are in no round; 0 where it was not watched. */
  readonly lostBatches: number;
  /** Of the time on any node's own link, each way, what probes took; null where it was not counted. */
  readonly probeShare: number | null;
  /** The last plan's chain. */
  readonly chain: string;
}

/** A run that has committed nothing by then is left: it counts as one without batches. */
const patience = 2;

/** Which scheme, if it is not the job's own, and whether what its nodes do is watched. */
interface SchemeOptions {
  readonly planner?: Planner;
  readonly isWatched?: boolean;
}

/** Has a scheme train until a trace is over. */
export async function runScheme(
  ready: SimulationOptions,
  endMs: number,
  scheme: SchemeOptions = {},
): Promise<Outcome> {
  const { records } = await simulate({
    ...ready,
    ...scheme,
    until: (nowMs, seen) => (nowMs >= endMs && isCounted(seen, endMs)) || nowMs >= patience * endMs,
  });
  const counts = countsOf(records, { endMs, work: ready.job.localBatches });
  if (scheme.isWatched !== true) return { ...counts, stalls: [], lostBatches: 0 };
  const device = records.flatMap(({ record }) => (record.type === "planned" ? [record] : []))[0]
    ?.plan.chains[0]?.source;
  const times = device === undefined ? [] : batchTimes(records, device);
  const stalls = handOvers(ready, endMs).flatMap((atMs) => stallPeriods(times, atMs) ?? []);
  return { ...counts, stalls, lostBatches: lostOf(records, times, ready.job.localBatches) };
}

/**
 * Batches that came back and are in no round. A plan is made when the pipeline is empty, so by then
 * all that came back belongs to the rounds before its first, some of which are committed later.
 */
function lostOf(records: readonly TimedRecord[], times: readonly number[], work: number): number {
  const batches = records.flatMap(({ record }) =>
    record.type === "round"
      ? [
          {
            round: record.round,
            steps: Math.max(...record.participants.map(({ steps = work }) => steps)),
          },
        ]
      : [],
  );
  const last = batches.at(-1)?.round ?? -1;
  const lost = records.flatMap(({ atMs, record }) => {
    if (record.type !== "planned" || record.round > last + 1) return [];
    const before = batches.filter(({ round }) => round < record.round);
    return [backBy(atMs, times) - before.reduce((sum, { steps }) => sum + steps, 0)];
  });
  return Math.max(0, ...lost);
}

const backBy = (atMs: number, times: readonly number[]): number =>
  times.filter((ms) => ms <= atMs).length;

/** Whether the round that is under way at the end is committed, which counts by the share of it that was before. */
export const isCounted = (records: readonly TimedRecord[], endMs: number): boolean =>
  (records.findLast(({ record }) => record.type === "round")?.atMs ?? 0) >= endMs;

/** What records tell of a run until a time. @param work batches of a whole round */
export function countsOf(
  records: readonly TimedRecord[],
  { endMs, work }: { readonly endMs: number; readonly work: number },
): Omit<Outcome, "stalls" | "lostBatches"> {
  let [batches, terms, lostRounds] = [0, 0, 0];
  let first: number | null = null;
  let plan: Plan | null = null;
  for (const { atMs, record } of records) {
    if (record.type === "planned" && atMs < endMs) {
      first ??= atMs;
      terms++;
      plan = record.plan;
    } else if (record.type === "waiting" && atMs < endMs) lostRounds++;
    else if (record.type === "round") {
      const fromMs = atMs - record.ms;
      const share = Math.max(0, Math.min(1, (endMs - fromMs) / record.ms));
      for (const { steps = work } of record.participants) batches += share * steps;
    }
  }
  const startMs = first ?? endMs;
  const trainedMs = endMs - startMs;
  return {
    batches,
    startMs,
    trainedMs,
    perMinute: trainedMs === 0 ? 0 : (60_000 * batches) / trainedMs,
    terms,
    lostRounds,
    probeShare: probeShareOf(records),
    chain: plan === null ? "none" : chainText(plan),
  };
}

/**
 * Probes of all ways that pass a node's own link, each way, from the first round to the last count; null
 * where nothing was counted since.
 */
function probeShareOf(records: readonly TimedRecord[]): number | null {
  const first = records.findIndex(({ record }) => record.type === "round");
  const counts = records.flatMap(({ atMs, record }, i) =>
    record.type === "links" ? [{ atMs, probes: record.probes, isEarly: i < first }] : [],
  );
  const before = counts.findLast(({ isEarly }) => isEarly);
  const after = counts.at(-1);
  if (before === undefined || after === undefined || before === after) return null;
  const [start, end] = [wiresOf(before.probes), wiresOf(after.probes)];
  const ms = [...end].map(([wire, held]) => held - (start.get(wire) ?? 0));
  return Math.max(0, ...ms) / (after.atMs - before.atMs);
}

/** How long probes have held each node's own link, by direction. */
function wiresOf(probes: LinksMeasured["probes"]): Map<string, number> {
  const held = new Map<string, number>();
  for (const { from, to, ms } of probes) {
    // What the coordinator sends and hears comes by a line that nobody measures.
    const wires = [
      ...(from === null ? [] : [`out of ${from}`]),
      ...(to === null ? [] : [`into ${to}`]),
    ];
    for (const wire of wires) held.set(wire, (held.get(wire) ?? 0) + ms);
  }
  return held;
}
