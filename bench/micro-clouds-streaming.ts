/**
 * Changes of weights that six unequal workers exchange by fragments while they train on, against all of them at once, at the same
 * number of updates: how long an update takes in virtual time over links of several speeds, with a large network and the
 * null engine; and how accurate a small one is that trains for real, which no link has a bearing on.
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
  parseJob,
  partition,
  type RunRecord,
  trainingModel,
  version,
} from "edgeloom";
import { nullEngine, type SimulationOptions, simulate } from "edgeloom/sim";
import { type Bench, chosenOf, countOf, fieldsOf, optionsOf, type Row, tell } from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { coreProfile, machines, parts, workerName } from "./micro-clouds-fleet.ts";
import { trainedIn } from "./trained.ts";

/** The large network, whose times are taken. */
const large = "mobilenetv3-large";
/** Batches of so many, so many to an update for each worker on average, and updates to a round. */
const [batch, accumulate, updates] = [32, 4, 32];
const links = [5, 50];
const data = [
  { name: "IID", alpha: 1e4 },
  { name: "Dirichlet 0.3", alpha: 0.3 },
] as const;

/** All at once, or by so many fragments. */
interface Scheme {
  readonly name: string;
  readonly exchange: object;
}

export const microCloudsStreaming: Bench = {
  summary:
    "exchanging by fragments while training goes on, against all at once [--every N,M] [--fragments N,M] [--mix N] [--exchange JSON] [--links A,B] [--data A,B] [--seeds N] [--rounds N] [--rate N]",
  async run(args) {
    const asked = optionsOf(args, {
      ...{ every: "2,8", fragments: "2,4,8", mix: "0.5", exchange: '{"codec":"affine8"}' },
      ...{ links: links.join(), data: data.map(({ name }) => name).join() },
      ...{ seeds: "1", rounds: "4", rate: "0.2" },
    });
    const own = fieldsOf("--exchange", asked.exchange);
    const numbers = (flag: "every" | "fragments") =>
      asked[flag].split(",").map((text) => countOf(`--${flag}`, text));
    const schemes = numbers("every").flatMap((every): Scheme[] => [
      { name: "all at once", exchange: { ...own, every } },
      ...numbers("fragments").flatMap((fragments) => {
        if (fragments > every) return [];
        // As late as can be: what is hidden most, and worth least.
        const stream = { fragments, mix: Number(asked.mix), delay: Math.floor(every / fragments) };
        return [{ name: `${fragments} fragments`, exchange: { ...own, every, stream } }];
      }),
    ]);
    const rows: Row[] = [];
    for (const mbit of asked.links === "none"
      ? []
      : chosenOf("--links", asked.links, links, String)) {
      for (const scheme of schemes) rows.push(await timed(mbit, scheme));
    }
    const chosen =
      asked.data === "none" ? [] : chosenOf("--data", asked.data, data, (one) => one.name);
    const [seeds, rounds] = [countOf("--seeds", asked.seeds), countOf("--rounds", asked.rounds)];
    for (const split of chosen) {
      for (let seed = 1; seed <= seeds; seed++) {
        rows.push(...(await trained({ split, seed, rounds, rate: Number(asked.rate) }, schemes)));
      }
    }
    return {
      ...{ rows, goals: [], versions: { edgeloom: version }, seed: 1 },
      notes: [
        `rows with links: ${large}, profile of one core (parallel-split-profiles.json), batches of ${batch}, ${accumulate} to an update on average, ${updates} updates to a round; times of the second round`,
        "MB at once: what a worker sends for one exchange in the middle of a round, on average; the last one of a round is of all entries in any case",
        "rows with data: lenet5 on Fashion-MNIST, numbers by the native engine; held-out: 2,000 of the test images, after each round",
      ],
    };
  },
};

const jobOf = (fields: object, exchange: object): Job =>
  parseJob({
    ...{ batch, localBatches: updates * accumulate, planner: "micro-clouds", exchange },
    fleet: { devices: parts.map((_, i) => ({ name: workerName(i) })) },
    ...fields,
  });

const recordsOf = async (options: SimulationOptions) => {
  const { records, end } = await simulate(options);
  const all = records.map(({ record }) => record);
  const rounds = all.flatMap((record) => (record.type === "round" ? [record] : []));
  if (rounds.length < options.job.rounds || rounds.some(({ dropped }) => dropped.length > 0)) {
    throw new Error(end.text);
  }
  return { records, rounds, plan: planOf(all) };
};

