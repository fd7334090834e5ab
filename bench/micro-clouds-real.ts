/**
 * `npm run bench -- micro-clouds --real`: six workers that agree from node to node on real processes of this machine, with shares of a
 * core and shaped links, and the same plan in virtual time: as `micro-clouds` plans it, and under full exchange.
 */
import { loadavg } from "node:os";
import path from "node:path";
import { type Plan, type Profile, version } from "edgeloom";
import { atMost, type BenchResult, type Row } from "./bench.ts";
import { endlessJob, onBothSides } from "./real-compare.ts";
import { roundRangeText, roundsUnder, roundTimesMs, type Scene, sceneIn } from "./real-scene.ts";
import { median } from "./statistics.ts";

const ownScenario = path.join(import.meta.dirname, "micro-clouds-real.yaml");

/** Rounds that are compared; the first one under a plan, which waits for weights, is not. */
const roundsCompared = 9;
/** A scheme is given up after so long. */
const msMax = 240_000;

const schemes = ["full-exchange", "micro-clouds"] as const;

/** A scheme on both sides. */
interface Compared {
  readonly scheme: string;
  readonly plan: Plan;
  readonly rounds: number;
  /** Milliseconds of an update, a round's end included: medians over rounds. */
  readonly realMs: number;
  readonly simulatedMs: number;
  readonly forecastMs: number;
  /** What the real rounds took, in words. */
  readonly range: string;
  readonly lateShare: number;
}

/**
 * Plays a scenario with each scheme on both sides.
 * @param file null for the one that belongs to the benchmark
 * @throws InputError for one that this machine has too few cores for, or none to play
 */
export async function realMicroClouds(file: string | null): Promise<BenchResult> {
  const scene = sceneIn(file ?? ownScenario);
  const { jobFields, core } = await endlessJob(scene);
  const compared: Compared[] = [];
  for (const planner of schemes) {
    compared.push(await compare(planner, scene, { ...jobFields, planner }, core));
  }
  return {
    rows: compared.map(rowOf),
    goals: [
      atMost(
        "difference of the real and the simulated update of one plan, worst",
        compared.map(({ realMs, simulatedMs }) => Math.abs(realMs / simulatedMs - 1)),
        0.1,
        "of the simulated one",
      ),
    ],
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      "ms an update: medians over whole rounds, their ends included",
      ...compared.map(
        ({ scheme, rounds, range }) => `${scheme}: ${rounds} real rounds of ${range}`,
      ),
      "too late: runs of programs for which this machine was too busy to keep a node's share of a core",
      `other programs and this one kept ${loadavg()[0]?.toFixed(1)} threads busy in the last minute`,
    ],
  };
}

async function compare(
  scheme: string,
  scene: Scene,
  jobFields: object,
  core: Profile,
): Promise<Compared> {
  const { plan, real, simulated } = await onBothSides({
    ...{ command: "npm run bench -- micro-clouds --real", name: `${scene.name}, ${scheme}` },
    ...{ scene, jobFields, core },
    until: (nowMs, records) => roundsUnder(records).length >= roundsCompared || nowMs > msMax,
  });
  const [chain] = plan.chains;
  const updates = (chain?.work ?? 0) / (chain?.microBatches ?? 1);
  return {
    ...{ scheme, plan, lateShare: real.lateShare, range: roundRangeText(real.records) },
    rounds: roundsUnder(real.records).length,
    realMs: median(roundTimesMs(real.records)) / updates,
    simulatedMs: median(roundTimesMs(simulated.records)) / updates,
    forecastMs: (plan.forecasts[0]?.roundMs ?? Number.NaN) / updates,
  };
}

function rowOf({ scheme, plan, realMs, simulatedMs, forecastMs, lateShare }: Compared): Row {
  return {
    scheme,
    exchanged: exchangedText(plan),
    batches: plan.chains.map(({ microBatches }) => microBatches).join("/"),
    "forecast, ms an update": forecastMs,
    simulated: simulatedMs,
    real: realMs,
    "real / simulated": realMs / simulatedMs,
    "too late, %": 100 * lateShare,
  };
}

/** What a plan has its members exchange. */
export function exchangedText({ groups }: Plan): string {
  const { every = 1, select, codec = "" } = groups[0]?.exchange ?? {};
  return `${every > 1 ? `changes every ${every}` : (select?.kind ?? "")}, ${codec}`;
}
