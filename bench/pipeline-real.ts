/**
 * `npm run bench -- pipeline --real`: pipelines on real processes of this machine, a device and three edge
 * servers with shares of a core and shaped links, beside the same scenario in virtual time. Each walk is
 * first taken as it is on the average, standing still, under one plan; then it is played.
 */
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import path from "node:path";
import {
  forecasters,
  type NodeId,
  type Planner,
  type Profile,
  parseJob,
  type TimedRecord,
  version,
} from "edgeloom";
import {
  drawMobility,
  type Mobility,
  parseMobility,
  type SimTrace,
  type SimulationOptions,
  simulate,
} from "edgeloom/sim";
import { parse } from "yaml";
import { atLeast, atMost, type BenchResult, type Row, tell } from "./bench.ts";
import { measuredCore } from "./measured.ts";
import { Conditions } from "./pipeline-conditions.ts";
import { countsOf } from "./pipeline-run.ts";
import { chainText } from "./pipeline-schemes.ts";
import { batchTimes } from "./pipeline-stalls.ts";
import { runReal } from "./real-run.ts";
import {
  asMeasured,
  lastPlan,
  type RealScene,
  realScene,
  roundsUnder,
  type Scene,
  sceneIn,
  sharesOf,
} from "./real-scene.ts";

const mobilityFile = path.join(import.meta.dirname, "pipeline-real.yaml");

/** Small enough for four processes on two cores. */
const jobFields = {
  model: "lenet5",
  data: "mnist",
  batch: 32,
  rounds: 1_000_000,
  localBatches: 150,
  planner: "pipeline",
  evaluate: { every: 1_000_000 },
};

const command = "npm run bench -- pipeline --real";

/** How long conditions stand still, at least. */
const standingMs = 45_000;
/** Batches at each end of a round in which a pipeline fills or empties. */
const edgeBatches = 15;

/**
 * Everything that `--real` measures.
 * @param file a scenario to play in place of the two walks
 * @throws InputError for one that this machine has too few cores for, or none to play
 */
export async function realPipelines(file: string | null): Promise<BenchResult> {
  const mobility = parseMobility(parse(readFileSync(mobilityFile, "utf8")), mobilityFile);
  const endMs = 1000 * mobility.durationSeconds;
  const scenes = file === null ? drawnScenes(mobility) : [sceneIn(file)];
  tell("measuring this machine ...");
  const base = await measuredCore(parseJob(jobFields));
  const walks = await Promise.all(
    scenes.map(async (scene) => ({ ...(await realScene(scene, jobFields, base)), endMs })),
  );
  const standing: Standing[] = [];
  for (const walk of walks) standing.push(await stand(walk, base));
  const compared: Compared[] = [];
  for (const walk of walks) compared.push(await compare(walk, base));
  return {
    rows: [...standing.map(standingRow), ...compared.map(walkRow)],
    goals: goalsOf(standing),
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      ...standing.map(({ name, chain }) => `the plan of ${name}, standing still: ${chain}`),
      "walks: from the first plan to the end of the trace; simulated with the plans of the real run, where it did not move on the way, and with its own",
      "too late: runs of programs for which this machine was too busy to keep a node's share of a core",
      `other programs and this one kept ${loadavg()[1]?.toFixed(1)} threads busy in the last five minutes`,
    ],
  };
}

interface RealWalk extends RealScene {
  readonly endMs: number;
}

const drawnScenes = (mobility: Mobility): Scene[] =>
  mobility.sets.flatMap((set) => {
    const [first, last] = set.seeds;
    const seeds = Array.from({ length: last - first + 1 }, (_, i) => first + i);
    return seeds.map((seed) => {
      return { name: `${set.name} ${seed}`, fields: { ...drawMobility(mobility, set, seed) } };
    });
  });

/** A plan on both sides while nothing changes. */
interface Standing {
  readonly name: string;
  readonly chain: string;
  readonly boundMs: number;
  readonly simulatedMs: number;
  readonly realMs: number;
  readonly lateShare: number;
}

async function stand({ name, ready, endMs, job }: RealWalk, base: Profile): Promise<Standing> {
  tell(`real processes, ${name} standing still ...`);
  const scene = new Conditions(ready, endMs).frozen(ready);
  const shares = sharesOf(scene, base);
  const real = await runReal({
    ...{ command, job, scene, shares, core: base },
    until: (nowMs, records) => nowMs >= standingMs && roundsUnder(records).length >= 2,
  });
  const plan = lastPlan(real.records);
  tell(`the same in virtual time: ${chainText(plan)} ...`);
  const nodes = asMeasured(scene.nodes, real, shares, base);
  const conditions = new Conditions({ ...scene, nodes }, 1);
  let boundMs = 0;
  const planner: Planner = (request) => {
    const fleet = conditions.average(request.fleet, "rates");
    boundMs = forecasters.pipeline?.(plan, { ...request, fleet })?.periodMs ?? 0;
    return { ...plan, term: request.term };
  };
  const { records } = await simulate({
    ...scene,
    nodes,
    planner,
    isWatched: true,
    until: (_, seen) => roundsUnder(seen).length >= 2,
  });
  return {
    name,
    chain: chainText(plan),
    boundMs,
    simulatedMs: periodMs(records),
    realMs: periodMs(real.records),
    lateShare: real.lateShare,
  };
}

