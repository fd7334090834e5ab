/**
 * Six unequal workers that agree from node to node, in virtual time: how long an update takes under full exchange, with batches
 * by speed alone, and as `micro-clouds` plans it, over links of several speeds. Peers, messages and links are the
 * real ones; the null engine computes nothing, so this says nothing of accuracy.
 */
import { readFileSync } from "node:fs";
import {
  bytesPerMsOfMbit,
  type Job,
  loadModel,
  type Plan,
  type Profile,
  parseJob,
  type RunRecord,
  version,
} from "edgeloom";
import { nullEngine, type SimNode, simulate } from "edgeloom/sim";
import { atLeast, type Bench, chosenOf, optionsOf, type Row, tell } from "./bench.ts";

/** Parts of compute, after the processor cluster of Hong and Chandra, "DLion", HPDC 2021. */
const parts = [24, 24, 12, 12, 4, 4] as const;
/** Links in Mbit/s of each worker, each way; null where nothing limits them. */
const links: readonly { readonly name: string; readonly mbit: readonly (number | null)[] }[] = [
  { name: "5", mbit: parts.map(() => 5) },
  { name: "50", mbit: parts.map(() => 50) },
  { name: "500", mbit: parts.map(() => 500) },
  { name: "50/50/35/35/20/20", mbit: [50, 50, 35, 35, 20, 20] },
  { name: "unlimited", mbit: parts.map(() => null) },
];
const schemes = [
  { name: "full exchange", job: { planner: "full-exchange" } },
  {
    name: "batches by speed",
    job: { planner: "micro-clouds", exchange: { every: 1, select: "all" } },
  },
  { name: "micro-clouds", job: { planner: "micro-clouds" } },
] as const;

/** One-way delay of a worker's link. */
const latencyMs = 5;
/** Batches to an update for each worker on average, and updates to a round. */
const [accumulate, updates] = [10, 8];
const model = "mobilenetv3-large";

export const microClouds: Bench = {
  summary: "six unequal workers that agree from node to node, against full exchange [--links A,B]",
  async run(args) {
    const asked = optionsOf(args, { links: links.map(({ name }) => name).join() });
    const outcomes: Outcome[] = [];
    for (const link of chosenOf("--links", asked.links, links, ({ name }) => name)) {
      for (const scheme of schemes) {
        tell(`${link.name} Mbit/s, ${scheme.name} ...`);
        outcomes.push(await outcomeOf(link, scheme));
      }
    }
    return {
      rows: outcomes.map(rowOf),
      goals: goalsOf(outcomes),
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${model}, profile of one core (parallel-split-profiles.json), batches of 32, ${accumulate} to an update on average`,
        "ms an update: the second round's time, contributions to the coordinator included, over its updates",
        "MB: sent straight by a worker for an update, on average",
      ],
    };
  },
};

interface Outcome {
  readonly link: string;
  readonly scheme: string;
  readonly plan: Plan;
  readonly updateMs: number;
  readonly forecastMs: number;
  /** Sent straight by a worker for an update, on average. */
  readonly bytes: number;
}

const profileOf = (): Profile => {
  const file = new URL("parallel-split-profiles.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as Record<string, Profile>)[model] as Profile;
};

function machines(mbit: readonly (number | null)[], inputShape: readonly number[]): SimNode[] {
  const common = { duty: 1, memoryBytes: null, latencyMs, test: null };
  const profile = profileOf();
  const slower = (part: number): Profile => ({
    ...profile,
    segments: profile.segments.map(({ forwardMs, backwardMs, updateMs }) => ({
      forwardMs: (forwardMs * parts[0]) / part,
      backwardMs: (backwardMs * parts[0]) / part,
      updateMs: (updateMs * parts[0]) / part,
    })),
    runMs: (profile.runMs * parts[0]) / part,
  });
  const workers = parts.map((part, i): SimNode => {
    const own = mbit[i] ?? null;
    const rate = own === null ? null : bytesPerMsOfMbit(own);
    return {
      ...{ ...common, name: `worker-${i + 1}`, kind: "device", reachable: true },
      ...{ profile: slower(part), ceilingBytesPerMs: rate },
      wire: { upBytesPerMs: rate, downBytesPerMs: rate, jitterMs: 0, loss: 0, cell: null },
      train: { samples: 10_000, inputShape, classes: 10 },
    };
  });
  const edge: SimNode = {
    ...{ ...common, name: "edge", kind: "edge", profile, ceilingBytesPerMs: null, train: null },
  };
  return [edge, ...workers];
}

async function outcomeOf(
  link: (typeof links)[number],
  scheme: (typeof schemes)[number],
): Promise<Outcome> {
  const job: Job = parseJob({
    ...{ model, data: { images: "cifar-10" }, batch: 32, rounds: 2 },
    localBatches: updates * accumulate,
    optimizer: { accumulate },
    evaluate: { every: 100 },
    fleet: { devices: parts.map((_, i) => ({ name: `worker-${i + 1}` })) },
    ...scheme.job,
  });
  const loaded = loadModel(job, ".");
  const inputShape = loaded.graph.inputs[0]?.shape.slice(1) as number[];
  const nodes = machines(link.mbit, inputShape);
  const { records, end } = await simulate({ job, model: loaded, nodes, engine: nullEngine });
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  const [plan] = of("planned").map((record) => record.plan);
  const round = of("round").at(-1);
  if (plan === undefined || round === undefined || round.dropped.length > 0) {
    throw new Error(`${link.name}, ${scheme.name}: ${end.text}`);
  }
  const chain = plan.chains[0];
  const count = (chain?.work ?? 0) / (chain?.microBatches ?? 1);
  const sent = round.nodes.flatMap(({ straight }) => straight).map(({ bytes }) => bytes);
  return {
    ...{ link: link.name, scheme: scheme.name, plan },
    updateMs: round.ms / count,
    forecastMs: (plan.forecasts[0]?.roundMs ?? 0) / count,
    bytes: sent.reduce((sum, each) => sum + each, 0) / parts.length / count,
  };
}

function rowOf({ link, scheme, plan, updateMs, forecastMs, bytes }: Outcome): Row {
  const { every = 1, select } = plan.groups[0]?.exchange ?? {};
  return {
    ...{ "Mbit/s": link, scheme },
    exchanged: every > 1 ? `changes every ${every}` : (select?.kind ?? ""),
    batches: plan.chains.map(({ microBatches }) => microBatches).join("/"),
    "ms an update": updateMs,
    forecast: forecastMs,
    "MB an update": bytes / 1e6,
  };
}

function goalsOf(outcomes: readonly Outcome[]) {
  const msOf = (link: string, scheme: string): number | null =>
    outcomes.find((one) => one.link === link && one.scheme === scheme)?.updateMs ?? null;
  const ratio = (link: string, scheme: string): number =>
    (msOf(link, "full exchange") ?? Number.NaN) / (msOf(link, scheme) ?? Number.NaN);
  const has = (link: string): boolean => msOf(link, "full exchange") !== null;
  return [
    ...(has("5")
      ? [atLeast("times as fast as full exchange at 5 Mbit/s", ratio("5", "micro-clouds"), 4)]
      : []),
    ...(has("unlimited")
      ? [
          atLeast(
            "batches by speed against equal ones where compute dominates",
            ratio("unlimited", "batches by speed"),
            10 / 3,
            0.95,
          ),
        ]
      : []),
  ];
}
