/**
 * What splitting costs in accuracy, and how soon it gets there: a small CNN on Fashion-MNIST, trained for
 * real in virtual time by every planner that splits in parallel, on ten unequal devices with uneven data.
 * The network is small and its numbers are real; its times are those of a large one, and the cell is
 * as much slower as its features are smaller.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  InputError,
  type Job,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Profile,
  parseJob,
  partition,
  type SegmentCost,
  segmentCosts,
  type TimedRecord,
  trainingModel,
  version,
} from "edgeloom";
import { simulate } from "edgeloom/sim";
import {
  atMost,
  type Bench,
  type BenchResult,
  countOf,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { stretchedCore } from "./measured.ts";
import { type Cell, costsOf, fleetOf } from "./parallel-split-fleet.ts";
import { virtualFleet } from "./parallel-split-virtual.ts";

/** A step of the large network whose times are taken, on one core: VGG-19 at batch 32. */
const stepMs = 1400;
/** What devices share each way when they train the large one. */
const largeBytesPerMs = 12_500;
const devices = 10;
const [rounds, localBatches, evaluatedEvery] = [18, 15, 3];

const schemes = [
  "federated-averaging",
  "splitfed",
  "per-device-cut",
  "alternating-split",
  "parallel-split",
] as const;
type Scheme = (typeof schemes)[number];

