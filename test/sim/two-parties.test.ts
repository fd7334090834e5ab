/**
 * Two parties that hold different columns of the same samples: what they train together is what one process trains
 * that has all columns, and none of them ever has a column of the other one, or hears of it.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { present } from "../../src/base/assert.ts";
import { random } from "../../src/base/random.ts";
import { dense, type Tensor } from "../../src/base/tensor.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { type Dataset, datasetOf, subset } from "../../src/data/dataset.ts";
import { partySource } from "../../src/data/party.ts";
import { pairDataset, type Rating } from "../../src/data/ratings.ts";
import { SampleSource } from "../../src/data/source.ts";
import { builtInModel } from "../../src/models/models.ts";
import { local } from "../../src/plan/local.ts";
import type { Planner } from "../../src/plan/plan.ts";
import { twoParties } from "../../src/plan/two-parties.ts";
import { type Job, jobSpecOf, parseJob } from "../../src/run/job.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodePeerFrame } from "../../src/run/wire/frame.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { type SimulationOptions, simulate } from "../../src/sim/simulate.ts";
import { expectReplayed } from "./replayed.ts";

const vocabulary = 30;
/** Columns 0 and 1 are user and film. */
const [users, films] = [[0], [1]];

const jobOf = (change: object = {}): Job =>
  parseJob({
    ...{
      name: "films",
      model: "ncf",
      modelOptions: { vocabulary },
      data: { ratings: "movielens" },
    },
    loss: { kind: "mean-squared-error", labelUnit: 0.5 },
    optimizer: { kind: "adam", learningRate: 0.01, weightDecay: 0.001 },
    ...{ batch: 8, rounds: 3, localBatches: 3, cutTensors: 3, evaluate: { every: 2 } },
    ...{ planner: "two-parties", parties: [users, films], split: { labels: "at-home" } },
    fleet: { devices: [{ name: "shop" }, { name: "studio" }] },
    ...change,
  });
const job = jobOf();
const model = builtInModel("ncf", { seed: 1, vocabulary });

/** Ratings in the order of their keys, which are three letters long. */
function ratings(count = 60): Dataset {
  const draw = random(5);
  const all = Array.from({ length: count }, (_, i): Rating => {
    const [user, item] = [draw.below(vocabulary), draw.below(vocabulary)];
    return { user, item, steps: 1 + ((user + item) % 10), time: i, row: 100 + i };
  });
  return pairDataset(all, 10);
}

/** The same samples with anything in place of a column, and other labels. */
function spoilt(dataset: Dataset, column: number, { labels = false } = {}): Dataset {
  const other = [Number.NaN, -1e30, 1e30, Number.POSITIVE_INFINITY];
  return datasetOf({
    ...dataset,
    ...(labels && { labels: dataset.labels.map((_, i) => i % 11) }),
    copySample(index, target, offset) {
      target.set(dataset.gather([index]).features.data as Float32Array, offset);
      target[offset + column] = present(other[index % other.length], "a number");
    },
  });
}

/** Samples of both parties: of one data set, or of one each. */
const parties = ([mine, theirs]: readonly [Dataset, Dataset] = [ratings(), ratings()]) => ({
  shop: partySource(mine, { columns: users, hasLabels: true }),
  studio: partySource(theirs, { columns: films, hasLabels: false }),
});

function fleet(own: Job, train: Readonly<Record<string, SimNode["train"]>>): SimNode[] {
  const { segments } = trainingModel(model.graph, jobSpecOf(own));
  const times = { forwardMs: 1, backwardMs: 2, updateMs: 0.1 };
  const profile = { segments: segments.map(() => times), runMs: 0.02, callMs: 0.03 };
  const common = { duty: 1, profile, memoryBytes: null, ceilingBytesPerMs: 100, latencyMs: 1 };
  return [
    { ...common, name: "edge", kind: "edge", train: null, test: new SampleSource(ratings(20)) },
    ...Object.entries(train).map(
      ([name, samples]): SimNode => ({
        ...{ ...common, name, kind: "device", train: samples, test: null },
      }),
    ),
  ];
}

