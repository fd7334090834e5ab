/**
 * What feature replay costs in accuracy: a small CNN on Fashion-MNIST, split after its first block, with so many batches
 * under way that each is as stale as the window allows, against serial split learning over the same batches
 * from the same initial weights. The run is the real one (peers, codecs, the native engine), in virtual time.
 */
import {
  type LinkCodecName,
  loadHeldOut,
  loadModel,
  loadTraining,
  NativeEngine,
  type Planner,
  type Profile,
  parseJob,
  planners,
  profileModel,
  version,
} from "edgeloom";
import { type SimNode, simulate } from "edgeloom/sim";
import { type Bench, countOf, optionsOf, type Row, tell } from "./bench.ts";
import { checkFashion, fashion } from "./fashion.ts";
import { mean } from "./statistics.ts";

/** Segments that the device keeps: the first convolution, pooling and ReLU. */
const cut = 3;
const localBatches = 250;
/** As long as the published system's. */
const window = 5;
/** The way there and back takes many batches' time, so the window is always full. */
const latencyMs = 500;

/** A way to train. */
interface Scheme {
  readonly name: string;
  readonly window: number;
  readonly backward: "stored" | "replay";
  readonly codec: LinkCodecName;
}

const serial: Scheme = {
  ...{ name: "serial split", window: 0, backward: "stored", codec: "float32" },
};

const schemes: readonly Scheme[] = [
  { name: "replay", window, backward: "replay", codec: "float32" },
  { name: "replay, affine8", window, backward: "replay", codec: "affine8" },
  { name: "stored, affine8", window, backward: "stored", codec: "affine8" },
];

export const featureReplayAccuracy: Bench = {
  summary:
    "accuracy of feature replay, plain and coded, against serial split [--seeds N] [--rounds N]",
  async run(args) {
    checkFashion();
    const asked = optionsOf(args, { seeds: "3", rounds: "8" });
    const [seeds, rounds] = [countOf("--seeds", asked.seeds), countOf("--rounds", asked.rounds)];
    const profile = await ownProfile();
    const accuracies = new Map<Scheme, number[]>();
    for (const scheme of [serial, ...schemes]) {
      const values: number[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        tell(`${scheme.name}, seed ${seed} ...`);
        values.push(await train(scheme, jobOf(seed, rounds), profile));
      }
      accuracies.set(scheme, values);
    }
    const lostBy = (scheme: Scheme): number[] => {
      const reference = accuracies.get(serial) ?? [];
      return (accuracies.get(scheme) ?? []).map((value, i) => 100 * ((reference[i] ?? 0) - value));
    };
    const goal = 0.5;
    return {
      rows: [serial, ...schemes].map((scheme): Row => {
        const values = accuracies.get(scheme) ?? [];
        const { name, window: k, codec } = scheme;
        const lost = lostBy(scheme);
        return {
          ...{ scheme: name, K: k, codec, accuracy: mean(values), "points lost": mean(lost) },
          worst: Math.max(...lost),
        };
      }),
      goals: schemes.map((scheme) => {
        const value = mean(lostBy(scheme));
        const name = `${scheme.name} loses, mean`;
        return { name, value, goal, unit: "points, at most", met: value <= goal };
      }),
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `LeNet-5 on Fashion-MNIST, cut after segment ${cut}, ${rounds * localBatches} updates at batch 32, ${seeds} seeds; held-out: the 10,000 test images`,
        `every batch but a round's first ones misses the updates of ${window} before it, as ${latencyMs} ms each way see to`,
      ],
    };
  },
};

const jobOf = (seed: number, rounds: number) =>
  parseJob({
    model: "lenet5",
    data: { idx: fashion },
    ...{ batch: 32, rounds, localBatches, seed, planner: "feature-replay" },
    optimizer: { kind: "sgd", learningRate: 0.01, schedule: "cosine" },
    evaluate: { every: 1_000_000 },
  });

async function ownProfile(): Promise<Profile> {
  const job = jobOf(1, 1);
  const engine = new NativeEngine({ threads: 1 });
  const profile = await profileModel(job, loadModel(job, "."), engine);
  await engine.close();
  return profile;
}

/** The accuracy in the end. */
async function train(
  scheme: Scheme,
  job: ReturnType<typeof jobOf>,
  profile: Profile,
): Promise<number> {
  const idle = { duty: 1, profile, memoryBytes: null, ceilingBytesPerMs: null };
  const device: SimNode = {
    ...{ ...idle, name: "device-1", kind: "device", latencyMs },
    ...{ train: loadTraining(job.data, "."), test: null },
  };
  const server: SimNode = {
    ...{ ...idle, name: "cloud", kind: "cloud", latencyMs: 0 },
    ...{ train: null, test: loadHeldOut(job.data, ".") },
  };
  const { records } = await simulate({
    ...{ job, model: loadModel(job, "."), nodes: [device, server], planner: plannerOf(scheme) },
    engine: () => new NativeEngine({ threads: 1 }),
  });
  const final = records.flatMap(({ record }) =>
    record.type === "evaluation" && record.final ? [record.accuracy ?? Number.NaN] : [],
  );
  return final.at(-1) ?? Number.NaN;
}

/** The plan of the scheme, with the cut where all of them have it. */
const plannerOf =
  ({ window: k, backward, codec }: Scheme): Planner =>
  (request) => {
    const plan = planners["parallel-split"](request);
    const [codecUp, codecDown] = [codec, codec];
    return {
      ...plan,
      copies: plan.copies.map((copy) =>
        copy.from === 0 ? { ...copy, to: cut } : { ...copy, from: cut },
      ),
      chains: plan.chains.map((chain) => ({
        ...chain,
        ...{ schedule: "window", window: k },
        stages: chain.stages.map((stage, i) => (i === 0 ? { ...stage, backward } : stage)),
      })),
      links: plan.links.map((link) => ({ ...link, codecUp, codecDown })),
    };
  };
