/**
 * Parallel split learning with a cut and a share of the cell for each device, against the schemes that
 * it is compared with, over drawn fleets. All plans are judged by one forecast, which plays a round
 * through with the queue at the server; a sample of them runs in virtual time, with every message.
 * `docs/benchmarks.md` says what each scheme is.
 */
import { readFileSync } from "node:fs";
import {
  loadModel,
  NativeEngine,
  type Plan,
  type Planner,
  type PlanRequest,
  type Profile,
  planners,
  profileModel,
  splitBoundMs,
  splitForecast,
  version,
} from "edgeloom";
import {
  atLeast,
  atMost,
  type Bench,
  chosenOf,
  countOf,
  type Goal,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import {
  baselines,
  type Cell,
  costsOf,
  even,
  jobOf,
  type Measured,
  type ModelName,
  modelNames,
  requestOf,
} from "./parallel-split-fleet.ts";
import { realParallelSplit } from "./parallel-split-real.ts";
import { playedScenario } from "./parallel-split-scenario.ts";
import { virtualRoundMs } from "./parallel-split-virtual.ts";
import { geometricMean, median } from "./statistics.ts";

const deviceCounts = [10, 20, 50, 100];
/** 12.5 and 125 MB/s. */
const rates = [12_500, 125_000];
const cells = rates.flatMap((bytesPerMs) =>
  deviceCounts.map((devices) => ({ devices, bytesPerMs })),
);

/** Draws for which every common cut is played through without shares, which takes long. */
const searchedDraws = 3;

/** Cells of which the first draw runs in virtual time. */
const isSampled = ({ devices }: Cell): boolean => devices <= 10;

/** What the network holds devices to, they need no shares for: the best of shares and none. */
const free = { mayKeepAll: true, mayShareFreely: true };

type Scheme = (typeof baselines)[number];

export const parallelSplit: Bench = {
  summary:
    "a cut and a share for each device, against other schemes, on drawn fleets [--models A,B] [--draws N] [--profiles FILE], or on those of --scenario FILE; on processes: --real [--scenario FILE]",
  async run(args) {
    const isReal = args.includes("--real");
    if (isReal || args.includes("--scenario")) {
      const rest = args.filter((arg) => arg !== "--real");
      const { scenario } = optionsOf(rest, { scenario: "" });
      return isReal ? realParallelSplit(scenario || null) : playedScenario(scenario);
    }
    const asked = optionsOf(args, { models: modelNames.join(), draws: "20", profiles: "" });
    const models = chosenOf("--models", asked.models, modelNames, (name) => name);
    const draws = countOf("--draws", asked.draws);
    const known = asked.profiles === "" ? null : readProfiles(asked.profiles);
    const plannings = [planningMs("has time to spare", 2000), planningMs("is full", 1)];
    const outcomes: Outcome[] = [];
    const checks: Check[] = [];
    const notes: string[] = [];
    for (const model of models) {
      const profile = known?.[model] ?? (await profileOf(model));
      const measured = { model, costs: costsOf(model), profile };
      notes.push(profileNote(measured, asked.profiles));
      for (const cell of cells) {
        tell(`${model}, ${cell.devices} devices, ${cell.bytesPerMs / 1000} MB/s ...`);
        outcomes.push(...drawsOf(measured, cell, draws));
        if (!isSampled(cell)) continue;
        for (const split of [{ mayKeepAll: true }, free]) {
          checks.push(await check(measured, cell, split));
        }
      }
    }
    notes.push(
      ...checks.map(checkNote),
      "speed-ups and distances are geometric means over draws; the bound has shares fixed for a round, the free bound lets rates change at any moment",
      `where devices may do without shares, over the best common cut without shares: ${overFreeSplitFed(outcomes).toFixed(2)} x (first ${searchedDraws} draws)`,
      "of sequential-split a round of every device counts as one round",
      "the server takes batches as they come",
    );
    return {
      rows: rowsOf(outcomes),
      goals: [...goalsOf(outcomes), differenceGoal(checks), ...plannings.map(planningGoal)],
      versions: { edgeloom: version },
      seed: 1,
      notes,
    };
  },
};

/** Profiles by model that were measured before: what else a machine does then has no part in the result. */
const readProfiles = (file: string): Partial<Record<ModelName, Profile>> =>
  JSON.parse(readFileSync(file, "utf8"));

/** How fast one core of this machine runs a model: that of the fastest device. */
async function profileOf(model: ModelName): Promise<Profile> {
  tell(`${model}: measuring this machine ...`);
  const job = jobOf(model, { devices: 1, bytesPerMs: 1 });
  const engine = new NativeEngine({ threads: 1 });
  try {
    return await profileModel(job, loadModel(job, "."), engine);
  } finally {
    await engine.close();
  }
}

function profileNote({ model, profile: { segments } }: Measured, file: string): string {
  const ms = segments.reduce((sum, one) => sum + one.forwardMs + one.backwardMs + one.updateMs, 0);
  const whose = file === "" ? "measured on one core of this machine" : `as ${file} has it`;
  return `${model} ${whose}: ${segments.length} segments, ${ms.toFixed(0)} ms a batch`;
}

/** Round times on one drawn fleet. */
interface Outcome {
  readonly model: ModelName;
  readonly cell: Cell;
  /** Under a plan with shares, and under one that may do without. */
  readonly roundMs: number;
  readonly freeMs: number;
  readonly boundMs: number;
  readonly freeBoundMs: number;
  /** SplitFed without shares: the best common cut, and the cell divided at every moment; null where it was not looked for. */
  readonly freeSplitFedMs: number | null;
  readonly others: Readonly<Record<Scheme, number>>;
}

function drawsOf(measured: Measured, cell: Cell, draws: number): Outcome[] {
  return Array.from({ length: draws }, (_, draw) => {
    const request = requestOf(measured, cell, draw);
    const msOf = (planner: Planner): number => judged(planner(request), request);
    const others = Object.fromEntries(baselines.map((name) => [name, msOf(planners[name])]));
    return {
      model: measured.model,
      cell,
      roundMs: msOf(planners["parallel-split"]),
      freeMs: msOf((plain) => planners["parallel-split"]({ ...plain, split: free })),
      freeSplitFedMs: draw < searchedDraws ? freeSplitFedMs(request) : null,
      boundMs: splitBoundMs(request),
      freeBoundMs: splitBoundMs(request, "free"),
      others: others as Record<Scheme, number>,
    };
  });
}

/** The best common cut where nobody has a share. */
function freeSplitFedMs(request: PlanRequest): number {
  const plan = planners.splitfed(request);
  const cuts = request.segments.map((_, i) => i + 1);
  return Math.min(
    ...cuts.map((cut) => {
      const copies = plan.copies.map((copy) =>
        copy.from === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
      );
      const links = plan.links.map((link) => ({ ...link, bytesPerMs: null }));
      return judged({ ...plan, copies, links }, request);
    }),
  );
}

function judged(plan: Plan, request: PlanRequest): number {
  const forecast = splitForecast(plan, request);
  if (forecast === null) throw new Error(`${plan.planner} has a plan that cannot be judged`);
  return forecast.roundMs;
}

/** A round as it is forecast, and in virtual time. */
interface Check {
  readonly model: ModelName;
  readonly cell: Cell;
  readonly shares: string;
  readonly forecastMs: number;
  readonly virtualMs: number;
}

async function check(
  measured: Measured,
  cell: Cell,
  split: PlanRequest["split"] & object,
): Promise<Check> {
  let forecastMs = Number.NaN;
  const planner: Planner = (request) => {
    const wished = { ...request, split };
    const plan = planners["parallel-split"](wished);
    forecastMs = judged(plan, wished);
    return plan;
  };
  const virtualMs = await virtualRoundMs(measured, cell, { draw: 0, planner });
  const shares = split.mayShareFreely ? "no shares" : "shares";
  return { model: measured.model, cell, shares, forecastMs, virtualMs };
}

const differenceOf = ({ forecastMs, virtualMs }: Check): number => virtualMs / forecastMs - 1;

const checkNote = (one: Check): string =>
  `${one.model}, ${one.cell.devices} devices, ${one.cell.bytesPerMs / 1000} MB/s, ${one.shares}, first draw: forecast ` +
  `${(one.forecastMs / 1000).toFixed(1)} s, in virtual time ${(one.virtualMs / 1000).toFixed(1)} s ` +
  `(${(100 * differenceOf(one)).toFixed(2)} %)`;

const upBy = (outcome: Outcome, scheme: Scheme): number => outcome.others[scheme] / outcome.roundMs;

/** Round of the best common cut with equal shares, that of all segments included. */
const commonCutMs = ({ others }: Outcome): number =>
  Math.min(others.splitfed, others["federated-averaging"]);

const overFreeSplitFed = (outcomes: readonly Outcome[]): number =>
  geometricMean(
    outcomes.flatMap(({ freeSplitFedMs: ms, freeMs }) => (ms === null ? [] : [ms / freeMs])),
  );

const distanceOf = ({ roundMs, boundMs }: Outcome): number => roundMs / boundMs;

function rowsOf(outcomes: readonly Outcome[]): Row[] {
  const groups = Map.groupBy(outcomes, ({ model, cell }) =>
    [model, cell.devices, cell.bytesPerMs].join(),
  );
  return [...groups.values()].map((own) => {
    const [first] = own as [Outcome];
    const mean = (value: (outcome: Outcome) => number): number => geometricMean(own.map(value));
    return {
      model: first.model,
      devices: first.cell.devices,
      "MB/s": first.cell.bytesPerMs / 1000,
      "round, s": mean(({ roundMs }) => roundMs) / 1000,
      ...Object.fromEntries(
        baselines.map((scheme) => [`over ${scheme}`, mean((one) => upBy(one, scheme))]),
      ),
      "least over any": Math.min(
        ...own.flatMap((one) => baselines.map((scheme) => upBy(one, scheme))),
      ),
      "over bound, worst": Math.max(...own.map(distanceOf)),
      "no shares: round, s": mean(({ freeMs }) => freeMs) / 1000,
      "over splitfed ": mean((one) => commonCutMs(one) / one.freeMs),
      "over splitfed without": overFreeSplitFed(own),
      "over free bound": mean(({ freeMs, freeBoundMs }) => freeMs / freeBoundMs),
    };
  });
}

function goalsOf(outcomes: readonly Outcome[]): Goal[] {
  const fast = outcomes.filter(({ cell }) => cell.bytesPerMs === 125_000 && cell.devices <= 50);
  const every = outcomes.flatMap((one) => baselines.map((scheme) => upBy(one, scheme)));
  return [
    atLeast(
      "over federated averaging, geometric mean at 125 MB/s with 10, 20 and 50 devices",
      geometricMean(fast.map((one) => upBy(one, "federated-averaging"))),
      5.5,
    ),
    atLeast(
      "over the best common cut with equal shares, geometric mean of all cells",
      geometricMean(outcomes.map((one) => commonCutMs(one) / one.roundMs)),
      1.5,
    ),
    atLeast(
      "the same where devices may do without shares",
      geometricMean(outcomes.map((one) => commonCutMs(one) / one.freeMs)),
      1.5,
    ),
    atLeast(
      "over the alternating method, worst draw",
      Math.min(...outcomes.map((one) => upBy(one, "alternating-split"))),
      1,
      even,
    ),
    atLeast("over any baseline, worst draw", Math.min(...every), 1, even),
    atMost("over the lower bound, worst draw", outcomes.map(distanceOf), 1.05, "x"),
  ];
}

const differenceGoal = (checks: readonly Check[]): Goal =>
  atMost(
    "difference of forecast and virtual time, worst sample",
    checks.map((one) => Math.abs(differenceOf(one))),
    0.1,
    "of the forecast",
  );

interface Planning {
  readonly what: string;
  /** Processor time, for other programs may run beside: the median of several plans. */
  readonly ms: number;
}

/** How long a large plan takes: of a made-up model only its size matters, and whether its features are small. */
function planningMs(server: string, featureScale: number): Planning {
  const [devices, cuts, repeats] = [1000, 50, 11];
  const costs = Array.from({ length: cuts + 1 }, (_, index) => ({
    index,
    name: `segment ${index}`,
    forwardFlops: 1,
    backwardFlops: 2,
    outputs: [
      {
        name: `value ${index}`,
        dtype: "float32" as const,
        // As in most models, features shrink on the way: here from 500 values to 10 for a scale of 1.
        shape: [10 * featureScale * (cuts - index + 1)],
        hasGradient: true,
      },
    ],
    parameterBytes: 4 + ((index * 104_729) % 100_003),
    stateBytes: 0,
    savedBytes: 0,
    workingBytes: 0,
  }));
  const profile = {
    segments: costs.map(() => ({ forwardMs: 0.3, backwardMs: 0.6, updateMs: 0.1 })),
    runMs: 0,
    callMs: 0.1,
  };
  const measured: Measured = { model: "vgg19", costs, profile };
  const request = requestOf(measured, { devices, bytesPerMs: 125_000 }, 0);
  const times = Array.from({ length: repeats }, () => {
    const before = process.cpuUsage();
    planners["parallel-split"](request);
    return process.cpuUsage(before).user / 1000;
  });
  const what = `a plan for ${devices} devices with ${cuts} cuts, whose server ${server}`;
  return { what, ms: median(times) };
}

const planningGoal = ({ what, ms }: Planning): Goal =>
  atMost(what, [ms], 100, "ms of processor time");
