/**
 * What a seed stands for: a small job, a fleet and its network, and what goes wrong when.
 * Everything is drawn from the seed, so a seed that fails says all there is to say. How
 * much of what goes wrong is drawn first: seeds of nothing but partitions, of one crash in
 * a calm network and of everything at once find different bugs.
 */
import { type Random, random } from "../../src/base/random.ts";
import type { Model } from "../../src/compile/graph.ts";
import { trainingModel } from "../../src/compile/training-model.ts";
import { arrayDataset } from "../../src/data/arrays.ts";
import { partySource } from "../../src/data/party.ts";
import { SampleSource } from "../../src/data/source.ts";
import { Sequential } from "../../src/models/layers.ts";
import { Network } from "../../src/models/network.ts";
import type { Profile } from "../../src/plan/plan.ts";
import { type Job, parseJob } from "../../src/run/job.ts";
import type { JobFields } from "../../src/run/job-fields.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import type { SimCell, SimNode, SimTrace } from "../../src/sim/fleet.ts";

export interface Drawn {
  readonly job: Job;
  readonly model: Model;
  readonly nodes: readonly SimNode[];
  readonly cells: readonly SimCell[];
  readonly coordinatorOn: string | null;
  readonly traces: readonly SimTrace[];
  readonly faults: readonly SimFault[];
  /** Whether somebody looks on, so that nodes tell what they do. */
  readonly isWatched: boolean;
  /** After this nothing goes wrong any more. */
  readonly healedMs: number;
}

/** Everything that the seed stands for. */
export function draw(seed: number): Drawn {
  const chance = random(seed);
  const devices = 1 + chance.fork("devices").below(4);
  const isBulky = chance.fork("bulk").below(8) === 0;
  const parties = chance.fork("parties");
  const areParties = devices === 2 && !isBulky && parties.below(3) === 0;
  const drawn = bulky(isBulky, drawJob(chance.fork("job"), seed, devices));
  const job = areParties ? shared(parties, drawn) : drawn;
  const model = areParties
    ? towers(parties)
    : (isBulky ? bulkyModel : drawModel)(chance.fork("model"));
  const cells: SimCell[] = [
    { name: "home", upBytesPerMs: 40, downBytesPerMs: 80, behind: null },
    { name: "radio", upBytesPerMs: 30, downBytesPerMs: 30, behind: "home" },
  ];
  const nodes = drawNodes(chance.fork("nodes"), job, model, cells);
  const healedMs = 2000 * 2 ** chance.below(4);
  return {
    job,
    model,
    nodes,
    cells,
    coordinatorOn: chance.below(2) === 0 ? "edge" : null,
    traces: [
      ...drawTraces(chance.fork("traces"), nodes, healedMs),
      ...drawMoves(chance.fork("moves"), nodes, cells, healedMs),
    ],
    faults: drawFaults(chance.fork("faults"), nodes, healedMs).map((fault) =>
      areParties ? returning(fault) : fault,
    ),
    isWatched: chance.fork("watched").below(4) === 0,
    healedMs,
  };
}

const pick = <T>(chance: Random, from: readonly T[]): T => from[chance.below(from.length)] as T;

/** Large and small alike: uniform in the logarithm, in whole powers of two times a fraction. */
const spread = (chance: Random, least: number, doublings: number): number =>
  least * 2 ** chance.below(doublings) * (1 + chance.uniform());

function drawJob(chance: Random, seed: number, devices: number): Job {
  const codec = pick(chance, ["float32", "float16", "affine4-stochastic", "affine4+feedback"]);
  const batch = 2 + chance.below(3);
  return parseJob({
    name: "swarm",
    model: "small",
    data: { csv: "drawn" },
    seed,
    optimizer: pick(chance, [
      { learningRate: 0.1, momentum: 0.9 },
      { kind: "adam", learningRate: 0.01 },
      { learningRate: 0.05, momentum: 0, schedule: "cosine" },
    ]),
    batch,
    split: pick(chance.fork("server copies"), [
      {},
      { serverCopies: "shared" },
      { serverCopies: "shared", merge: 1 },
      { serverCopies: "shared", merge: 2 },
    ]),
    rounds: 2 + chance.below(4),
    localBatches: 1 + chance.below(3),
    ...drawScheme(chance.fork("planner"), devices),
    round: pick(chance.fork("round"), [
      {},
      { quorum: 0.5, deadline: 1 },
      { quorum: 0.5, deadline: 1, late: "fold" },
      { interim: 1 },
    ]),
    evaluate: { every: 1 + chance.below(3) },
    codec: {
      ...{ up: codec, down: codec },
      ...drawMemory(chance.fork("memory"), batch),
      updates: pick(chance.fork("updates"), ["float32", "affine8", "affine4-stochastic"]),
    },
    fleet: {
      cellMbit: pick(chance, [null, 0.1, 1]),
      devices: Array.from({ length: devices }, (_, i) => ({
        name: `device-${i + 1}`,
        duty: pick(chance, [1, 1, 0.5, 0.1]),
      })),
    },
  });
}

