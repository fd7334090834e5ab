/**
 * What splitting costs in accuracy, and how soon it gets there: a small CNN on Fashion-MNIST, trained for
 * real in virtual time on ten unequal devices with uneven data, by plans of the joint planner and by
 * federated averaging; what the other schemes take for as many rounds is timed.
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
  trainingModel,
  version,
} from "edgeloom";
import { nullEngine, simulate } from "edgeloom/sim";
import {
  atLeast,
  atMost,
  type Bench,
  type BenchResult,
  countOf,
  fieldsOf,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { stretchedCore } from "./measured.ts";
import { baselines, type Cell, costsOf, even, fleetOf } from "./parallel-split-fleet.ts";
import { virtualFleet } from "./parallel-split-virtual.ts";
import { type Ends, type Trained, trainedIn } from "./trained.ts";

/** A step of the large network whose times are taken, on one core: VGG-19 at batch 32. */
const stepMs = 1400;
/** What devices share each way when they train the large one. */
const largeBytesPerMs = 12_500;
const devices = 10;
const [batch, rounds, localBatches, evaluatedEvery] = [32, 18, 15, 3];

const schemes = [...baselines, "parallel-split"] as const;
type Scheme = (typeof schemes)[number];

/**
 * Their rounds are played with every message, and no numbers: with a copy on the server for each device
 * they compute what federated averaging does, but for rounding.
 */
const timed = ["splitfed", "per-device-cut", "alternating-split"] as const;
/** Schemes that compute something of their own. */
const computed = ["federated-averaging", "sequential-split", "parallel-split"] as const;
type Computed = (typeof computed)[number];
const isComputed = (scheme: Scheme): scheme is Computed => computed.some((own) => own === scheme);