/** Time from batch to batch at the device in those rounds, away from their ends. */
function periodMs(records: readonly TimedRecord[]): number {
  const device = lastPlan(records).chains[0]?.source as NodeId;
  const times = batchTimes(records, device);
  let [ms, batches] = [0, 0];
  for (const [fromMs, toMs] of roundsUnder(records)) {
    const own = times
      .filter((atMs) => atMs > fromMs && atMs <= toMs)
      .slice(edgeBatches, -edgeBatches);
    const [first, last] = [own[0], own.at(-1)];
    if (first === undefined || last === undefined) continue;
    ms += last - first;
    batches += own.length - 1;
  }
  return ms / batches;
}

type Counts = ReturnType<typeof countsOf>;

/** A walk on both sides. */
interface Compared {
  readonly name: string;
  /** With its own decisions. */
  readonly simulated: Counts;
  /** With the real run's plans; null where that moved on the way, which nobody else would at the same moment. */
  readonly samePlans: Counts | null;
  readonly real: Counts;
  readonly lateShare: number;
}

async function compare({ name, ready, endMs, job }: RealWalk, base: Profile): Promise<Compared> {
  tell(`real processes, ${name} ...`);
  const shares = sharesOf(ready, base);
  const until = (nowMs: number, records: readonly TimedRecord[]): boolean =>
    isWalked(nowMs, records, endMs);
  const real = await runReal({ command, job, scene: ready, core: base, shares, until });
  const countsIn = (records: readonly TimedRecord[]): Counts =>
    countsOf(records, {
      endMs: (startOf(records) ?? 0) + endMs,
      work: ready.job.localBatches,
    });
  tell(`${name} in virtual time ...`);
  const nodes = asMeasured(ready.nodes, real, shares, base);
  const simulated = async (planner?: Planner): Promise<Counts> =>
    countsIn(await simulatedWalk({ ...ready, nodes, ...(planner && { planner }) }, endMs));
  const plans = real.records.flatMap(({ record }) =>
    record.type === "planned" ? [record.plan] : [],
  );
  const given: Planner = ({ term }) => ({ ...(plans[term - 1] ?? lastPlan(real.records)), term });
  return {
    name,
    simulated: await simulated(),
    // The first plan is made before anything is known of the ways, the second right after.
    samePlans: plans.length <= 2 ? await simulated(given) : null,
    real: countsIn(real.records),
    lateShare: real.lateShare,
  };
}

/** A walk in virtual time, whose traces begin with the first plan, as those of real processes do. */
async function simulatedWalk(
  options: SimulationOptions,
  endMs: number,
): Promise<readonly TimedRecord[]> {
  const watched = { ...options, isWatched: true };
  const joined = await simulate({ ...watched, until: (_, seen) => startOf(seen) !== null });
  const startMs = startOf(joined.records) ?? 0;
  const traces = (options.traces ?? []).map((trace) => later(trace, startMs));
  const until = (nowMs: number, seen: readonly TimedRecord[]): boolean =>
    isWalked(nowMs - startMs, seen, endMs);
  return (await simulate({ ...watched, traces, until })).records;
}

/** Whether the trace is over, and the round that was under way by then. @param nowMs since the first plan */
function isWalked(nowMs: number, records: readonly TimedRecord[], endMs: number): boolean {
  const fromMs = startOf(records) ?? Infinity;
  const isWhole = ({ atMs, record }: TimedRecord): boolean =>
    record.type === "round" && atMs >= fromMs + endMs;
  return (nowMs >= endMs && records.some(isWhole)) || nowMs >= 2 * endMs;
}

/** When the first plan was made. */
const startOf = (records: readonly TimedRecord[]): number | null =>
  records.find(({ record }) => record.type === "planned")?.atMs ?? null;

/** The same trace, begun later: what it begins with holds until then. */
function later(trace: SimTrace, byMs: number): SimTrace {
  const points = trace.points.map(
    ([atMs, value]) => [atMs === 0 ? 0 : atMs + byMs, value] as const,
  );
  return { ...trace, points } as SimTrace;
}

const standingRow = ({ name, boundMs, simulatedMs, realMs, lateShare }: Standing): Row => ({
  conditions: `${name} standing still, ms a batch`,
  bound: boundMs,
  simulated: simulatedMs,
  real: realMs,
  "real / simulated": realMs / simulatedMs,
  "too late, %": 100 * lateShare,
});

const walkRow = ({ name, simulated, samePlans, real, lateShare }: Compared): Row => ({
  conditions: `${name}, batches a minute`,
  bound: null,
  simulated: samePlans?.perMinute ?? null,
  real: real.perMinute,
  "real / simulated": samePlans && real.perMinute / samePlans.perMinute,
  "too late, %": 100 * lateShare,
  "simulated, own plans": simulated.perMinute,
  "its terms": simulated.terms,
  "real terms": real.terms,
});

const goalsOf = (standing: readonly Standing[]) => [
  atLeast(
    "undisturbed rate over the bound's, on real processes, worst",
    Math.min(...standing.map(({ boundMs, realMs }) => boundMs / realMs)),
    0.85,
  ),
  atMost(
    "difference of the simulated and the real period of one plan, worst",
    standing.map(({ simulatedMs, realMs }) => Math.abs(simulatedMs / realMs - 1)),
    0.1,
    "of the real one",
  ),
];