/** The same job for two parties, each with half of the columns. */
const shared = (chance: Random, job: Job): Job => ({
  ...job,
  planner: "two-parties",
  parties: [
    [0, 1, 2],
    [3, 4, 5],
  ],
  split: { ...job.split, labels: pick(chance, ["at-home", "at-server"]) },
});

/** Without either of two parties nothing can be trained: who is gone comes back. */
const returning = (fault: SimFault): SimFault =>
  (fault.kind === "crash" || fault.kind === "notice") && fault.forMs === null
    ? { ...fault, forMs: 1000 }
    : fault;

/** A tower over each party's columns, and what both lead to. */
function towers(chance: Random): Model {
  const wide = 3 + chance.below(4);
  const net = new Network("towers", { seed: chance.uint32() });
  const input = net.input([features]);
  const tower = (name: string, from: number): string => {
    const bounds = [from, from + features / 2, 1].map((value) => net.integers(value));
    return net.relu(
      `${name}.relu`,
      net.linear(name, net.op("Slice", name, [input, ...bounds]), wide),
    );
  };
  const both = net.add("both", tower("mine", 0), tower("theirs", features / 2));
  return net.model(net.linear("last", net.relu("relu", net.linear("fc", both, wide)), classes));
}

/** Now and then codecs of features remember samples, or some of them. */
function drawMemory(chance: Random, batch: number): JobFields["codec"] {
  const samples = batch * pick(chance, [1, 2, 30]);
  return pick(chance, [{}, {}, { samples }, { up: "affine4+delta", samples }]);
}

/**
 * Data of one device may be trained on in a pipeline, whose ways are measured by payloads; several devices may
 * agree from one to another, each with as many batches, so that rounds have as many as the job says.
 */
function drawScheme(chance: Random, devices: number): Partial<JobFields> {
  const isOther = chance.below(devices === 1 ? 2 : 4) === 0;
  if (!isOther) return { planner: "parallel-split" };
  if (devices === 1) return { planner: "pipeline" };
  const select = pick(chance, [
    "all",
    { kind: "max-n", nMin: 0.85 },
    { kind: "significant", share: 0.01 },
    { kind: "parts", parts: 3 },
  ] as const);
  const staleness = pick(chance, [0, 0, 1, 2]);
  const local = chance.fork("local steps");
  if (local.below(3) === 0) return drawLocalSteps(local);
  const transfers = chance.fork("transfer").below(2) === 0;
  const exchange = { every: 1, select, staleness, batches: "equal" } as const;
  const transfer = transfers ? { transfer: { every: 1, mix: 0.5, margin: 0 } } : {};
  return { planner: "micro-clouds", exchange: { ...exchange, ...transfer } };
}

/** Changes after several updates, all at once or by fragments. */
function drawLocalSteps(chance: Random): Partial<JobFields> {
  const fragments = pick(chance, [1, 2, 3]);
  const stream = { fragments, delay: 1 + chance.below(2), mix: 0.5 };
  const codec = pick(chance, ["float32", "affine4"] as const);
  const reduce = pick(chance, ["auto", "each"] as const);
  const exchange = { every: 6, batches: "equal", codec, reduce } as const;
  // As many as each manages, in the time that all planned ones take.
  const batches = pick(chance.fork("batches"), ["equal", "proportional"] as const);
  return {
    ...{ planner: "micro-clouds", localBatches: 12 },
    exchange: chance.below(3) === 0 ? { ...exchange, batches } : { ...exchange, stream },
  };
}

const features = 6;
const classes = 3;

/** Under 200 parameters: what is tested is the peers, not the compiler. */
function drawModel(chance: Random): Model {
  const wide = 3 + chance.below(6);
  const model = new Sequential("small", [features], chance.uint32()).linear("fc1", wide).relu("r1");
  if (chance.below(2) === 0) model.linear("fc2", wide).relu("r2");
  return model.linear("last", classes).model();
}

/**
 * Few parameters, but features of tens of kilobytes: they travel in chunks, and windows fill. The
 * cell is wider then, so that runs end in time.
 */
