/**
 * What attackers cost: a small CNN on Fashion-MNIST, trained for real in virtual time by workers that agree from node to
 * node, two of whom lie about what they compute; beside it the honest ones alone, with no more data than their own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Job,
  type JobFields,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Profile,
  parseJob,
  partition,
  version,
} from "edgeloom";
import { type SimAttack, type SimNode, simulate } from "edgeloom/sim";
import {
  atMost,
  type Bench,
  chosenOf,
  countOf,
  fieldsOf,
  optionsOf,
  type Row,
  tell,
} from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { stretchedCore } from "./measured.ts";

/** Fleets of so many, of whom the last two lie; the first is what a goal is for. */
const fleets = [
  { name: "6 IID", count: 6, alpha: 1e6 },
  { name: "6 Dirichlet 0.3", count: 6, alpha: 0.3 },
  { name: "7 IID", count: 7, alpha: 1e6 },
  { name: "7 Dirichlet 0.3", count: 7, alpha: 0.3 },
] as const;
type Fleet = (typeof fleets)[number];
const liars = 2;

const attacks: readonly { readonly name: string; readonly attack: SimAttack }[] = [
  { name: "sign-flip", attack: { kind: "sign-flip", factor: 1 } },
  { name: "scaled", attack: { kind: "scaled", factor: -10 } },
  { name: "lying-loss", attack: { kind: "lying-loss", factor: -10 } },
];
type Join = NonNullable<NonNullable<JobFields["exchange"]>["join"]>;
const joins: readonly Join[] = [
  { kind: "average" },
  { kind: "median" },
  { kind: "trimmed-mean", liars },
  { kind: "krum", liars },
];
/**
 * Those that take seven: Krum against two, and the trimmed mean to be another one than the median, which is the mean of what
 * is left of six values without two on each side.
 */
const needMost: ReadonlySet<string | undefined> = new Set(["krum", "trimmed-mean"]);

const [batch, localBatches] = [32, 40];
/** A step of every worker. */
const stepMs = 50;

