/**
 * Six unequal workers that agree from node to node, in virtual time: how long an update takes under full exchange, with batches
 * by speed alone, and as `micro-clouds` plans it, over links of several speeds. Peers, messages and links are the
 * real ones; the null engine computes nothing, so this says nothing of accuracy.
 */
import {
  type Job,
  loadModel,
  type Plan,
  type Planner,
  parseJob,
  planners,
  type RunRecord,
  version,
} from "edgeloom";
import { nullEngine, type SimulationOptions, simulate } from "edgeloom/sim";
import { atLeast, type Bench, chosenOf, countOf, optionsOf, type Row, tell } from "./bench.ts";
import {
  type Mbit,
  machines,
  parts,
  timedAs,
  unequalMbit,
  workerName,
} from "./micro-clouds-fleet.ts";
import { exchangedText, realMicroClouds } from "./micro-clouds-real.ts";

/** Links in Mbit/s of each worker, each way; null where nothing limits them. */
const links: readonly { readonly name: string; readonly mbit: Mbit }[] = [
  { name: "5", mbit: parts.map(() => 5) },
  { name: "50", mbit: parts.map(() => 50) },
  { name: "500", mbit: parts.map(() => 500) },
  { name: "50/50/35/35/20/20", mbit: unequalMbit },
  { name: "unlimited", mbit: parts.map(() => null) },
];
const schemes = [
  { name: "full exchange", job: { planner: "full-exchange" } },
  {
    name: "batches by speed",
    job: { planner: "micro-clouds", exchange: { every: 1, select: "all" } },
  },
  { name: "micro-clouds", job: { planner: "micro-clouds" } },
] as const;

/** Batches to an update for each worker on average, and updates to a round. */
const [accumulate, updates] = [10, 8];
/** The network whose times and bytes those of an update are; a smaller one may be in its place. */
const large = "mobilenetv3-large";
const models = [
  { name: large, job: { model: large, data: { images: "cifar-10" } } },
  { name: "lenet5", job: { model: "lenet5", data: { images: "mnist" } } },
] as const;

