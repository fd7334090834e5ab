/**
 * `npm run bench -- parallel-split --real`: parallel split learning on real processes of this machine, eight
 * devices and an edge server with shares of a core and shaped links, beside the same plan in virtual time.
 */
import { loadavg } from "node:os";
import path from "node:path";
import { type Planner, parseJob, splitForecast, type TimedRecord, version } from "edgeloom";
import { simulate } from "edgeloom/sim";
import { atMost, type BenchResult, tell } from "./bench.ts";
import { measuredCore } from "./measured.ts";
import { runReal } from "./real-run.ts";
import { asMeasured, lastPlan, realScene, roundsUnder, sceneIn, sharesOf } from "./real-scene.ts";

const ownScenario = path.join(import.meta.dirname, "parallel-split-real.yaml");

/** Rounds that are compared; the first one under a plan, which waits for weights, is not. */
const roundsCompared = 9;
/** It is given up after so long. */
const msMax = 600_000;

/**
 * Plays a scenario on both sides.
 * @param file null for the one that belongs to the benchmark
 * @throws InputError for one that this machine has too few cores for, or none to play
 */
export async function realParallelSplit(file: string | null): Promise<BenchResult> {
  const scene = sceneIn(file ?? ownScenario);
  const { fleet: _fleet, traces: _traces, faults: _faults, ...own } = scene.fields;
  const never = 1_000_000;
  const jobFields = { ...own, rounds: never, evaluate: { every: never } };
  tell("measuring this machine ...");
  const core = await measuredCore(parseJob(jobFields));
  const { ready, job, name } = await realScene(scene, jobFields, core);
  const shares = sharesOf(ready, core);
  const isEnough = (nowMs: number, records: readonly TimedRecord[]): boolean =>
    roundsUnder(records).length >= roundsCompared || nowMs > msMax;
  tell(`real processes, ${name} ...`);
  const command = "npm run bench -- parallel-split --real";
  const real = await runReal({
    ...{ command, job, scene: ready, shares, core },
    until: isEnough,
  });
  tell("the same plan in virtual time ...");
  const plan = lastPlan(real.records);
  let forecastMs = Number.NaN;
  const planner: Planner = (request) => {
    const given = { ...plan, term: request.term };
    forecastMs = splitForecast(given, request)?.roundMs ?? Number.NaN;
    return given;
  };
  const nodes = asMeasured(ready.nodes, real, shares, core);
  const simulated = await simulate({ ...ready, nodes, planner, until: isEnough });
  const [realMs, simulatedMs] = [medianMs(real.records), medianMs(simulated.records)];
  const cuts = plan.chains.map(({ source, stages: [first] }) => {
    const copy = plan.copies.find(({ id }) => id === first?.copy);
    return `${source} ${copy?.to}`;
  });
  return {
    rows: [
      {
        scenario: name,
        rounds: roundsUnder(real.records).length,
        "forecast, s": forecastMs / 1000,
        "simulated, s": simulatedMs / 1000,
        "real, s": realMs / 1000,
        "real / simulated": realMs / simulatedMs,
        "too late, %": 100 * real.lateShare,
      },
    ],
    goals: [
      atMost(
        "difference of the real and the simulated round of one plan",
        [Math.abs(realMs / simulatedMs - 1)],
        0.1,
        "of the simulated one",
      ),
    ],
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      `medians over whole rounds; real rounds took ${rangeText(real.records)}`,
      `segments that devices keep: ${cuts.join(", ")}`,
      "too late: runs of programs for which this machine was too busy to keep a node's share of a core",
      `other programs and this one kept ${loadavg()[0]?.toFixed(1)} threads busy in the last minute`,
    ],
  };
}

/** How long rounds under the last plan took, shortest first. */
const timesMs = (records: readonly TimedRecord[]): number[] =>
  roundsUnder(records)
    .map(([fromMs, toMs]) => toMs - fromMs)
    .sort((a, b) => a - b);

function medianMs(records: readonly TimedRecord[]): number {
  const times = timesMs(records);
  return times[times.length >> 1] ?? Number.NaN;
}

function rangeText(records: readonly TimedRecord[]): string {
  const times = timesMs(records);
  return `${((times[0] ?? 0) / 1000).toFixed(2)} to ${((times.at(-1) ?? 0) / 1000).toFixed(2)} s`;
}