export const microCloudsAttack: Bench = {
  summary:
    "accuracy of workers that agree from node to node, two of whom lie [--fleets A,B] [--joins A,B] [--attacks A,B] [--every A,B] [--exchange JSON] [--seeds N] [--rounds N]",
  async run(args) {
    checkFashion();
    const names = fleets.map(({ name }) => name);
    const asked = optionsOf(args, {
      fleets: names.join(),
      joins: joins.map(({ kind }) => kind).join(),
      attacks: attacks.map(({ name }) => name).join(),
      exchange: "{}",
      every: "20",
      seeds: "3",
      rounds: "24",
    });
    const everies = asked.every.split(",").map((every) => countOf("--every", every));
    const rounds = countOf("--rounds", asked.rounds);
    const seeds = countOf("--seeds", asked.seeds);
    const among = chosenOf("--joins", asked.joins, joins, ({ kind = "average" }) => kind);
    const against = chosenOf("--attacks", asked.attacks, attacks, ({ name }) => name);
    const exchange = fieldsOf("--exchange", asked.exchange);
    const chosen = chosenOf("--fleets", asked.fleets, fleets, ({ name }) => name);
    const profile = await stretchedCore(jobOf({ rounds, seed: 1, count: 6 }, {}), stepMs);
    const folder = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
    try {
      const outcomes: Outcome[] = [];
      for (const fleet of chosen) {
        for (let seed = 1; seed <= seeds; seed++) {
          const out = path.join(folder, `${fleet.name} ${seed}`);
          const shards = partition(fashion, { out, parts: fleet.count, alpha: fleet.alpha, seed });
          const folders = shards.map((own) => own.folder);
          const given = { fleet, seed, rounds, profile, folders, among, against, exchange };
          for (const every of everies) outcomes.push(...(await underAttack({ ...given, every })));
        }
      }
      return { ...resultOf(outcomes), versions: { edgeloom: version }, seed: 1 };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

interface Given {
  readonly fleet: Fleet;
  readonly seed: number;
  readonly rounds: number;
  /** Updates from one exchange to the next. */
  readonly every: number;
  readonly profile: Profile;
  readonly folders: readonly string[];
  /** Policies to compare. */
  readonly among: readonly Join[];
  readonly against: typeof attacks;
  /** What else the job's field `exchange` says. */
  readonly exchange: object;
}

interface Outcome {
  readonly fleet: string;
  readonly seed: number;
  readonly every: number;
  /** Null for the honest alone. */
  readonly attack: string | null;
  readonly join: string;
  /** On the 10,000 test images; null where the run diverged. */
  readonly accuracy: number | null;
  /** Weights of liars that the honest took over, of those that they were given. */
  readonly taken: number;
  readonly given: number;
}

async function underAttack(given: Given): Promise<Outcome[]> {
  const { fleet, seed, every, folders, among, against } = given;
  const outcomes: Outcome[] = [];
  const add = async (join: Join, own: (typeof attacks)[number] | null): Promise<void> => {
    const honest = fleet.count - liars;
    const members = own === null ? folders.slice(0, honest) : folders;
    const came = await train({ ...given, folders: members }, join, own?.attack ?? null);
    const outcome = {
      ...{ fleet: fleet.name, seed, every },
      attack: own?.name ?? null,
      join: join.kind,
      ...came,
    };
    tell(JSON.stringify(outcome));
    outcomes.push(outcome);
  };
  const [average] = joins;
  if (average !== undefined) await add(average, null);
  const isMost = fleet.count >= 2 * liars + 3;
  const held = among.filter(({ kind }) => isMost || !needMost.has(kind));
  for (const attack of against) for (const join of held) await add(join, attack);
  return outcomes;
}

const nameOf = (i: number): string => `worker-${i + 1}`;

function jobOf(
  {
    rounds,
    seed,
    count,
    every = 1,
    exchange = {},
  }: { rounds: number; seed: number; count: number; every?: number; exchange?: object },
  join: Join | object,
): Job {
  return parseJob({
    ...{ model: "lenet5", data: { idx: fashion }, batch, rounds, localBatches, seed },
    optimizer: { learningRate: 0.05, momentum: 0.9, schedule: "cosine" },
    planner: "micro-clouds",
    exchange: { every, select: "all", join, ...exchange },
    evaluate: { every: rounds },
    fleet: { devices: Array.from({ length: count }, (_, i) => ({ name: nameOf(i) })) },
  });
}

async function train(
  { rounds, seed, every, profile, folders, exchange }: Given,
  join: Join,
  attack: SimAttack | null,
): Promise<Pick<Outcome, "accuracy" | "taken" | "given">> {
  const job = jobOf({ rounds, seed, every, exchange, count: folders.length }, join);
  const common = { duty: 1, memoryBytes: null, latencyMs: 5, ceilingBytesPerMs: null, profile };
  const workers = folders.map((folder, i): SimNode => {
    const lies = attack !== null && i >= folders.length - liars;
    return {
      ...{ ...common, name: nameOf(i), kind: "device", reachable: true, test: null },
      train: loadTraining({ idx: folder }, "."),
      ...(lies ? { attack } : {}),
    };
  });
  const test = loadHeldOut(job.data, ".");
  const edge: SimNode = { ...common, name: "edge", kind: "edge", train: null, test };
  const { records, end } = await simulate({
    ...{ job, model: loadModel(job, "."), nodes: [edge, ...workers] },
    engine: () => new NativeEngine({ threads: 1 }),
  });
  const last = records.findLast(({ record }) => record.type === "evaluation")?.record;
  const hasFinished = end.reason === "finished" && last?.type === "evaluation";
  const lying = new Set(workers.flatMap((own) => (own.attack ? [`chain:${own.name}`] : [])));
  const transfers = records
    .flatMap(({ record }) => (record.type === "round" ? record.participants : []))
    .filter(({ chain }) => !lying.has(chain))
    .flatMap(({ transfers: own = [] }) => own)
    .filter(({ by, chain }) => by === undefined && lying.has(chain));
  return {
    accuracy: hasFinished ? last.accuracy : null,
    taken: transfers.filter(({ isTaken }) => isTaken).length,
    given: transfers.length,
  };
}

/** What a run lost against the honest alone, with the same seed; all of it where it diverged. */
function lostBy({ fleet, seed, every, accuracy }: Outcome, all: readonly Outcome[]): number {
  const alone = all.find(
    (own) => own.fleet === fleet && own.seed === seed && own.every === every && own.attack === null,
  )?.accuracy;
  return 100 * ((alone ?? Number.NaN) - (accuracy ?? 0));
}

function resultOf(outcomes: readonly Outcome[]) {
  const robust = outcomes.filter(
    ({ fleet, attack, join }) => fleet === fleets[0].name && attack !== null && join === "median",
  );
  const lost = robust.map((own) => lostBy(own, outcomes));
  return {
    rows: outcomes.map((own): Row => {
      const accuracy = own.accuracy === null ? null : 100 * own.accuracy;
      const { fleet, seed, every, join } = own;
      const attack = own.attack ?? "(the honest alone)";
      return {
        fleet,
        every,
        seed,
        attack,
        join,
        "accuracy, %": accuracy,
        lost: lostBy(own, outcomes),
        "liars' weights taken": `${own.taken} of ${own.given}`,
      };
    }),
    goals: [atMost("2 liars of 6 (IID) against the four alone, worst", lost, 1, "points")],
    notes: [
      `lenet5 on Fashion-MNIST, batches of ${batch}, all gradients each update, numbers by the native engine in virtual time`,
      "of six values without two on each side, the median is also the trimmed mean",
      "sign-flip: minus what was computed; scaled: -10 times as much; lying-loss: the same, and batches that have lost nothing; the last two of the fleet lie, in gradients and in what they bring to rounds",
      "lost: points of accuracy against the honest alone, who have no more data than their own; the 10,000 test images at the end",
    ],
  };
}