export const parallelSplitAccuracy: Bench = {
  summary:
    "accuracy of parallel split learning, and time to it, against other schemes [--seeds N] [--from N] [--alpha A,B] [--split JSON]",
  async run(args) {
    checkFashion();
    const asked = optionsOf(args, { seeds: "3", from: "1", alpha: "0.1,0.5", split: "{}" });
    const split = fieldsOf("--split", asked.split);
    const seeds = countOf("--seeds", asked.seeds);
    const first = countOf("--from", asked.from);
    const alphas = asked.alpha.split(",").map(alphaOf);
    const profile = await stretchedCore(
      jobOf({ scheme: "parallel-split", seed: 1, split }, null),
      stepMs,
    );
    const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
    try {
      const races: Race[] = [];
      for (let seed = first; seed < first + seeds; seed++) {
        for (const alpha of alphas) races.push(await race({ alpha, seed, split, folder, profile }));
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
  /** The job's field of that name, for the joint planner. */
  readonly split: object;
}

const jobOf = ({ scheme, seed, split }: Asked, cell: Cell | null): Job =>
  parseJob({
    model: "lenet5",
    data: { idx: fashion },
    optimizer: { kind: "sgd", learningRate: 0.05, momentum: 0.9, schedule: "cosine" },
    batch,
    rounds,
    localBatches,
    seed,
    planner: scheme,
    split: { mayKeepAll: true, ...(scheme === "parallel-split" ? split : {}) },
    // Devices that train one after the other have a round each.
    evaluate: {
      every: evaluatedEvery * (scheme === "sequential-split" ? devices : 1),
      samples: 3000,
    },
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

interface RaceOptions extends Omit<Asked, "scheme"> {
  readonly alpha: number;
  readonly folder: string;
  readonly profile: Profile;
}

/** All schemes on the same data, devices and initial weights. */
interface Race {
  readonly alpha: number;
  readonly seed: number;
  readonly runs: Readonly<Record<Computed, Trained>>;
  readonly ends: Readonly<Record<Scheme, Ends>>;
  /** An accuracy that federated averaging and the joint planner's plan both reach. */
  readonly fixed: number;
}

async function race({ alpha, seed, split: fields, folder, profile }: RaceOptions): Promise<Race> {
  const out = path.join(folder, `${alpha} ${seed}`);
  const folders = partition(fashion, { out, parts: devices, alpha, seed }).map((own) => own.folder);
  const trained = async (scheme: Scheme, isTimed: boolean): Promise<Trained> => {
    const run = await train({ scheme, seed, split: fields }, folders, { profile, isTimed });
    const came = isTimed ? "" : `${(100 * run.accuracy).toFixed(2)} % after `;
    const seconds = (run.ends.at(-1) ?? 0).toFixed(0);
    tell(`alpha ${alpha}, seed ${seed}, ${scheme}: ${came}${seconds} s`);
    return run;
  };
  const runs: Partial<Record<Computed, Trained>> = {};
  const ends: Partial<Record<Scheme, Ends>> = {};
  for (const scheme of computed) {
    const run = await trained(scheme, false);
    [runs[scheme], ends[scheme]] = [run, run.ends];
  }
  for (const scheme of timed) ends[scheme] = (await trained(scheme, true)).ends;
  const whole = runs as Race["runs"];
  // The best of each run counts, as averages of uneven data go up and down.
  const best = [whole["federated-averaging"], whole["parallel-split"]].map(({ points }) =>
    Math.max(...points.map(([, own]) => own)),
  );
  const fixed = Math.floor(100 * Math.min(...best)) / 100;
  const result = { alpha, seed, runs: whole, ends: ends as Race["ends"], fixed };
  const times = schemes.map((scheme) => `${scheme} ${secondsTo(result, scheme).toFixed(0)} s`);
  tell(`alpha ${alpha}, seed ${seed}, to ${(100 * fixed).toFixed(0)} %: ${times.join(", ")}`);
  return result;
}

async function train(
  asked: Asked,
  folders: readonly string[],
  { profile, isTimed }: { readonly profile: Profile; readonly isTimed: boolean },
): Promise<Trained> {
  const cell = cellFor(jobOf(asked, null));
  const job = jobOf(asked, cell);
  const nodes = fleetOf({ profile }, cell, asked.seed - 1);
  const held = loadHeldOut(job.data, ".");
  const sources = nodes.filter(({ kind }) => kind === "device");
  const fleet = virtualFleet(nodes, cell, (node) =>
    node.kind === "device"
      ? { train: loadTraining({ idx: folders[sources.indexOf(node)] ?? "" }, "."), test: null }
      : { train: null, test: isTimed ? null : held },
  );
  const engine = isTimed ? nullEngine : () => new NativeEngine({ threads: 1 });
  const { records } = await simulate({ job, model: loadModel(job, "."), engine, ...fleet });
  return trainedIn(records, batch);
}

/** When a scheme first has the accuracy that both reach. */
function secondsTo({ runs, ends, fixed }: Race, scheme: Scheme): number {
  const { points } = runs[isComputed(scheme) ? scheme : "federated-averaging"];
  const [after = 0] = points.find(([, accuracy]) => accuracy >= fixed) ?? [];
  return ends[scheme][after - 1] ?? Number.POSITIVE_INFINITY;
}

function resultOf(races: readonly Race[]): BenchResult {
  const lost = races.map(
    ({ runs }) => 100 * (runs["federated-averaging"].accuracy - runs["parallel-split"].accuracy),
  );
  const worst = Math.min(...baselines.flatMap((scheme) => races.map((own) => sooner(own, scheme))));
  return {
    rows: races.flatMap(rowsOf),
    goals: [
      atMost("accuracy lost against federated averaging, worst", lost, 0.5, "points"),
      atLeast("time of any other scheme to the same accuracy, worst", worst, 1, even),
    ],
    versions: { edgeloom: version },
    seed: races[0]?.seed ?? 1,
    notes: [
      "numbers by the native engine, in virtual time; held-out: the 10,000 test images, at the end all of them",
      `times: the small network's, stretched to ${stepMs} ms a step on one core, as VGG-19's are; the cell as much slower as features are smaller`,
      "the fixed accuracy is what federated averaging and parallel-split both reach; time is that of rounds, without measurements",
    ],
  };
}

/** How many times as long as the joint planner's plan another scheme takes to the fixed accuracy. */
const sooner = (race: Race, scheme: Scheme): number =>
  secondsTo(race, scheme) / secondsTo(race, "parallel-split");

const rowsOf = (race: Race): Row[] =>
  schemes.map((scheme) => {
    const { alpha, seed, runs, ends, fixed } = race;
    const run = isComputed(scheme) ? runs[scheme] : undefined;
    return {
      alpha,
      seed,
      scheme,
      samples: run?.samples ?? null,
      "round, s": (ends[scheme].at(-1) ?? Number.NaN) / rounds,
      "final accuracy, %": run === undefined ? null : 100 * run.accuracy,
      "fixed accuracy, %": 100 * fixed,
      "s to it": secondsTo(race, scheme),
      "over parallel-split": sooner(race, scheme),
    };
  });
