/**
 * How soon six unequal workers that agree from node to node get to an accuracy, and how accurate they are after the same time: a
 * small CNN, or a narrow MobileNetV2, on Fashion-MNIST, trained for real in virtual time, by `micro-clouds` and by the schemes that it is
 * compared with. The network is small and its numbers are real; its times are those of a large one, and
 * links are as much slower as it is smaller.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Job,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Plan,
  parseJob,
  partition,
  type TimedRecord,
  version,
} from "edgeloom";
import { type SimTrace, simulate } from "edgeloom/sim";
import {
  atLeast,
  type Bench,
  type BenchResult,
  chosenOf,
  countOf,
  fieldsOf,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import {
  type Mbit,
  machines,
  parts,
  timedAs,
  unequalMbit,
  workerName,
} from "./micro-clouds-fleet.ts";
import { geometricMean } from "./statistics.ts";
import { overPlan, type Trained, trainedIn } from "./trained.ts";

/** The large network whose times are taken. */
const large = "mobilenetv3-large";
/** Batches of as many as the large network's times are of, and so many to an update for each worker on average. */
const [batch, accumulate] = [32, 4];
/** Accuracies, in percent, that times are told to. */
const marks = [30, 50, 70] as const;
/** Compute and links change so often. */
const changeMs = 120_000;

interface Scheme {
  readonly name: string;
  readonly kind: "baseline" | "averaging" | "ablation" | "own";
  readonly job: object;
}

/** Steps by itself, between two averages: a batch each, as there is nothing to wait for. */
const averaging = (steps: number): Scheme => ({
  ...{ name: `federated averaging, H = ${steps}`, kind: "averaging" },
  job: { planner: "federated-averaging", localBatches: steps, optimizer: { accumulate: 1 } },
});

/** As their papers have it, an update takes a batch of each worker; eight make a round. */
const eachOne = { localBatches: 8, optimizer: { accumulate: 1 } };

const schemes: readonly Scheme[] = [
  ...["full-exchange", "gaia", "ako", "hop"].map(
    (name): Scheme => ({ name, kind: "baseline", job: { planner: name, ...eachOne } }),
  ),
  {
    ...{ name: `full-exchange of ${accumulate} batches`, kind: "ablation" },
    job: { planner: "full-exchange" },
  },
  {
    ...{ name: `all-reduce of ${accumulate} batches`, kind: "ablation" },
    job: { planner: "all-reduce" },
  },
  ...[20, 80, 320].map(averaging),
  {
    ...{ name: "batches by speed alone", kind: "ablation" },
    job: { planner: "micro-clouds", exchange: { every: 1, select: "all" } },
  },
  {
    ...{ name: "exchange by links alone", kind: "ablation" },
    job: { planner: "micro-clouds", exchange: { batches: "equal" } },
  },
  {
    ...{ name: "batches dealt out", kind: "ablation" },
    job: { planner: "micro-clouds", exchange: { batches: "dealt" } },
  },
  ...[false, true].map((isTransferred): Scheme => {
    const exchange = { every: 1, select: { kind: "max-n" } };
    return {
      ...{
        name: `largest gradients${isTransferred ? ", weights taken over" : ""}`,
        kind: "ablation",
      },
      job: {
        planner: "micro-clouds",
        exchange: isTransferred ? { ...exchange, transfer: { every: 2 } } : exchange,
      },
    };
  }),
  { name: "micro-clouds", kind: "own", job: { planner: "micro-clouds" } },
];

/** Networks that are trained, as a job names them. */
const models: readonly { readonly name: string; readonly job: object }[] = [
  { name: "lenet5", job: { model: "lenet5" } },
  {
    name: "mobilenetv2",
    job: {
      model: "mobilenetv2",
      modelOptions: { channels: 1, size: 28, width: 4, dropout: 0 },
    },
  },
];

const links: readonly { readonly name: string; readonly mbit: Mbit }[] = [
  { name: "unequal", mbit: unequalMbit },
  ...[5, 50, 500].map((mbit) => ({ name: String(mbit), mbit: parts.map(() => mbit) })),
];

