/**
 * Pipelined training across a walking device and the edge servers that it passes, against device
 * only, the best serial split and the best static pipeline, over drawn mobility traces in virtual
 * time. `docs/benchmarks.md` says what each is told and how it is counted.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  InputError,
  type Planner,
  type PlanRequest,
  type Profile,
  parseJob,
  readyScenario,
  version,
} from "edgeloom";
import {
  drawMobility,
  type Mobility,
  type MobilitySet,
  parseMobility,
  parseScenario,
  type SimulationOptions,
} from "edgeloom/sim";
import { parse } from "yaml";
import { atLeast, atMost, type Bench, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { measuredCore, stepMs } from "./measured.ts";
import { type AverageKind, Conditions } from "./pipeline-conditions.ts";
import { type Oracle, oracleOf } from "./pipeline-oracle.ts";
import { realPipelines } from "./pipeline-real.ts";
import { type Outcome, runScheme } from "./pipeline-run.ts";
import {
  type Average,
  deviceOnly,
  repairedPipeline,
  serialSplit,
  staticPipeline,
} from "./pipeline-schemes.ts";
import { losesNobody } from "./pipeline-stalls.ts";
import { type Steady, steadyPeriod } from "./pipeline-steady.ts";
import { mean } from "./statistics.ts";

const models = ["vgg11", "mobilenetv2"] as const;
type ModelName = (typeof models)[number];

const mobilityFile = path.join(import.meta.dirname, "pipeline-mobility.yaml");

/**
 * Batches between two commits. Weights come home with each, so long rounds cost less and short ones lose
 * less when a server crashes. Schemes that are tuned get what suits them best; the others something in between.
 */
const roundLengths = [100, 400] as const;
const untunedLength = 200;

/** What all schemes have in common: 8 bits bring home what rounds change, whoever plans them. */
const jobOf = (model: ModelName): object => ({
  model,
  data: { images: "cifar-10" },
  batch: 32,
  rounds: 1_000_000,
  localBatches: untunedLength,
  planner: "pipeline",
  codec: { updates: "affine8" },
});

export const pipeline: Bench = {
  summary:
    "pipelined training on walks past edge servers, against fixed plans [--models A,B] [--seeds 1,11] [--scenario FILE]; on processes: --real [--scenario FILE]",
  async run(args) {
    if (args.includes("--real")) {
      const rest = args.filter((arg) => arg !== "--real");
      const { scenario } = optionsOf(rest, { scenario: "" });
      return realPipelines(scenario === "" ? null : scenario);
    }
    const { models: asked, walks } = choiceOf(args);
    const comparisons: Comparison[] = [];
    const steady: Steady[] = [];
    const notes: string[] = [];
    for (const model of asked) {
      tell(`${model}: measuring this machine ...`);
      const profile = await measuredCore(parseJob(jobOf(model)));
      notes.push(profileNote(model, profile));
      for (const walk of walks) {
        const scenario = parseScenario({ ...walk.fields, ...jobOf(model) });
        const ready = await readyScenario(scenario, ".", { profile });
        tell(`${model}, ${walk.name} ...`);
        comparisons.push(await compare(ready, { model, walk }));
        if (walk === walks[0]) {
          const standing = new Conditions(ready, walk.endMs).frozen(ready);
          steady.push(await steadyPeriod(standing));
        }
      }
    }
    for (const { chain, boundMs, periodMs } of steady) {
      const [bound, is] = [boundMs.toFixed(0), periodMs.toFixed(0)];
      notes.push(`undisturbed: ${chain}: ${is} ms from batch to batch, ${bound} ms at the bound`);
    }
    notes.push(
      "batches a minute in virtual time with the null engine, from the first plan to the end of the trace",
      "moves for nothing, best fixed plan: what the model gives if moves took no time, and with the one plan that turns out best",
      "serial split and fixed pipelines get the better of two round lengths, and of two averages: of rates, of times",
    );
    return {
      rows: comparisons.map(rowOf),
      goals: [...speedGoals(comparisons), steadyGoal(steady), ...handOverGoals(comparisons)],
      versions: { edgeloom: version },
      seed: 1,
      notes,
    };
  },
};