const run = (own = job, train = parties(), more: Partial<SimulationOptions> = {}) =>
  simulate({ job: own, model, nodes: fleet(own, train), engine: interpreterEngine, ...more });

/** One process that has all columns, with the name under which the labelled party draws. */
function alone(own = job) {
  const whole: Job = {
    ...own,
    planner: "local",
    fleet: { ...own.fleet, devices: own.fleet.devices.slice(0, 1) },
  };
  const nodes = fleet(whole, { shop: new SampleSource(ratings()) });
  return simulate({ job: whole, model, nodes, planner: local, engine: interpreterEngine });
}

const { forward } = Channel.prototype;
afterEach(() => vi.restoreAllMocks());

/** Tensors of all features and gradients that a run sends, with the stage that they are for. */
async function sentIn(
  simulated: () => Promise<unknown>,
): Promise<{ readonly what: string; readonly values: Tensor }[]> {
  const sent: { readonly what: string; readonly values: Tensor }[] = [];
  vi.spyOn(Channel.prototype, "forward").mockImplementation(function (
    this: Channel<never>,
    frame,
    fate,
  ) {
    if (/"type":"(feature|gradient)"/.test(new TextDecoder().decode(frame.head))) {
      const { message, tensors } = decodePeerFrame(frame);
      if (message.type !== "feature" && message.type !== "gradient") throw new Error("another");
      const { type, stage } = message;
      for (const [name, values] of tensors) sent.push({ what: `${type} ${stage} ${name}`, values });
    }
    forward.call(this, frame, fate);
  });
  await simulated();
  return sent;
}

const weightsOf = ({ files }: { files: ReadonlyMap<string, Uint8Array> }): Uint8Array =>
  present(files.get("weights.safetensors"), "saved weights");

describe("two parties with different columns", () => {
  it.each([
    ["labels at home", {}],
    ["labels with the features", { split: { labels: "at-server" } }],
    ["updates of several batches", { localBatches: 4, optimizer: { accumulate: 2 } }],
    ["activations that are computed again", { recompute: true }],
  ])("train what one process with all columns trains, bit for bit: %s", async (_, change) => {
    const own = jobOf(change);
    const together = await run(own);
    expect(together.end.reason).toBe("finished");
    expect(weightsOf(together)).toEqual(weightsOf(await alone(own)));
    const samplesOf = (node: string) => present(new Map(Object.entries(parties())).get(node), node);
    await expectReplayed(own, together, { model, samplesOf });
  });

  it("have nothing of each other's columns, nor one the other's labels, and of their samples the same whatever their order", async () => {
    const clean = weightsOf(await run());
    // All that the shop is not to know is nonsense in the data that it reads, and so for the studio.
    const mine = spoilt(ratings(), 1);
    const theirs = spoilt(ratings(), 0, { labels: true });
    const order = Int32Array.from({ length: theirs.samples }, (_, i) => theirs.samples - 1 - i);
    const own = parties([mine, subset(theirs, order)]);
    expect([own.shop.inputShape, own.studio.inputShape, own.studio.classes]).toEqual([[1], [1], 1]);
    expect(weightsOf(await run(job, own))).toEqual(clean);
  });

  it("R30: send each other nothing but features and gradients of what is trained", async () => {
    const sent = await sentIn(() => run());
    const kinds = new Set(sent.map(({ what }) => what));
    // From the users' embeddings to the studio, from its layers back, and the gradients of both; no labels.
    expect([...kinds].sort()).toEqual([
      ...["feature 1 0.0", "feature 1 1.0", "feature 1 2.0"],
      "feature 2 0.0",
      ...["gradient 0 0.0", "gradient 0 1.0", "gradient 0 2.0"],
      "gradient 1 0.0",
    ]);
    const { shop, studio } = parties();
    const secrets = new Set<string>();
    for (let step = 0; step < job.rounds * job.localBatches; step++) {
      const key = { seed: job.seed, node: "shop", step, size: job.batch };
      const { features, labels } = shop.batch(key);
      for (const { data } of [features, labels, studio.batch(key).features]) {
        secrets.add(Array.from(data, Number).join());
      }
    }
    expect(secrets.size).toBe(3 * job.rounds * job.localBatches);
    for (const { what, values } of sent) {
      const { data, shape } = dense(values);
      const width = data.length / (shape[0] ?? 1);
      for (let k = 0; k < width; k++) {
        const column = Array.from({ length: job.batch }, (_, i) => Number(data[i * width + k]));
        expect(secrets.has(column.join()), what).toBe(false);
      }
    }
  });

  it("go on when one of them was gone, and come to what the log says", async () => {
    const faults = [{ kind: "crash", node: "studio", atMs: 900, forMs: 2000 }] as const;
    const interrupted = await run(job, parties(), { faults, patienceMs: 60_000 });
    const types = interrupted.records.map(({ record }) => record.type);
    expect(types).toContain("left");
    expect(interrupted.end.reason).toBe("finished");
    const samplesOf = (node: string) => present(new Map(Object.entries(parties())).get(node), node);
    await expectReplayed(job, interrupted, { model, samplesOf });
  });

  it("take about as long as their plan forecasts", async () => {
    const { records } = await run(jobOf({ localBatches: 20 }), parties(), { engine: nullEngine });
    const planned = records.find(({ record }) => record.type === "planned")?.record;
    if (planned?.type !== "planned") throw new Error("a run has a plan");
    const [{ roundMs } = { roundMs: 0 }] = planned.plan.forecasts;
    const rounds = records.flatMap(({ record }) => (record.type === "round" ? [record.ms] : []));
    expect(present(rounds.at(-1), "a round") / roundMs).toBeGreaterThan(0.8);
    expect(present(rounds.at(-1), "a round") / roundMs).toBeLessThan(1.25);
  });

  it("R30: do not follow a plan that has them take columns of the other one", async () => {
    const greedy: Planner = (request) => {
      const plan = twoParties(request);
      const copies = plan.copies.map((copy) => {
        if (copy.from === 0) return { ...copy, to: 2 };
        return copy.from === 1 ? { ...copy, from: 2 } : copy;
      });
      return { ...plan, copies };
    };
    const { workers } = await run(job, parties(), { planner: greedy });
    expect(workers.get("shop")?.text).toMatch(
      /cannot follow the plan: .* copy:shop takes columns \[1\] of the samples, which shop has not/,
    );
  });
});