/** Data alike on all workers, and uneven data. */
const data = [
  { name: "IID", alpha: 1e4 },
  { name: "Dirichlet 0.3", alpha: 0.3 },
] as const;

export const microCloudsAccuracy: Bench = {
  summary:
    "time of micro-clouds to an accuracy, against other schemes [--seeds N] [--first N] [--links A,B] [--data A,B] [--schemes A;B] [--minutes N] [--changing 1] [--exchange JSON] [--rate N] [--momentum N] [--updates N] [--model A]",
  async run(args) {
    checkFashion();
    const asked = optionsOf(args, {
      ...{ first: "1", seeds: "1", links: "unequal", data: data.map(({ name }) => name).join() },
      ...{ schemes: schemes.map(({ name }) => name).join(";"), minutes: "120", changing: "0" },
      ...{ exchange: "{}", rate: "0.2", momentum: "0", model: "lenet5", updates: "8" },
    });
    const first = countOf("--first", asked.first);
    const seeds = countOf("--seeds", asked.seeds);
    const minutes = countOf("--minutes", asked.minutes);
    const own = fieldsOf("--exchange", asked.exchange);
    const step = { learningRate: Number(asked.rate), momentum: Number(asked.momentum) };
    const [model] = chosenOf("--model", asked.model, models, ({ name }) => name);
    const updates = countOf("--updates", asked.updates);
    const job = { ...model?.job, localBatches: updates * accumulate, exchange: own };
    const named = asked.schemes.split(";").flatMap((name) => {
      return chosenOf("--schemes", name.replaceAll(",", "\u0000"), schemes, (one) =>
        one.name.replaceAll(",", "\u0000"),
      );
    });
    const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
    try {
      const races: Race[] = [];
      for (const link of chosenOf("--links", asked.links, links, ({ name }) => name)) {
        for (const split of chosenOf("--data", asked.data, data, ({ name }) => name)) {
          for (let seed = first; seed < first + seeds; seed++) {
            const setting = { link, split, seed, minutes, isChanging: asked.changing === "1" };
            races.push(await race(setting, { folder, named, choice: { job, step } }));
          }
        }
      }
      return resultOf(races);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** What is the same for all settings. */
interface Choice {
  /** The network, what a round takes, and the job's field `exchange` for micro-clouds. */
  readonly job: { readonly exchange: object };
  readonly step: { readonly learningRate: number; readonly momentum: number };
}

interface Setting {
  readonly link: (typeof links)[number];
  readonly split: (typeof data)[number];
  readonly seed: number;
  readonly minutes: number;
  readonly isChanging: boolean;
}

/** How a scheme did, and what it sent. */
interface Run extends Trained {
  readonly scheme: Scheme;
  readonly plan: Plan;
  /** Straight and to the coordinator, of all workers. */
  readonly bytes: number;
  /** Times of rounds over those that were planned. */
  readonly late: ReturnType<typeof overPlan>;
}

/** All schemes on the same data, workers and initial weights. */
interface Race {
  readonly setting: Setting;
  readonly runs: readonly Run[];
}

async function race(
  setting: Setting,
  { folder, named, choice }: { folder: string; named: readonly Scheme[]; choice: Choice },
): Promise<Race> {
  const { link, split, seed, isChanging } = setting;
  const out = path.join(folder, `${split.alpha} ${seed}`);
  const shards = partition(fashion, { out, parts: parts.length, alpha: split.alpha, seed });
  const folders = shards.map((shard) => shard.folder);
  const where = `${link.name} Mbit/s${isChanging ? ", changing" : ""}, ${split.name}, seed ${seed}`;
  const runs: Run[] = [];
  for (const scheme of named) {
    const run = await train(scheme, setting, { folders, choice });
    runs.push(run);
    const curve = run.points.map(([rounds, accuracy]) => {
      return `${(run.ends[rounds - 1] ?? 0).toFixed(0)} s ${(100 * accuracy).toFixed(2)}`;
    });
    tell(`${where}, ${scheme.name}: ${run.plan.reason}; % after: ${curve.join(", ")}`);
  }
  return { setting, runs };
}

const jobOf = ({ job }: Scheme, seed: number, { job: { exchange, ...model }, step }: Choice): Job =>
  parseJob({
    ...{ ...model, data: { idx: fashion }, batch, rounds: 1_000_000, seed },
    evaluate: { every: 1, samples: 2000 },
    fleet: { devices: parts.map((_, i) => ({ name: workerName(i) })) },
    ...("planner" in job && job.planner === "micro-clouds" ? { exchange } : {}),
    ...job,
    optimizer: {
      ...step,
      accumulate,
      ...("optimizer" in job ? (job.optimizer as object) : {}),
    },
  });

async function train(
  scheme: Scheme,
  { link, seed, minutes, isChanging }: Setting,
  { folders, choice }: { folders: readonly string[]; choice: Choice },
): Promise<Run> {
  const job = jobOf(scheme, seed, choice);
  const model = loadModel(job, ".");
  const { share, profile } = timedAs(large, job);
  const mbit = link.mbit.map((own) => own && share * own);
  const nodes = machines({
    ...{ mbit, profile, test: loadHeldOut(job.data, ".") },
    samplesOf: (i) => loadTraining({ idx: folders[i] ?? "" }, "."),
  });
  const endMs = 60_000 * minutes;
  const { records } = await simulate({
    ...{ job, model, nodes, engine: () => new NativeEngine({ threads: 1 }) },
    ...(isChanging && { traces: changes(mbit, 2 * endMs) }),
    until: (_nowMs, seen) => trainedMs(seen) >= endMs,
  });
  const plan = records.flatMap(({ record }) => (record.type === "planned" ? [record.plan] : []))[0];
  if (plan === undefined) throw new Error(`${scheme.name} has no plan`);
  const bytes = records.flatMap(({ record }) => (record.type === "round" ? record.nodes : []));
  return {
    ...trainedIn(records, batch),
    late: overPlan(records),
    ...{ scheme, plan, bytes: bytes.reduce((sum, { bytesUp }) => sum + bytesUp, 0) },
  };
}

/** Time of the rounds so far; what measurements take between them is left out. */
function trainedMs(records: readonly TimedRecord[]): number {
  const last = records.at(-1)?.record;
  // It is asked before every event, and only a measurement's end can be the last one.
  if (last?.type !== "evaluation") return 0;
  return records.reduce((sum, { record }) => sum + (record.type === "round" ? record.ms : 0), 0);
}

/** Every two minutes the workers' speeds and links go round by two places. */
function changes(mbit: Mbit, endMs: number): SimTrace[] {
  const count = parts.length;
  const times = Array.from({ length: Math.ceil(endMs / changeMs) }, (_, i) => i);
  return parts.flatMap((part, worker): SimTrace[] => {
    const at = (time: number): number => (worker + 2 * time) % count;
    return [
      {
        ...{ kind: "speed", node: workerName(worker) },
        points: times.map((time) => [time * changeMs, (parts[at(time)] ?? part) / part]),
      },
      {
        ...{ kind: "rate", of: workerName(worker), way: "both" },
        points: times.map((time) => {
          const rate = mbit[at(time)] ?? null;
          return [time * changeMs, rate === null ? null : 125 * rate];
        }),
      },
    ];
  });
}

const bestOf = ({ points }: Run): number => Math.max(0, ...points.map(([, accuracy]) => accuracy));

/** When a run first had an accuracy, in seconds, between two measurements in proportion; infinite where it never had. */
function secondsTo({ ends, points }: Run, accuracy: number): number {
  let [beforeS, before] = [0, 0.1];
  for (const [rounds, reached] of points) {
    const atS = ends[rounds - 1] ?? Number.NaN;
    if (reached >= accuracy)
      return beforeS + ((accuracy - before) / (reached - before)) * (atS - beforeS);
    if (reached > before) [beforeS, before] = [atS, reached];
  }
  return Number.POSITIVE_INFINITY;
}

/** The best that a run had measured by a time. */
const accuracyAt = ({ ends, points }: Run, seconds: number): number =>
  Math.max(
    0,
    ...points.flatMap(([rounds, own]) =>
      (ends[rounds - 1] ?? Number.NaN) <= seconds ? [own] : [],
    ),
  );

const own = ({ runs }: Race): Run | undefined => runs.find(({ scheme }) => scheme.kind === "own");

const ofKind = ({ runs }: Race, kind: Scheme["kind"]): Run[] =>
  runs.filter(({ scheme }) => scheme.kind === kind);

/** How many times as long as micro-clouds the best scheme of a kind takes to what the best of them reaches. */
function sooner(race: Race, kind: Scheme["kind"]): number {
  const [mine, others] = [own(race), ofKind(race, kind)];
  if (mine === undefined || others.length === 0) return Number.NaN;
  const reached = Math.max(...others.map(bestOf));
  return Math.min(...others.map((run) => secondsTo(run, reached))) / secondsTo(mine, reached);
}

/** Points of accuracy at the end above the best scheme of a kind. */
function above(race: Race, kind: Scheme["kind"]): number {
  const [mine, others] = [own(race), ofKind(race, kind)];
  const seconds = 60 * race.setting.minutes;
  if (mine === undefined || others.length === 0) return Number.NaN;
  const best = Math.max(...others.map((run) => accuracyAt(run, seconds)));
  return 100 * (accuracyAt(mine, seconds) - best);
}

function resultOf(races: readonly Race[]): BenchResult {
  const ratios = races.map((each) => sooner(each, "baseline"));
  const points = Math.min(...races.map((each) => above(each, "baseline")));
  const goals = [
    atLeast(
      "time of the best of full exchange, Gaia, Ako and Hop to what it reaches, geometric mean",
      geometricMean(ratios),
      1.5,
    ),
    atLeast("the same, in the best setting", Math.max(...ratios), 2),
    atLeast(
      "time of federated averaging with the best H to what it reaches, worst",
      Math.min(...races.map((each) => sooner(each, "averaging"))),
      1,
    ),
    {
      ...{ name: "accuracy after the same time above every baseline's, worst", value: points },
      ...{ goal: 0, unit: "points, above", met: points > 0 },
    },
  ];
  return {
    rows: races.flatMap(rowsOf),
    // There is no number where nobody was asked for to compare with.
    goals: goals.filter(({ value }) => !Number.isNaN(value)),
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      "numbers by the native engine, in virtual time; held-out: 2,000 of the test images",
      `times and bytes: those of ${large}, on one core at batches of ${batch}; links are slower by as much as what is trained is smaller`,
      "time is that of rounds, without measurements; between two measurements in proportion; a point is one of accuracy above 10 %",
    ],
  };
}

const rowsOf = (race: Race): Row[] =>
  race.runs.map((run) => {
    const { link, split, seed, minutes, isChanging } = race.setting;
    const { every = 1, select } = run.plan.groups[0]?.exchange ?? {};
    const accuracy = accuracyAt(run, 60 * minutes);
    const sent = run.bytes / parts.length / 1e6;
    return {
      ...{ "Mbit/s": `${link.name}${isChanging ? ", changing" : ""}`, data: split.name, seed },
      scheme: run.scheme.name,
      exchanged: every > 1 ? `changes every ${every}` : (select?.kind ?? "weights"),
      rounds: run.ends.length,
      ...{ "of the plan's time": run.late.mean, "at most": run.late.most },
      samples: run.samples,
      "accuracy, %": 100 * accuracy,
      ...Object.fromEntries(marks.map((mark) => [`s to ${mark} %`, secondsTo(run, mark / 100)])),
      "MB a worker": sent,
      "MB a point": sent / (100 * accuracy - 10),
    };
  });