/** What the arguments choose. @throws InputError for what there is not */
function choiceOf(args: readonly string[]): { models: readonly ModelName[]; walks: Walk[] } {
  const asked = optionsOf(args, { models: models.join(), seeds: "", scenario: "" });
  const names = asked.models.split(",");
  const chosen = models.filter((model) => names.includes(model));
  if (chosen.length < names.length) {
    const allowed = `some of ${models.join(",")}`;
    throw new InputError({ what: "--models", received: asked.models, allowed });
  }
  return { models: chosen, walks: walksOf(asked) };
}

/** A scenario and how long it is looked at. */
interface Walk {
  readonly name: string;
  readonly endMs: number;
  readonly fields: object;
}

/** Drawn traces, all of them or those of some seeds, or a scenario from a file. */
function walksOf({ seeds, scenario }: { seeds: string; scenario: string }): Walk[] {
  const mobility = parseMobility(parse(readFileSync(mobilityFile, "utf8")), mobilityFile);
  const endMs = 1000 * mobility.durationSeconds;
  if (scenario !== "") {
    const fields = parse(readFileSync(scenario, "utf8"));
    return [{ name: path.basename(scenario), endMs, fields }];
  }
  const every = drawn(mobility);
  const numbers = seeds === "" ? every.map(({ seed }) => seed) : seeds.split(",").map(Number);
  if (!numbers.every((number) => every.some(({ seed }) => seed === number))) {
    const [first, last] = [every[0]?.seed, every.at(-1)?.seed];
    throw new InputError({ what: "--seeds", received: seeds, allowed: `${first} to ${last}` });
  }
  return every
    .filter(({ seed }) => numbers.includes(seed))
    .map(({ set, seed }) => {
      return { name: `${set.name} ${seed}`, endMs, fields: drawMobility(mobility, set, seed) };
    });
}

function drawn({ sets }: Mobility): { set: MobilitySet; seed: number }[] {
  return sets.flatMap((set) => {
    const [first, last] = set.seeds;
    return Array.from({ length: last - first + 1 }, (_, i) => ({ set, seed: first + i }));
  });
}

function profileNote(model: string, profile: Profile): string {
  const list = (values: readonly number[]): string => values.map((ms) => ms.toFixed(2)).join(" ");
  const { segments } = profile;
  return (
    `${model} on this machine: ${stepMs(profile).toFixed(0)} ms a step; forward ms by segment ` +
    `${list(segments.map((one) => one.forwardMs))}; backward ${list(segments.map((one) => one.backwardMs))}`
  );
}

/** What every scheme came to on one scenario. */
interface Comparison {
  readonly model: ModelName;
  readonly walk: Walk;
  /** Whether no server was ever lost. */
  readonly isCalm: boolean;
  readonly outcomes: Readonly<Record<Scheme, Outcome>>;
  /** Batches a minute of one that knows the walk in advance, and what bounds it. */
  readonly oracle: Oracle;
}

const schemeNames = [
  "device only",
  "serial split",
  "static pipeline",
  "repaired pipeline",
  "pipeline",
] as const;
type Scheme = (typeof schemeNames)[number];

/** Every scheme on one scenario. */
async function compare(
  ready: SimulationOptions,
  { model, walk }: Pick<Comparison, "model" | "walk">,
): Promise<Comparison> {
  const { endMs } = walk;
  const conditions = new Conditions(ready, endMs);
  let asked: PlanRequest | null = null;
  const alone = deviceOnly();
  const deviceOutcome = await runScheme(ready, endMs, {
    planner: (request) => {
      asked ??= request;
      return alone(request);
    },
  });
  const still = await tuned(staticPipeline, { ready, endMs, conditions });
  const outcomes = {
    "device only": deviceOutcome,
    "serial split": await tuned(serialSplit, { ready, endMs, conditions }),
    "static pipeline": still,
    // Where the first plan held to the end, there was nothing to repair.
    "repaired pipeline":
      still.terms === 1 ? still : await tuned(repairedPipeline, { ready, endMs, conditions }),
    pipeline: await runScheme(ready, endMs, { isWatched: true }),
  };
  const fromMs = deviceOutcome.startMs;
  if (asked === null) throw new Error("nobody was asked for a plan");
  const { batches, free, fixed } = oracleOf(conditions, asked, { fromMs, toMs: endMs });
  const perMinute = (count: number): number => (60_000 * count) / (endMs - fromMs);
  const oracle = { batches: perMinute(batches), free: perMinute(free), fixed: perMinute(fixed) };
  return { model, walk, isCalm: losesNobody(ready, endMs), outcomes, oracle };
}