export const parallelSplitAccuracy: Bench = {
  summary:
    "accuracy of parallel split learning, and time to it, against other schemes [--seeds N] [--alpha A,B]",
  async run(args) {
    checkFashion();
    const asked = optionsOf(args, { seeds: "3", alpha: "0.1,0.5" });
    const seeds = countOf("--seeds", asked.seeds);
    const alphas = asked.alpha.split(",").map(alphaOf);
    const profile = await stretchedCore(jobOf({ scheme: "parallel-split", seed: 1 }, null), stepMs);
    const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
    try {
      const races: Race[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        for (const alpha of alphas) races.push(await race({ alpha, seed, folder, profile }));
      }
      return resultOf(races);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** @throws InputError for no number above 0 */
function alphaOf(text: string): number {
  const alpha = Number(text);
  if (alpha > 0 && Number.isFinite(alpha)) return alpha;
  throw new InputError({ what: "--alpha", received: text, allowed: "numbers above 0" });
}

interface Asked {
  readonly scheme: Scheme;
  readonly seed: number;
}

const jobOf = ({ scheme, seed }: Asked, cell: Cell | null): Job =>
  parseJob({
    model: "lenet5",
    data: { idx: fashion },
    optimizer: { kind: "sgd", learningRate: 0.05, momentum: 0.9, schedule: "cosine" },
    batch: 32,
    rounds,
    localBatches,
    seed,
    planner: scheme,
    split: { mayKeepAll: true },
    evaluate: { every: evaluatedEvery, samples: 3000 },
    fleet: { devices, cellMbit: cell && cell.bytesPerMs / 125 },
  });

/** The cell on which the small network's features take as long as the large one's. */
function cellFor(job: Job): Cell {
  const { graph, segments } = trainingModel(loadModel(job, ".").graph, job);
  const share = firstBytes(segmentCosts(graph, segments, job)) / firstBytes(costsOf("vgg19"));
  return { devices, bytesPerMs: share * largeBytesPerMs };
}

/** Bytes of a batch behind the first segment. */
const firstBytes = ([first]: readonly SegmentCost[]): number =>
  (first?.outputs ?? []).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 4), 0);

/** A point of a run: seconds of training so far, and the accuracy on held-out samples. */
type Point = readonly [seconds: number, accuracy: number];

/** How a scheme did. */
interface Trained {
  readonly points: readonly Point[];
  readonly seconds: number;
  readonly accuracy: number;
  readonly samples: number;
}

interface RaceOptions {
  readonly alpha: number;
  readonly seed: number;
  readonly folder: string;
  readonly profile: Profile;
}

/** All schemes on the same data, devices and initial weights. */
interface Race {
  readonly alpha: number;
  readonly seed: number;
  readonly runs: Readonly<Record<Scheme, Trained>>;
  /** The accuracy that all of them reach. */
  readonly fixed: number;
}

async function race({ alpha, seed, folder, profile }: RaceOptions): Promise<Race> {
  const out = path.join(folder, `${alpha} ${seed}`);
  const shards = partition(fashion, { out, parts: devices, alpha, seed });
  const runs: Partial<Record<Scheme, Trained>> = {};
  for (const scheme of schemes) {
    const folders = shards.map((shard) => shard.folder);
    const run = await train({ scheme, seed }, folders, profile);
    runs[scheme] = run;
    const came = `${(100 * run.accuracy).toFixed(2)} % after ${run.seconds.toFixed(0)} s`;
    tell(`alpha ${alpha}, seed ${seed}, ${scheme}: ${came}`);
  }
  const all = runs as Record<Scheme, Trained>;
  // The best of each run counts, as averages of uneven data go up and down.
  const best = Object.values(all).map(({ points }) => Math.max(...points.map(([, own]) => own)));
  const fixed = Math.floor(100 * Math.min(...best)) / 100;
  const times = schemes.map((scheme) => `${scheme} ${secondsTo(all[scheme], fixed).toFixed(0)} s`);
  tell(`alpha ${alpha}, seed ${seed}, to ${100 * fixed} %: ${times.join(", ")}`);
  return { alpha, seed, runs: all, fixed };
}

async function train(asked: Asked, folders: readonly string[], profile: Profile): Promise<Trained> {
  const cell = cellFor(jobOf(asked, null));
  const job = jobOf(asked, cell);
  const nodes = fleetOf({ profile }, cell, asked.seed - 1);
  const held = loadHeldOut(job.data, ".");
  const sources = nodes.filter(({ kind }) => kind === "device");
  const fleet = virtualFleet(nodes, cell, (node) =>
    node.kind === "device"
      ? { train: loadTraining({ idx: folders[sources.indexOf(node)] ?? "" }, "."), test: null }
      : { train: null, test: held },
  );
  const engine = (): NativeEngine => new NativeEngine({ threads: 1 });
  const { records } = await simulate({ job, model: loadModel(job, "."), engine, ...fleet });
  return trainedIn(records);
}

function trainedIn(records: readonly TimedRecord[]): Trained {
  let [ms, samples, accuracy, work] = [0, 0, 0, 0];
  const points: Point[] = [];
  for (const { record } of records) {
    if (record.type === "planned") work = record.plan.chains[0]?.work ?? 0;
    if (record.type === "round") {
      ms += record.ms;
      for (const { steps = work } of record.participants) samples += 32 * steps;
    }
    if (record.type !== "evaluation" || record.accuracy === null) continue;
    points.push([ms / 1000, record.accuracy]);
    if (record.final) accuracy = record.accuracy;
  }
  return { points, seconds: ms / 1000, accuracy, samples };
}

/** When a run first had an accuracy. */
const secondsTo = ({ points }: Trained, accuracy: number): number =>
  points.find(([, own]) => own >= accuracy)?.[0] ?? Number.POSITIVE_INFINITY;

function resultOf(races: readonly Race[]): BenchResult {
  const lost = races.map(
    ({ runs }) => 100 * (runs["federated-averaging"].accuracy - runs["parallel-split"].accuracy),
  );
  const sooner = (scheme: Scheme, { runs, fixed }: Race): number =>
    secondsTo(runs[scheme], fixed) / secondsTo(runs["parallel-split"], fixed);
  const others = schemes.filter((scheme) => scheme !== "parallel-split");
  const worst = Math.min(...others.flatMap((scheme) => races.map((own) => sooner(scheme, own))));
  return {
    rows: races.flatMap((own) => rowsOf(own, (scheme) => sooner(scheme, own))),
    goals: [
      atMost("accuracy lost against federated averaging, worst", lost, 0.5, "points"),
      {
        ...{ name: "time of any other scheme to the same accuracy, worst", value: worst, goal: 1 },
        ...{ unit: "x, at least", met: worst >= 1 - 1e-3 },
      },
    ],
    versions: { edgeloom: version },
    seed: 1,
    notes: [
      "numbers by the native engine, in virtual time; held-out: the 10,000 test images, at the end all of them",
      `times: the small network's, stretched to ${stepMs} ms a step on one core, as VGG-19's are; the cell as much slower as features are smaller`,
      "the fixed accuracy is what every scheme of a row reaches; time is that of rounds, without measurements",
    ],
  };
}

const rowsOf = ({ alpha, seed, runs, fixed }: Race, sooner: (scheme: Scheme) => number): Row[] =>
  schemes.map((scheme) => {
    const run = runs[scheme];
    return {
      alpha,
      seed,
      scheme,
      samples: run.samples,
      "round, s": run.seconds / rounds,
      "final accuracy, %": 100 * run.accuracy,
      "fixed accuracy, %": 100 * fixed,
      "s to it": secondsTo(run, fixed),
      "over parallel-split": sooner(scheme),
    };
  });