function planOf(records: readonly RunRecord[]) {
  const [plan] = records.flatMap((record) => (record.type === "planned" ? [record.plan] : []));
  const exchange = plan?.groups[0]?.exchange;
  if (plan === undefined || exchange === undefined) throw new Error("nothing is exchanged");
  return { plan, exchange };
}

/** How long an update takes over links of so many Mbit/s. */
async function timed(mbit: number, { name, exchange: own }: Scheme): Promise<Row> {
  tell(`${mbit} Mbit/s, ${name} ...`);
  const fields = {
    model: large,
    data: { images: "cifar-10" },
    rounds: 2,
    evaluate: { every: 100 },
  };
  const job = jobOf({ ...fields, optimizer: { accumulate } }, own);
  const model = loadModel(job, ".");
  const inputShape = model.graph.inputs[0]?.shape.slice(1) as number[];
  const samples = { samples: 10_000, inputShape, classes: 10 };
  const nodes = machines({
    ...{ profile: coreProfile(large), samplesOf: () => samples },
    mbit: parts.map(() => mbit),
  });
  const ran = await recordsOf({ job, model, nodes, engine: nullEngine });
  const { plan, exchange } = ran.plan;
  const { every, stream } = exchange;
  const { microBatches = 1, work = 0 } = plan.chains[0] ?? {};
  const count = work / microBatches;
  const [forecast] = plan.forecasts;
  const computeMs = Math.max(...plan.forecasts.map((one) => one.computeMs)) / count;
  const round = ran.rounds[1];
  if (round === undefined || forecast === undefined) throw new Error("there is no second round");
  const bytes = round.nodes.flatMap(({ straight }) => straight).map((one) => one.bytes);
  const sent = bytes.reduce((sum, each) => sum + each, 0) / parts.length;
  const fragments = stream?.fragments ?? 1;
  const exchanges = count / every;
  // What goes in a round, in fragments of the model: the last exchange is of all of them.
  const all = exchanges * fragments - 1 + fragments;
  return {
    ...{ "Mbit/s": mbit, exchanged: `${name}, every ${every}`, delay: stream?.delay ?? 0 },
    "s an update": round.ms / count / 1000,
    "of it computing": computeMs / 1000,
    forecast: forecast.roundMs / count / 1000,
    "MB an update": sent / count / 1e6,
    "MB at once": sent / all / 1e6,
  };
}

interface Setting {
  readonly split: (typeof data)[number];
  readonly seed: number;
  readonly rounds: number;
  readonly rate: number;
}

/** How accurate a small network is after each round, with as many updates under all schemes. */
async function trained(
  { split, seed, rounds, rate: learningRate }: Setting,
  schemes: readonly Scheme[],
): Promise<Row[]> {
  checkFashion();
  const out = mkdtempSync(path.join(tmpdir(), "edgeloom-bench-"));
  try {
    const shards = partition(fashion, { out, parts: parts.length, alpha: split.alpha, seed });
    const rows: Row[] = [];
    for (const { name, exchange } of schemes) {
      tell(`${split.name}, seed ${seed}, ${name} ...`);
      const evaluate = { every: 1, samples: 2000 };
      const fields = { model: "lenet5", data: { idx: fashion }, rounds, seed, evaluate };
      const optimizer = { learningRate, momentum: 0, accumulate };
      const job = jobOf({ ...fields, optimizer }, exchange);
      const model = loadModel(job, ".");
      const { segments } = trainingModel(model.graph, job);
      const time = { forwardMs: 1, backwardMs: 2, updateMs: 0 };
      const profile = { segments: segments.map(() => time), runMs: 0, callMs: 0 };
      const nodes = machines({
        ...{ mbit: parts.map(() => null), profile },
        samplesOf: (i) => loadTraining({ idx: shards[i]?.folder ?? "" }, "."),
        test: loadHeldOut(job.data, "."),
      });
      const engine = () => new NativeEngine({ threads: 1 });
      const { records, plan } = await recordsOf({ job, model, nodes, engine });
      const { points } = trainedIn(records, batch);
      rows.push({
        ...{ data: split.name, seed, exchanged: `${name}, every ${plan.exchange.every}` },
        delay: plan.exchange.stream?.delay ?? 0,
        "%, by rounds": points.map(([, accuracy]) => (100 * accuracy).toFixed(1)).join(", "),
      });
    }
    return rows;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