export const microClouds: Bench = {
  summary:
    "six unequal workers that agree from node to node, against full exchange [--links A,B] [--workers N,M] [--schemes A,B] [--model lenet5]; on processes: --real [--scenario FILE]",
  async run(args) {
    if (args.includes("--real")) {
      const { scenario } = optionsOf(
        args.filter((arg) => arg !== "--real"),
        { scenario: "" },
      );
      return realMicroClouds(scenario || null);
    }
    const asked = optionsOf(args, {
      ...{ links: links.map(({ name }) => name).join(), workers: String(parts.length) },
      ...{ schemes: schemes.map(({ name }) => name).join(), model: large },
    });
    const outcomes: Outcome[] = [];
    const among = chosenOf("--schemes", asked.schemes, schemes, ({ name }) => name);
    const [model = models[0]] = chosenOf("--model", asked.model, models, ({ name }) => name);
    const counts = asked.workers.split(",").map((count) => countOf("--workers", count));
    for (const link of chosenOf("--links", asked.links, links, ({ name }) => name)) {
      for (const workers of counts) {
        for (const scheme of among) {
          tell(`${workers} workers, ${link.name} Mbit/s, ${scheme.name} ...`);
          outcomes.push(
            await outcomeOf(link, workers, { ...model.job, ...scheme.job }, scheme.name),
          );
        }
      }
    }
    return {
      rows: outcomes.map(rowOf),
      goals: goalsOf(outcomes.filter(({ workers }) => workers === parts.length)),
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${model.name} at the times of ${large} and over links as much slower as it is smaller, profile of one core (parallel-split-profiles.json), batches of 32, ${accumulate} to an update on average`,
        "ms an update: the second round's time, contributions to the coordinator included, over its updates",
        "models: sent straight by a worker from one exchange to the next, on average and at most, in sizes of the model",
        "MB: sent straight by a worker for an update, on average",
        "ms to plan: of this machine, for the first plan",
      ],
    };
  },
};

/** More workers than six are of the same kinds over and over. */
const times = <T>(count: number, of: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => of(i));

interface Outcome {
  readonly link: string;
  readonly workers: number;
  readonly scheme: string;
  readonly plan: Plan;
  readonly updateMs: number;
  readonly forecastMs: number;
  /** What its first plan took this machine. */
  readonly plannedMs: number;
  /** Sent straight by a worker for an update, on average. */
  readonly bytes: number;
  /** The same from one exchange to the next, in sizes of the model, and that of who sends most. */
  readonly models: number;
  readonly modelsMax: number;
}

async function outcomeOf(
  link: (typeof links)[number],
  workers: number,
  choice: object,
  scheme: string,
): Promise<Outcome> {
  const job: Job = parseJob({
    ...{ batch: 32, rounds: 2, localBatches: updates * accumulate },
    optimizer: { accumulate },
    evaluate: { every: 100 },
    fleet: { devices: times(workers, (i) => ({ name: workerName(i) })) },
    ...choice,
  });
  const loaded = loadModel(job, ".");
  const inputShape = loaded.graph.inputs[0]?.shape.slice(1) as number[];
  const samples = { samples: 10_000, inputShape, classes: 10 };
  const { share, modelBytes, profile } = timedAs(large, job);
  const nodes = machines({
    ...{ profile, samplesOf: () => samples },
    parts: times(workers, (i) => parts[i % parts.length] as number),
    mbit: times(workers, (i) => {
      const own = link.mbit[i % parts.length] ?? null;
      return own && share * own;
    }),
  });
  const run = { job, model: loaded, nodes, engine: nullEngine };
  const plannedMs = await planningMs(run);
  const { records, end } = await simulate(run);
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  const [plan] = of("planned").map((record) => record.plan);
  const round = of("round").at(-1);
  if (plan === undefined || round === undefined || round.dropped.length > 0) {
    throw new Error(`${link.name}, ${scheme}: ${end.text}`);
  }
  const chain = plan.chains[0];
  const count = (chain?.work ?? 0) / (chain?.microBatches ?? 1);
  const sent = round.nodes.map(({ straight }) =>
    straight.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const bytes = sent.reduce((sum, each) => sum + each, 0) / workers / count;
  const { every = 1 } = plan.groups[0]?.exchange ?? {};
  return {
    ...{ link: link.name, workers, scheme, plan, plannedMs, bytes },
    updateMs: round.ms / count,
    forecastMs: (plan.forecasts[0]?.roundMs ?? 0) / count,
    models: (every * bytes) / modelBytes,
    modelsMax: (every * Math.max(...sent)) / count / modelBytes,
  };
}

/** Milliseconds that the planner takes for the first plan of a run, which ends with it. */
async function planningMs(run: SimulationOptions): Promise<number> {
  let ms = Number.NaN;
  const planner: Planner = (request) => {
    const fromMs = performance.now();
    const plan = planners[run.job.planner](request);
    ms = performance.now() - fromMs;
    tell(`planned in ${ms.toFixed(0)} ms: ${plan.reason}`);
    return plan;
  };
  await simulate({ ...run, planner, until: () => !Number.isNaN(ms) });
  return ms;
}

function rowOf(outcome: Outcome): Row {
  const { link, workers, scheme, plan, updateMs, forecastMs, bytes, models: sent } = outcome;
  const kinds = plan.chains.slice(0, parts.length);
  return {
    ...{ "Mbit/s": link, workers, scheme },
    exchanged: exchangedText(plan),
    batches: kinds.map(({ microBatches }) => microBatches).join("/"),
    "ms an update": updateMs,
    forecast: forecastMs,
    "MB an update": bytes / 1e6,
    models: sent,
    most: outcome.modelsMax,
    "ms to plan": outcome.plannedMs,
  };
}

function goalsOf(outcomes: readonly Outcome[]) {
  const msOf = (link: string, scheme: string): number | null =>
    outcomes.find((one) => one.link === link && one.scheme === scheme)?.updateMs ?? null;
  const ratio = (link: string, scheme: string): number =>
    (msOf(link, "full exchange") ?? Number.NaN) / (msOf(link, scheme) ?? Number.NaN);
  const has = (link: string): boolean => msOf(link, "full exchange") !== null;
  return [
    ...(has("5")
      ? [atLeast("times as fast as full exchange at 5 Mbit/s", ratio("5", "micro-clouds"), 4)]
      : []),
    ...(has("unlimited")
      ? [
          atLeast(
            "batches by speed against equal ones where compute dominates",
            ratio("unlimited", "batches by speed"),
            10 / 3,
            0.95,
          ),
        ]
      : []),
  ];
}