const bulkyModel = (chance: Random): Model =>
  new Sequential("small", [features], chance.uint32())
    .linear("fc1", 96 + chance.below(64))
    .relu("r1")
    .linear("last", classes)
    .model();

const bulky = (isBulky: boolean, job: Job): Job =>
  isBulky ? { ...job, batch: 16 * job.batch, fleet: { ...job.fleet, cellBytesPerMs: null } } : job;

/** Both parties' samples, of which each takes its part. */
function drawParty(chance: Random, job: Job, name: string): SampleSource {
  const count = 4 + chance.below(20);
  const values = Float32Array.from({ length: count * features }, () => chance.uniform() - 0.5);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const dataset = arrayDataset(values, labels, { inputShape: [features], classes });
  const keys = Array.from({ length: count }, (_, i) => `sample ${(7 * i) % 101}`);
  const place = job.fleet.devices.findIndex((device) => device.name === name);
  const columns = job.parties?.[place] ?? [];
  return partySource({ ...dataset, keys }, { columns, hasLabels: place === 0 });
}

/** Samples of one node; nothing can be learnt from them, and nothing needs to be. */
function drawSamples(chance: Random, count: number): SampleSource {
  const values = Float32Array.from({ length: count * features }, () => chance.uniform() - 0.5);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  return new SampleSource(arrayDataset(values, labels, { inputShape: [features], classes }));
}

function drawNodes(
  chance: Random,
  job: Job,
  model: Model,
  cells: readonly SimCell[],
): readonly SimNode[] {
  const segments = trainingModel(model.graph, job).segments.length;
  const both = chance.fork("both");
  const train = (own: Random, name: string): SampleSource =>
    job.parties === undefined
      ? drawSamples(own, 4 + own.below(20))
      : drawParty(both.fork("samples"), job, name);
  const draw = (name: string): SimNode => {
    const own = chance.fork(name);
    const isEdge = name === "edge";
    const rate = pick(own, [null, null, 10, 100]);
    const device = job.fleet.devices.find((candidate) => candidate.name === name);
    return {
      name,
      kind: isEdge ? "edge" : "device",
      duty: device?.duty ?? pick(own.fork("duty"), [1, 1, 0.5]),
      profile: drawProfile(own, segments),
      memoryBytes: null,
      ceilingBytesPerMs: rate,
      latencyMs: pick(own, [0, 1, 20, 150]),
      train: isEdge ? null : train(own, name),
      test: isEdge ? drawSamples(own, 5) : null,
      wire: {
        upBytesPerMs: rate,
        downBytesPerMs: rate,
        jitterMs: pick(own, [0, 0, 5, 100]),
        loss: pick(own, [0, 0, 0.01, 0.2]),
        cell: isEdge ? null : pick(own, [null, ...cells.map((cell) => cell.name)]),
      },
      // Mostly the edge listens, as it would; where both do, or neither, is drawn as well.
      reachable: chance.fork(`reach ${name}`).below(4) > 0 ? isEdge : !isEdge,
    };
  };
  return ["edge", ...job.fleet.devices.map(({ name }) => name)].map(draw);
}

function drawProfile(chance: Random, segments: number): Profile {
  const forwardMs = spread(chance, 0.05, 8);
  return {
    segments: Array.from({ length: segments }, () => ({
      forwardMs,
      backwardMs: 2 * forwardMs,
      updateMs: forwardMs / 10,
    })),
    runMs: 0.02,
    callMs: pick(chance, [0.01, 1]),
  };
}

function drawTraces(chance: Random, nodes: readonly SimNode[], healedMs: number): SimTrace[] {
  return nodes.flatMap(({ name, wire }): SimTrace[] => {
    if (chance.below(4) > 0) return [];
    const times = [0.2, 0.5, 0.8].map((share) => share * healedMs);
    const rate = wire?.upBytesPerMs ?? null;
    return chance.below(2) === 0
      ? [{ kind: "speed", node: name, points: times.map((atMs) => [atMs, spread(chance, 0.1, 4)]) }]
      : [
          {
            kind: "rate",
            of: name,
            way: pick(chance, ["up", "down", "both"]),
            points: [
              [times[0] ?? 0, spread(chance, 2, 5)],
              [times[1] ?? 0, 0],
              [times[2] ?? 0, rate],
            ],
          },
        ];
  });
}

