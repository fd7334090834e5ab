/**
 * `npm run bench -- parallel-split --real`: parallel split learning on real processes of this machine, eight
 * devices and an edge server with shares of a core and shaped links, beside the same plan in virtual time.
 */
import { loadavg } from "node:os";
import path from "node:path";
import { splitForecast, version } from "edgeloom";
import { atMost, type BenchResult } from "./bench.ts";
import { endlessJob, onBothSides } from "./real-compare.ts";
import { roundRangeText, roundsUnder, roundTimesMs, sceneIn } from "./real-scene.ts";
import { median } from "./statistics.ts";

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
  const { jobFields, core } = await endlessJob(scene);
  let forecastMs = Number.NaN;
  const { plan, real, simulated } = await onBothSides({
    ...{ command: "npm run bench -- parallel-split --real", name: scene.name },
    ...{ scene, jobFields, core },
    until: (nowMs, records) => roundsUnder(records).length >= roundsCompared || nowMs > msMax,
    onRequest: (given, request) => {
      forecastMs = splitForecast(given, request)?.roundMs ?? Number.NaN;
    },
  });
  const [realMs, simulatedMs] = [real, simulated].map(({ records }) =>
    median(roundTimesMs(records)),
  ) as [number, number];
  const cuts = plan.chains.map(({ source, stages: [first] }) => {
    const copy = plan.copies.find(({ id }) => id === first?.copy);
    return `${source} ${copy?.to}`;
  });
  return {
    rows: [
      {
        scenario: scene.name,
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
      `medians over whole rounds; real rounds took ${roundRangeText(real.records)}`,
      `segments that devices keep: ${cuts.join(", ")}`,
      "too late: runs of programs for which this machine was too busy to keep a node's share of a core",
      `other programs and this one kept ${loadavg()[0]?.toFixed(1)} threads busy in the last minute`,
    ],
  };
}
