/** What a run with real numbers came to: when its rounds ended, and how accurate the model was by then. */
import { batchesTrained, type TimedRecord } from "edgeloom";

/** When the rounds of a run had ended, in seconds of training. */
export type Ends = readonly number[];

/** How a scheme did whose numbers were computed. */
export interface Trained {
  readonly ends: Ends;
  /** Accuracy on held-out samples, after so many rounds. */
  readonly points: readonly (readonly [rounds: number, accuracy: number])[];
  /** At the end; 0 where the run was left before. */
  readonly accuracy: number;
  readonly samples: number;
}

/** Reads a run of so many samples a batch; its time is that of rounds, without measurements. */
export function trainedIn(records: readonly TimedRecord[], batch: number): Trained {
  let [ms, samples, accuracy] = [0, 0, 0];
  let work: ReadonlyMap<string, number> = new Map();
  const ends: number[] = [];
  const points: (readonly [number, number])[] = [];
  for (const { record } of records) {
    if (record.type === "planned") {
      work = new Map(record.plan.chains.map((chain) => [chain.id, chain.work]));
    }
    if (record.type === "round") {
      ms += record.ms;
      ends.push(ms / 1000);
      for (const participant of record.participants) {
        samples += batch * batchesTrained(participant, work.get(participant.chain) ?? 0);
      }
    }
    if (record.type !== "evaluation" || record.accuracy === null) continue;
    points.push([record.round, record.accuracy]);
    if (record.final) accuracy = record.accuracy;
  }
  return { ends, points, accuracy, samples };
}

/** How many times as long as planned rounds took: on average, and the longest. */
export function overPlan(records: readonly TimedRecord[]): { mean: number; most: number } {
  let plannedMs = Number.NaN;
  const ratios: number[] = [];
  for (const { record } of records) {
    if (record.type === "planned") {
      plannedMs = Math.max(...record.plan.forecasts.map(({ roundMs }) => roundMs));
    }
    if (record.type === "round") ratios.push(record.ms / plannedMs);
  }
  return {
    mean: ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length,
    most: Math.max(...ratios),
  };
}
