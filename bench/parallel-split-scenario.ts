/** `npm run bench -- parallel-split --scenario FILE`: every scheme on the machines of a file, with all that happens there. */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  type Planner,
  type PlanRequest,
  planners,
  type ReadyScenario,
  readyScenario,
  splitBoundMs,
  splitForecast,
  version,
} from "edgeloom";
import { parseScenario, simulate } from "edgeloom/sim";
import { parse } from "yaml";
import { atLeast, type BenchResult, type Row, tell } from "./bench.ts";
import { baselines, even } from "./parallel-split-fleet.ts";

type Scheme = (typeof baselines)[number] | "parallel-split";

/** How a scheme did: its first plan, and its whole run. */
interface Played {
  readonly scheme: Scheme;
  readonly forecastMs: number;
  readonly boundMs: number;
  /** A round's time, the median of all. */
  readonly roundMs: number;
  readonly rounds: number;
  /** From the first plan to the end. */
  readonly wholeMs: number;
  readonly end: string;
}

/** Plays it with each scheme in virtual time. @throws InputError for a file that is none */
export async function playedScenario(file: string): Promise<BenchResult> {
  const scenario = parseScenario(parse(readFileSync(file, "utf8")), () => file);
  tell("measuring this machine, where the scenario says speeds by it ...");
  const ready = await readyScenario(scenario, path.dirname(file));
  const own = await play(ready, "parallel-split");
  const others: Played[] = [];
  for (const scheme of baselines) others.push(await play(ready, scheme));
  return {
    rows: [own, ...others].map((played) => rowOf(played, own)),
    goals: [
      atLeast(
        "time of any other scheme over parallel-split's, worst",
        Math.min(...others.map(({ wholeMs }) => wholeMs / own.wholeMs)),
        1,
        even,
      ),
    ],
    versions: { edgeloom: version },
    seed: scenario.job.seed,
    notes: [
      "in virtual time, with every message; the whole time is that from the first plan to the end of the run",
      "the forecast and the bound are those of the first plan; the bound holds for any plan with shares that are fixed for a round",
    ],
  };
}

async function play(ready: ReadyScenario, scheme: Scheme): Promise<Played> {
  tell(`${scheme} ...`);
  let first: PlanRequest | null = null;
  let forecastMs = Number.NaN;
  const planner: Planner = (request) => {
    const plan = planners[scheme](request);
    if (first === null) {
      first = request;
      forecastMs = splitForecast(plan, request)?.roundMs ?? Number.NaN;
    }
    return plan;
  };
  const { records, virtualMs, end } = await simulate({ ...ready, planner });
  const times = records
    .flatMap(({ record }) => (record.type === "round" ? [record.ms] : []))
    .sort((a, b) => a - b);
  const fromMs = records.find(({ record }) => record.type === "planned")?.atMs ?? 0;
  return {
    scheme,
    forecastMs,
    boundMs: first === null ? Number.NaN : splitBoundMs(first),
    roundMs: times[times.length >> 1] ?? Number.NaN,
    rounds: times.length,
    wholeMs: virtualMs - fromMs,
    end: end.text,
  };
}

const rowOf = (played: Played, own: Played): Row => ({
  scheme: played.scheme,
  "bound, s": played.boundMs / 1000,
  "forecast, s": played.forecastMs / 1000,
  "round, s": played.roundMs / 1000,
  rounds: played.rounds,
  "whole, s": played.wholeMs / 1000,
  "over parallel-split": played.wholeMs / own.wholeMs,
  end: played.end,
});
