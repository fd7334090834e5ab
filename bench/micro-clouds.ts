/**
 * Six unequal workers that agree from node to node, in virtual time: how long an update takes under full exchange, with batches
 * by speed alone, and as `micro-clouds` plans it, over links of several speeds. Peers, messages and links are the
 * real ones; the null engine computes nothing, so this says nothing of accuracy.
 */
import { type Job, loadModel, type Plan, parseJob, type RunRecord, version } from "edgeloom";
import { nullEngine, simulate } from "edgeloom/sim";
import { atLeast, type Bench, chosenOf, countOf, optionsOf, type Row, tell } from "./bench.ts";
import {
  coreProfile,
  type Mbit,
  machines,
  parts,
  unequalMbit,
  workerName,
} from "./micro-clouds-fleet.ts";

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
const model = "mobilenetv3-large";

export const microClouds: Bench = {
  summary:
    "six unequal workers that agree from node to node, against full exchange [--links A,B] [--workers N,M]",
  async run(args) {
    const asked = optionsOf(args, {
      ...{ links: links.map(({ name }) => name).join(), workers: String(parts.length) },
    });
    const outcomes: Outcome[] = [];
    const counts = asked.workers.split(",").map((count) => countOf("--workers", count));
    for (const link of chosenOf("--links", asked.links, links, ({ name }) => name)) {
      for (const workers of counts) {
        for (const scheme of schemes) {
          tell(`${workers} workers, ${link.name} Mbit/s, ${scheme.name} ...`);
          outcomes.push(await outcomeOf(link, workers, scheme));
        }
      }
    }
    return {
      rows: outcomes.map(rowOf),
      goals: goalsOf(outcomes.filter(({ workers }) => workers === parts.length)),
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${model}, profile of one core (parallel-split-profiles.json), batches of 32, ${accumulate} to an update on average`,
        "ms an update: the second round's time, contributions to the coordinator included, over its updates",
        "MB: sent straight by a worker for an update, on average",
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
  /** Sent straight by a worker for an update, on average. */
  readonly bytes: number;
}

async function outcomeOf(
  link: (typeof links)[number],
  workers: number,
  scheme: (typeof schemes)[number],
): Promise<Outcome> {
  const job: Job = parseJob({
    ...{ model, data: { images: "cifar-10" }, batch: 32, rounds: 2 },
    localBatches: updates * accumulate,
    optimizer: { accumulate },
    evaluate: { every: 100 },
    fleet: { devices: times(workers, (i) => ({ name: workerName(i) })) },
    ...scheme.job,
  });
  const loaded = loadModel(job, ".");
  const inputShape = loaded.graph.inputs[0]?.shape.slice(1) as number[];
  const samples = { samples: 10_000, inputShape, classes: 10 };
  const fleet = {
    ...{ profile: coreProfile(model), samplesOf: () => samples },
    parts: times(workers, (i) => parts[i % parts.length] as number),
    mbit: times(workers, (i) => link.mbit[i % parts.length] ?? null),
  };
  const nodes = machines(fleet);
  const { records, end } = await simulate({ job, model: loaded, nodes, engine: nullEngine });
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  const [plan] = of("planned").map((record) => record.plan);
  const round = of("round").at(-1);
  if (plan === undefined || round === undefined || round.dropped.length > 0) {
    throw new Error(`${link.name}, ${scheme.name}: ${end.text}`);
  }
  const chain = plan.chains[0];
  const count = (chain?.work ?? 0) / (chain?.microBatches ?? 1);
  const sent = round.nodes.flatMap(({ straight }) => straight).map(({ bytes }) => bytes);
  return {
    ...{ link: link.name, workers, scheme: scheme.name, plan },
    updateMs: round.ms / count,
    forecastMs: (plan.forecasts[0]?.roundMs ?? 0) / count,
    bytes: sent.reduce((sum, each) => sum + each, 0) / workers / count,
  };
}

function rowOf({ link, workers, scheme, plan, updateMs, forecastMs, bytes }: Outcome): Row {
  const { every = 1, select } = plan.groups[0]?.exchange ?? {};
  return {
    ...{ "Mbit/s": link, workers, scheme },
    exchanged: every > 1 ? `changes every ${every}` : (select?.kind ?? ""),
    batches: plan.chains.map(({ microBatches }) => microBatches).join("/"),
    "ms an update": updateMs,
    forecast: forecastMs,
    "MB an update": bytes / 1e6,
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