/** One device in four moves between the cells, and some are out of reach of both for a while. */
function drawMoves(
  chance: Random,
  nodes: readonly SimNode[],
  cells: readonly SimCell[],
  healedMs: number,
): SimTrace[] {
  const names = cells.map(({ name }) => name);
  return nodes.flatMap(({ name, kind }): SimTrace[] => {
    if (kind !== "device" || chance.below(4) > 0) return [];
    const stops = Array.from({ length: 3 }, () => chance.uniform() * healedMs).sort(
      (a, b) => a - b,
    );
    const points = stops.map((atMs) => [atMs, pick(chance, [null, ...names])] as const);
    return [{ kind: "cell", node: name, points: [...points, [healedMs, pick(chance, names)]] }];
  });
}

/** Draws faults of a kind: none, or a few. */
type Some = (kind: string, make: (own: Random, atMs: number) => SimFault) => void;

/** A machine is about to be taken away, and is told; some do not come back. */
function drawNotice(own: Random, atMs: number, at: { node: string; isSpare: boolean; ms: number }) {
  const isGone = own.below(4) === 0 && at.isSpare;
  return {
    kind: "notice",
    node: at.node,
    atMs,
    withinMs: Math.min(spread(own, 10, 9), at.ms),
    forMs: isGone ? null : Math.min(spread(own, 10, 10), at.ms),
  } as const;
}

/** How often each kind of trouble comes, for a seed; 0 in three of four. */
function drawFaults(chance: Random, nodes: readonly SimNode[], healedMs: number): SimFault[] {
  const names = nodes.map(({ name }) => name);
  const devices = names.filter((name) => name !== "edge");
  const everybody = ["coordinator", ...names];
  const faults: SimFault[] = [];
  const some: Some = (kind, make) => {
    const own = chance.fork(kind);
    const count = own.below(3) > 0 ? 0 : 1 + own.below(3);
    for (let i = 0; i < count; i++) faults.push(make(own, own.uniform() * healedMs));
  };
  const torn = chance.fork("torn");
  some("crash", (own, atMs) => {
    const node = pick(own, everybody);
    // Most come back; a device that does not is one that the run must do without.
    const isGone = own.below(4) === 0 && node !== devices[0] && devices.includes(node);
    return {
      kind: "crash",
      node,
      atMs,
      forMs: isGone ? null : Math.min(spread(own, 10, 10), healedMs - atMs),
      isSilent: own.below(2) === 0,
      losesDisk: own.below(4) === 0,
      tearsDisk: torn.below(2) === 0,
    };
  });
  some("notice", (own, atMs) => {
    const node = pick(own, everybody);
    const isSpare = node !== devices[0] && devices.includes(node);
    return drawNotice(own, atMs, { node, isSpare, ms: healedMs - atMs });
  });
  some("twin", (own, atMs) => ({
    kind: "twin",
    node: pick(own, names),
    atMs,
    isSame: own.below(2) === 0,
  }));
  some("pause", (own, atMs) => ({
    kind: "pause",
    node: pick(own, everybody),
    atMs,
    forMs: Math.min(spread(own, 10, 10), healedMs - atMs),
  }));
  drawHindrances(some, names, healedMs);
  return slowedOnce(faults);
}

/** What holds nodes up that go on living. */
function drawHindrances(some: Some, names: readonly string[], healedMs: number): void {
  const devices = names.filter((name) => name !== "edge");
  some("partition", (own, atMs) => ({
    kind: "partition",
    nodes: devices.filter(() => own.below(2) === 0),
    atMs,
    forMs: Math.min(spread(own, 10, 10), healedMs - atMs),
  }));
  some("cut", (own, atMs) => ({
    kind: "cut",
    between: ["edge", pick(own, devices)],
    atMs,
    forMs: Math.min(spread(own, 10, 10), healedMs - atMs),
    isReset: own.below(2) === 0,
  }));
  some("slow", (own, atMs) => ({
    kind: "slow",
    node: pick(own, names),
    atMs,
    forMs: healedMs - atMs,
    factor: spread(own, 2, 6),
  }));
  some("jump", (own, atMs) => ({
    kind: "jump",
    node: pick(own, ["coordinator", ...names]),
    atMs,
    aheadMs: spread(own, 10, 9),
  }));
}

/** Factors multiply: what begins under two of them may not be over when the run has to be. */
function slowedOnce(faults: readonly SimFault[]): SimFault[] {
  const slowed = new Set<string>();
  return faults.filter((fault) => {
    if (fault.kind !== "slow") return true;
    const isFirst = !slowed.has(fault.node);
    slowed.add(fault.node);
    return isFirst;
  });
}