interface Tuning {
  readonly ready: SimulationOptions;
  readonly endMs: number;
  readonly conditions: Conditions;
}

/** A scheme with the round length, and then with the average, that turn out to be better for it. */
async function tuned(
  scheme: (average: Average) => Planner,
  { ready, endMs, conditions }: Tuning,
): Promise<Outcome> {
  const run = (localBatches: number, kind: AverageKind): Promise<Outcome> => {
    const job = { ...ready.job, localBatches };
    const planner = scheme((fleet) => conditions.average(fleet, kind));
    return runScheme({ ...ready, job }, endMs, { planner });
  };
  let [best, length]: [Outcome | null, number] = [null, 0];
  for (const localBatches of roundLengths) {
    const outcome = await run(localBatches, "rates");
    if (best === null || outcome.perMinute > best.perMinute) {
      [best, length] = [outcome, localBatches];
    }
  }
  const other = await run(length, "times");
  return best === null || other.perMinute > best.perMinute ? other : best;
}

/** How many times as fast as the best static pipeline. */
const speedUp = ({ outcomes }: Comparison): number =>
  outcomes.pipeline.perMinute / outcomes["static pipeline"].perMinute;

function rowOf(comparison: Comparison): Row {
  const { model, walk, outcomes, oracle } = comparison;
  const rates = schemeNames.map((name) => [name, outcomes[name].perMinute]);
  return {
    model,
    trace: walk.name,
    ...Object.fromEntries(rates),
    oracle: oracle.batches,
    "moves for nothing": oracle.free,
    "best fixed plan": oracle.fixed,
    "pipeline / static": speedUp(comparison),
    "pipeline / oracle": outcomes.pipeline.perMinute / oracle.batches,
    terms: outcomes.pipeline.terms,
    "worst stall":
      outcomes.pipeline.stalls.length === 0 ? null : Math.max(...outcomes.pipeline.stalls),
    "lost batches": outcomes.pipeline.lostBatches,
    "start, s": outcomes.pipeline.startMs / 1000,
    "static chain": outcomes["static pipeline"].chain,
  };
}

function speedGoals(comparisons: readonly Comparison[]): Goal[] {
  const ups = comparisons.map(speedUp);
  const shares = comparisons.map(
    ({ outcomes, oracle }) => outcomes.pipeline.perMinute / oracle.batches,
  );
  const over = "batches over those of the best static pipeline";
  return [
    atLeast(`${over}, mean of traces`, mean(ups), 1.5),
    atLeast(`${over}, best trace`, Math.max(...ups), 2.1),
    atLeast(`${over}, worst trace`, Math.min(...ups), 0.98),
    atLeast("share of the oracle's, mean of traces", mean(shares), 0.9),
  ];
}

const steadyGoal = (steady: readonly Steady[]): Goal =>
  atLeast(
    "undisturbed rate over the bound's, worst model",
    Math.min(...steady.map(({ boundMs, periodMs }) => boundMs / periodMs)),
    0.95,
  );

/** What hand-overs cost where no server was lost. */
function handOverGoals(comparisons: readonly Comparison[]): Goal[] {
  const calm = comparisons.filter(({ isCalm }) => isCalm).map(({ outcomes }) => outcomes.pipeline);
  return [
    atMost(
      "stall at a hand-over, worst",
      calm.flatMap(({ stalls }) => stalls),
      2,
      "periods",
    ),
    atMost(
      "batches lost, worst trace",
      calm.map((one) => one.lostBatches),
      0,
      "batches",
    ),
    atMost(
      "probes' share of any node's link time",
      comparisons.flatMap(({ outcomes }) => outcomes.pipeline.probeShare ?? []),
      0.02,
      "of the time",
    ),
  ];
}
