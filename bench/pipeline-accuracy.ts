/**
 * What pipelining costs in accuracy: a small CNN on Fashion-MNIST, trained for real while a device walks past
 * edge servers in virtual time, against as many updates in one process, at the same learning rates. The network is
 * small and its numbers are real; its times are those of a large one, so that there is something to
 * pipeline.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  InputError,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Profile,
  parseJob,
  planners,
  readyScenario,
  type TimedRecord,
  version,
} from "edgeloom";
import { drawMobility, parseMobility, parseScenario, type SimNode, simulate } from "edgeloom/sim";
import { parse } from "yaml";
import { type Bench, optionsOf, type Row, tell } from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { stretchedCore } from "./measured.ts";

/** A step of the large network whose times are taken, on one core: VGG-11 at batch 32. */
const stepMs = 1000;
const rounds = 15;
const localBatches = 250;
const walks = [1, 2, 3];
const seeds = [1, 2, 3];

const jobOf = (seed: number, more: object = {}): object => ({
  model: "lenet5",
  data: { idx: fashion },
  batch: 32,
  rounds,
  localBatches,
  seed,
  planner: "pipeline",
  codec: { updates: "affine8" },
  // At a constant rate final accuracies differ by a point from round to round, and at 0.05 some pipelined runs are slow to begin.
  optimizer: { learningRate: 0.02, schedule: "cosine" },
  evaluate: { every: 1_000_000 },
  ...more,
});

const mobilityFile = path.join(import.meta.dirname, "pipeline-mobility.yaml");

/** What a run came to. */
interface Trained {
  readonly accuracy: number;
  readonly batches: number;
  readonly terms: number;
  readonly windows: string;
}

export const pipelineAccuracy: Bench = {
  summary:
    "accuracy of pipelined training on walks past edge servers, against one process [--seeds N] [--walks N]",
  async run(args) {
    checkFashion();
    const asked = optionsOf(args, { walks: String(walks.length), seeds: String(seeds.length) });
    const walksAsked = walks.slice(0, countOf(asked.walks, walks.length, "--walks"));
    const seedsAsked = seeds.slice(0, countOf(asked.seeds, seeds.length, "--seeds"));
    const profile = await stretchedCore(parseJob(jobOf(1)), stepMs);
    const rows: Row[] = [];
    const losses: number[] = [];
    for (const walk of walksAsked) {
      for (const seed of seedsAsked) {
        tell(`walk ${walk}, seed ${seed} ...`);
        const piped = await train(walk, seed, profile);
        const alone = await train(walk, seed, profile, piped.batches);
        const points = 100 * (alone.accuracy - piped.accuracy);
        losses.push(points);
        rows.push({
          walk,
          seed,
          updates: piped.batches,
          pipeline: piped.accuracy,
          "one process": alone.accuracy,
          "points lost": points,
          terms: piped.terms,
          windows: piped.windows,
        });
      }
    }
    const mean = losses.reduce((sum, points) => sum + points, 0) / losses.length;
    const goal = 0.5;
    return {
      rows,
      goals: [
        {
          name: "accuracy lost, mean",
          value: mean,
          goal,
          unit: "points, at most",
          met: mean <= goal,
        },
        {
          name: "accuracy lost, worst",
          value: Math.max(...losses),
          goal,
          unit: "points, at most",
          met: Math.max(...losses) <= goal,
        },
      ],
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        "numbers by the native engine, in virtual time; held-out: the 10,000 test images",
        `times: the small network's, stretched to ${stepMs} ms a step on one core, as VGG-11's are`,
      ],
    };
  },
};

/** How many of a list to take, at least one. @throws InputError for no number */
function countOf(text: string, most: number, what: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new InputError({ what, received: text, allowed: `1 to ${most}` });
}
/** Trains on a walk; in one process where a number of updates is given. */
async function train(
  walk: number,
  seed: number,
  profile: Profile,
  updates?: number,
): Promise<Trained> {
  const mobility = parseMobility(parse(readFileSync(mobilityFile, "utf8")), mobilityFile);
  const set = mobility.sets.find(({ seeds: [first, last] }) => first <= walk && walk <= last);
  if (set === undefined) throw new Error(`no set of traces has the seed ${walk}`);
  const alone =
    updates === undefined ? {} : { planner: "local", localBatches: Math.round(updates / rounds) };
  const fields = { ...drawMobility(mobility, set, walk), ...jobOf(seed, alone) };
  const scenario = parseScenario(fields);
  const ready = await readyScenario(scenario, ".", { profile });
  const samples = loadTraining(scenario.job.data, ".");
  const held = loadHeldOut(scenario.job.data, ".");
  const judge = ready.nodes.find(({ kind }) => kind !== "device")?.name;
  const nodes = ready.nodes.map(
    (node): SimNode => ({
      ...node,
      train: node.kind === "device" ? samples : null,
      test: node.name === judge ? held : null,
    }),
  );
  const options = updates === undefined ? {} : { planner: planners.local };
  const { records } = await simulate({
    ...ready,
    ...options,
    nodes,
    model: loadModel(scenario.job, "."),
    engine: () => new NativeEngine({ threads: 1 }),
  });
  return outcome(records);
}

function outcome(records: readonly TimedRecord[]): Trained {
  let [batches, terms, accuracy] = [0, 0, Number.NaN];
  const windows = new Set<number>();
  let work = 0;
  for (const { record } of records) {
    if (record.type === "planned") {
      terms++;
      const chain = record.plan.chains[0];
      windows.add(chain?.window ?? 0);
      work = chain?.work ?? 0;
    } else if (record.type === "round") {
      for (const { steps = work } of record.participants) batches += steps;
    } else if (record.type === "evaluation" && record.final)
      accuracy = record.accuracy ?? Number.NaN;
  }
  return { accuracy, batches, terms, windows: [...windows].join(" ") };
}