describe("J7: a party is refused", () => {
  const refusalOf = (train: Readonly<Record<string, SimNode["train"]>>, own = job) =>
    simulate({ job: own, model, nodes: fleet(own, train), engine: interpreterEngine }).then(
      () => "nobody",
      (error: unknown) => String(error),
    );
  const { shop, studio } = parties();

  it("whose samples are not the other one's", async () => {
    const fewer = partySource(subset(ratings(), [...Array(59).keys()]), {
      ...{ columns: films, hasLabels: false },
    });
    expect(await refusalOf({ shop, studio: fewer })).toMatch(
      /the keys of its (59|60) samples \(digest \w{16}\) differ from those of the (59|60) samples of (shop|studio) \(digest \w{16}\): both parties need the same samples/,
    );
  });

  it("with columns that are those of no party, or of one that is there", async () => {
    const both = partySource(ratings(), { columns: [0, 1], hasLabels: true });
    expect(await refusalOf({ shop: both, studio })).toMatch(
      /columns \[0,1\] with labels are not those of a party; parties have \[0\] with the labels and \[1\]/,
    );
    const nosy = partySource(ratings(), { columns: films, hasLabels: true });
    expect(await refusalOf({ shop, studio: nosy })).toMatch(/columns \[1\] with labels are not/);
    expect(await refusalOf({ shop, studio: shop })).toMatch(/has joined with columns \[0\]/);
  });

  it("with all columns; and one with some, where a job has no parties", async () => {
    const whole = new SampleSource(ratings());
    expect(await refusalOf({ shop: whole, studio })).toMatch(
      /the job is for two parties, with columns \[0\] with the labels and \[1\]: see --columns/,
    );
    const plain = jobOf({ planner: "parallel-split", parties: undefined });
    expect(await refusalOf({ shop, studio }, plain)).toMatch(/the job is not for parties/);
  });
});
