/**
 * What codecs cost in accuracy: a small CNN on Fashion-MNIST, split after its first block between a
 * device and a server, trained with each codec from the same initial weights over the same batches.
 * The run is the real one (peers, codecs, the native engine), in virtual time.
 */
import { writeFileSync } from "node:fs";
import {
  arrayDataset,
  type Job,
  type LinkCodecName,
  linkWireBytes,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Profile,
  parseJob,
  profileModel,
  SampleSource,
  version,
} from "edgeloom";
import { type SimNode, simulate } from "edgeloom/sim";
import { type Bench, chosenOf, countOf, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { type CodecOutcome, codecsPlot } from "./codecs-plot.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { fixedCut } from "./fixed-cut.ts";
import { mean } from "./statistics.ts";

/** Segments that the device keeps: the first convolution, pooling and ReLU. */
const cut = 3;
const localBatches = 250;

/** Codecs up and down, and whether what those of features remember belongs to samples. */
interface Pair {
  readonly up: LinkCodecName;
  readonly down: LinkCodecName;
  readonly isOfSamples?: boolean;
}

/** The first is what the others are compared with. */
const pairs: readonly Pair[] = [
  both("float32"),
  both("float16"),
  both("affine8"),
  both("affine8+feedback"),
  both("affine8-stochastic"),
  both("affine4"),
  both("affine4-stochastic"),
  both("affine4+feedback"),
  both("affine4-stochastic+feedback"),
  { up: "affine8", down: "affine4" },
  { up: "affine8", down: "affine4+feedback" },
  { up: "affine8", down: "topk10" },
  { up: "affine8", down: "topk10+feedback" },
  { up: "affine8", down: "topk1" },
  { up: "affine8", down: "topk1+feedback" },
  both("topk10"),
  both("topk10+feedback"),
];

/** What remembers samples, which have to come back for that: where there are few images. */
const ofSamples: readonly Pair[] = [
  { up: "affine4", down: "affine4" },
  { up: "affine4+feedback", down: "affine4", isOfSamples: true },
  { up: "affine4+delta", down: "affine4", isOfSamples: true },
  { up: "topk10", down: "affine4" },
  { up: "topk10+feedback", down: "affine4" },
  { up: "topk10+feedback", down: "affine4", isOfSamples: true },
  { up: "topk10+delta", down: "affine4", isOfSamples: true },
];

function both(codec: LinkCodecName): Pair {
  return { up: codec, down: codec };
}

/** Points that the issue lets a codec lose, by the pair's name. */
const allowed: Readonly<Record<string, number>> = { affine8: 0.2, "affine4+feedback": 0.5 };

const nameOf = ({ up, down, isOfSamples = false }: Pair): string =>
  `${up === down ? up : `${up} up and ${down} down`}${isOfSamples ? ", by sample" : ""}`;

/** A run's end. */
interface Trained {
  readonly accuracy: number;
  readonly bytes: { readonly up: number; readonly down: number };
}

export const codecsAccuracy: Bench = {
  summary:
    "accuracy against megabytes of codecs [--seeds N] [--rounds N] [--codecs a,b] [--images N] [--plot FILE.svg]",
  async run(args) {
    checkFashion();
    const defaults = { seeds: "3", rounds: "8", codecs: "", images: "", plot: "" };
    const asked = optionsOf(args, defaults);
    const seeds = countOf("--seeds", asked.seeds);
    const rounds = countOf("--rounds", asked.rounds);
    const images = asked.images === "" ? null : countOf("--images", asked.images);
    const [reference, ...others] = images === null ? pairs : [both("float32"), ...ofSamples];
    const chosen =
      asked.codecs === "" ? others : chosenOf("--codecs", asked.codecs, others, nameOf);
    const profile = await ownProfile();
    const rows: Row[] = [];
    const goals: Goal[] = [];
    const outcomes: CodecOutcome[] = [];
    let best: number[] = [];
    for (const pair of reference === undefined ? [] : [reference, ...chosen]) {
      const name = nameOf(pair);
      const runs: Trained[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        tell(`${name}, seed ${seed} ...`);
        runs.push(await train(pair, { seed, rounds, images }, profile));
      }
      const accuracies = runs.map(({ accuracy }) => accuracy);
      if (pair === reference) best = accuracies;
      const lost = accuracies.map((accuracy, i) => 100 * ((best[i] ?? Number.NaN) - accuracy));
      const points = mean(lost);
      const { up = 0, down = 0 } = runs[0]?.bytes ?? {};
      const [megabytesUp, megabytesDown] = [up / 1e6, down / 1e6];
      rows.push({
        codec: name,
        accuracy: mean(accuracies),
        "points lost": points,
        worst: Math.max(...lost),
        "MB up": megabytesUp,
        "MB down": megabytesDown,
      });
      outcomes.push({
        name,
        megabytes: megabytesUp + megabytesDown,
        accuracy: mean(accuracies),
      });
      const goal = allowed[name];
      if (goal === undefined) continue;
      const met = points <= goal;
      goals.push({
        name: `${name} loses, mean`,
        value: points,
        goal,
        unit: "points, at most",
        met,
      });
    }
    const updates = rounds * localBatches;
    const what = `LeNet-5 on Fashion-MNIST, ${updates} updates at batch 32, ${seeds === 1 ? "one seed" : `${seeds} seeds`}`;
    if (asked.plot !== "") writeFileSync(asked.plot, codecsPlot(outcomes, what));
    return {
      rows,
      goals,
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${what}; cut after segment ${cut}; held-out: the 10,000 test images`,
        images === null
          ? "each image comes once, so codecs remember by link"
          : `of the first ${images} training images, each comes every ${(images / 32).toFixed(0)} updates`,
      ],
    };
  },
};

interface Training {
  readonly seed: number;
  readonly rounds: number;
  /** The first so many training images; null for all. */
  readonly images: number | null;
}

const jobOf = ({ up, down, isOfSamples = false }: Pair, { seed, rounds, images }: Training) =>
  parseJob({
    model: "lenet5",
    data: { idx: fashion },
    batch: 32,
    rounds,
    localBatches,
    seed,
    codec: { up, down, samples: isOfSamples ? images : null },
    optimizer: { kind: "sgd", learningRate: 0.01, schedule: "cosine" },
    evaluate: { every: 1_000_000 },
  });

async function ownProfile(): Promise<Profile> {
  const job = jobOf(both("float32"), { seed: 1, rounds: 1, images: null });
  const engine = new NativeEngine({ threads: 1 });
  const profile = await profileModel(job, loadModel(job, "."), engine);
  await engine.close();
  return profile;
}

/** The images that the device has. */
function trainingOf({ data }: Job, images: number | null): SampleSource {
  const all = loadTraining(data, ".");
  if (images === null) return all;
  const { inputShape, classes } = all;
  const { features, labels } = all.slice(0, images);
  const numbers = Int32Array.from(labels.data as BigInt64Array, Number);
  const options = { inputShape, classes };
  return new SampleSource(arrayDataset(features.data as Float32Array, numbers, options));
}

async function train(pair: Pair, training: Training, profile: Profile): Promise<Trained> {
  const job = jobOf(pair, training);
  const idle = { duty: 1, profile, memoryBytes: null, ceilingBytesPerMs: null, latencyMs: 1 };
  const device: SimNode = {
    ...idle,
    ...{ name: "device-1", kind: "device", train: trainingOf(job, training.images), test: null },
  };
  const server: SimNode = {
    ...idle,
    ...{ name: "edge", kind: "edge", train: null, test: loadHeldOut(job.data, ".") },
  };
  const { records } = await simulate({
    job,
    model: loadModel(job, "."),
    nodes: [device, server],
    planner: fixedCut(cut),
    engine: () => new NativeEngine({ threads: 1 }),
  });
  let accuracy = Number.NaN;
  for (const { record } of records) {
    if (record.type === "evaluation" && record.final) accuracy = record.accuracy ?? Number.NaN;
  }
  const type = { dtype: "float32", shape: [job.batch, 6, 14, 14] } as const;
  const batches = training.rounds * localBatches;
  const bytesBy = (way: "up" | "down"): number => batches * linkWireBytes(pair[way], type);
  return { accuracy, bytes: { up: bytesBy("up"), down: bytesBy("down") } };
}
