/**
 * Images by a DCGAN that was trained across a device and a cloud, with codes of 8 bits on the link, against
 * images by one that was trained in one process: both are judged by a classifier of digits that has seen
 * neither. Sure answers mean images that look like digits, and answers that differ mean that not
 * all of them are the same digit.
 */
import { writeFileSync } from "node:fs";
import {
  dcgan,
  type Job,
  loadHeldOut,
  loadModel,
  type Model,
  NativeEngine,
  Network,
  type Profile,
  readSafetensors,
  train,
  version,
  type Weights,
  writeOnnx,
} from "edgeloom";
import { simulate } from "edgeloom/sim";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { PNG } from "pngjs";
import { type Bench, countOf, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { fixedCut } from "./fixed-cut.ts";
import { measuredCore } from "./measured.ts";
import { mean, standardError } from "./statistics.ts";
import { deviceAndCloud, machinesOf, taskJob } from "./task-runs.ts";

/** Segments on the device: images, generator and the discriminator's first two convolutions. */
const cut = 7;
/** Images that are judged of each run. */
const samples = 2000;
/** Differences of means are noise up to so many of their standard errors. */
const errorsAllowed = 2;
/** Height and width of a digit, and numbers of a code. */
const [size, codeSize] = [28, 100];

/** Images [n, 28, 28] with values from 0 to 1, one after the other. */
type Images = Float32Array;

const ways = {
  "in one process": alone,
  "device and cloud": across,
} as const;

interface Judged {
  /** The mean of the probabilities that the classifier gives its answers. */
  readonly confidence: number;
  /** Entropy of its answers over all images, in nats; log 10 where all digits are as frequent. */
  readonly entropy: number;
}

export const dcganBench: Bench = {
  summary:
    "digits by a DCGAN trained across device and cloud, judged by a classifier [--seeds N] [--rounds N] [--picture FILE.png]",
  async run(args) {
    const asked = optionsOf(args, { seeds: "3", rounds: "", picture: "" });
    const seeds = countOf("--seeds", asked.seeds);
    const change = asked.rounds === "" ? {} : { rounds: countOf("--rounds", asked.rounds) };
    const classifier = await trainedClassifier();
    const profile = await measuredCore(taskJob("dcgan", { ...change, seed: 1 }));
    const real = realImages();
    const found = new Map<string, Judged[]>();
    const rows: Row[] = [rowOf("real ones, held out", "-", await judged(classifier, real))];
    const shown: Images[] = [real];
    for (let seed = 1; seed <= seeds; seed++) {
      const job = taskJob("dcgan", { ...change, seed });
      for (const [way, trained] of Object.entries(ways)) {
        tell(`${way}, seed ${seed}: ${job.rounds} rounds of ${job.localBatches} batches ...`);
        const images = await madeImages(job, await trained(job, profile));
        const verdict = await judged(classifier, images);
        tell(
          `  confidence ${verdict.confidence.toFixed(3)}, entropy ${verdict.entropy.toFixed(3)}`,
        );
        found.set(way, [...(found.get(way) ?? []), verdict]);
        rows.push(rowOf(way, seed, verdict));
        if (seed === 1) shown.push(images);
      }
      if (seed === 1 && asked.picture !== "") writeFileSync(asked.picture, pictureOf(shown));
    }
    return {
      rows,
      goals: goalsOf(found),
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${samples} images of each run; the classifier is a LeNet-5 that answers ${(100 * classifier.accuracy).toFixed(1)} % of held-out digits right`,
        `one process trains with values as they are; between ${deviceAndCloud}`,
        "differences are in standard errors, of means over seeds",
      ],
    };
  },
};

const rowOf = (images: string, seed: string | number, { confidence, entropy }: Judged): Row => ({
  images,
  seed,
  confidence,
  "label entropy, nats": entropy,
});

/** Whether means differ by more than seeds do. */
function goalsOf(found: ReadonlyMap<string, readonly Judged[]>): Goal[] {
  return (["confidence", "entropy"] as const).map((figure) => {
    const [one = [], other = []] = [...found.values()].map((runs) =>
      runs.map((run) => run[figure]),
    );
    const error = Math.hypot(standardError(one), standardError(other));
    const apart = Math.abs(mean(one) - mean(other)) / error;
    // One seed has no spread to compare with.
    const value = Number.isNaN(apart) ? null : apart;
    const met = value !== null && value <= errorsAllowed;
    const name = `${figure}, difference of means`;
    return { name, value, goal: errorsAllowed, unit: "standard errors, at most", met };
  });
}

// -- training

/** The weights of a run in one process. */
async function alone(job: Job): Promise<Weights> {
  const { model } = await train({ job });
  return model.weights;
}

/** The weights of a run across a device and a cloud, as the coordinator has stored them. */
async function across(job: Job, profile: Profile): Promise<Weights> {
  const { files } = await simulate({
    job,
    model: loadModel(job, "."),
    nodes: machinesOf(job, profile, "."),
    planner: fixedCut(cut),
    engine: () => new NativeEngine({ threads: 1 }),
  });
  const stored = files.get("weights.safetensors");
  if (stored === undefined) throw new Error("the run has ended without weights");
  return readSafetensors(stored).tensors;
}

interface Classifier {
  readonly session: InferenceSession;
  readonly accuracy: number;
}

async function trainedClassifier(): Promise<Classifier> {
  tell("the classifier ...");
  const { model, summary } = await train({
    job: {
      ...{ model: "lenet5", data: "mnist", batch: 64, rounds: 2, localBatches: 937 },
      optimizer: { kind: "adam", learningRate: 0.001, schedule: "cosine" },
    },
  });
  return { session: await sessionOf(model), accuracy: summary.accuracy ?? Number.NaN };
}

// -- images

/** A model as a file is, in the engine that anybody would run it with. */
const sessionOf = ({ graph, weights }: Model): Promise<InferenceSession> =>
  InferenceSession.create(writeOnnx(graph, { weights }), {
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });

async function answersOf(
  session: InferenceSession,
  values: Float32Array,
  shape: readonly number[],
): Promise<Float32Array> {
  const [input = ""] = session.inputNames;
  const [output = ""] = session.outputNames;
  const given = { [input]: new Tensor("float32", values, [samples, ...shape]) };
  return (await session.run(given))[output]?.data as Float32Array;
}

/** What the generator of a run makes of the same codes in every run: pixels within the frame, from 0 to 1. */
async function madeImages({ modelOptions }: Job, weights: Weights): Promise<Images> {
  const { generator } = dcgan({ ...modelOptions, seed: 1 });
  const own = new Map(
    generator.graph.parameters.flatMap(({ name }) => {
      const weight = weights.get(name);
      return weight === undefined ? [] : [[name, weight] as const];
    }),
  );
  const session = await sessionOf({ graph: generator.graph, weights: own });
  const made = await answersOf(session, drawnCodes(), [codeSize]);
  const side = Math.sqrt(made.length / samples);
  const frame = (side - size) / 2;
  return Float32Array.from({ length: samples * size * size }, (_, i) => {
    const [image, row, column] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
    const at = (image * side + row + frame) * side + column + frame;
    return ((made[at] ?? 0) + 1) / 2;
  });
}

/** Normally distributed numbers, two from two uniform ones, which are drawn as initial weights are. */
function drawnCodes(): Float32Array {
  const net = new Network("codes", { seed: 1 });
  const model = net.model(net.parameter("uniform", [samples * codeSize], { bound: 1 }));
  const uniform = model.weights.get("uniform")?.data as Float32Array;
  const half = uniform.length / 2;
  return uniform.map((_, i) => {
    const [first = 0, second = 0] = [uniform[i % half], uniform[(i % half) + half]];
    const radius = Math.sqrt(-2 * Math.log((1 - first) / 2));
    return radius * (i < half ? Math.cos(Math.PI * second) : Math.sin(Math.PI * second));
  });
}

function realImages(): Images {
  const digits = loadHeldOut("mnist", ".");
  if (digits === null) throw new Error("MNIST has held-out digits");
  return digits.slice(0, samples).features.data as Float32Array;
}

async function judged({ session }: Classifier, images: Images): Promise<Judged> {
  const logits = await answersOf(session, images, [1, size, size]);
  const counts = new Float64Array(10);
  let confidence = 0;
  for (let i = 0; i < samples; i++) {
    const own = logits.subarray(10 * i, 10 * (i + 1));
    const most = Math.max(...own);
    confidence += 1 / own.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
    const answer = own.indexOf(most);
    counts[answer] = (counts[answer] ?? 0) + 1;
  }
  const entropy = counts.reduce((sum, count) => {
    const share = count / samples;
    return count === 0 ? sum : sum - share * Math.log(share);
  }, 0);
  return { confidence: confidence / samples, entropy };
}

/** Two rows of digits of each kind, twice as large as they are, with a line between kinds. */
function pictureOf(kinds: readonly Images[]): Buffer {
  const [columns, rows, zoom, gap] = [20, 2, 2, 8];
  const height = zoom * rows * size;
  const png = new PNG({
    width: zoom * columns * size,
    height: kinds.length * (height + gap) - gap,
  });
  png.data.fill(255);
  for (const [k, images] of kinds.entries()) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < png.width; x++) {
        const [row, column] = [Math.floor(y / zoom), Math.floor(x / zoom)];
        const image = Math.floor(row / size) * columns + Math.floor(column / size);
        const value = images[(image * size + (row % size)) * size + (column % size)] ?? 0;
        const at = 4 * ((k * (height + gap) + y) * png.width + x);
        png.data.fill(Math.round(255 * (1 - value)), at, at + 3);
      }
    }
  }
  return PNG.sync.write(png, { colorType: 0 });
}
