/**
 * `feature-replay` while the link changes every minute, from WiFi to 4G to a household's radio: batches of the real
 * peers in virtual time, which measure their link and move, against those of one who knows all links in advance
 * and against the best plan that stays as it is.
 */
import { bytesPerMsOfMbit, InputError, movingMs, type NodeId, version } from "edgeloom";
import { type SimTrace, simulate } from "edgeloom/sim";
import { atLeast, type Bench, type Row, tell } from "./bench.ts";
import {
  askedFor,
  type Cell,
  machinesOf,
  requestOf,
  type Setting,
  subjectOf,
} from "./feature-replay-cells.ts";
import { bestWay, playedMs, type Way } from "./feature-replay-line.ts";
import { endsBatch } from "./pipeline-stalls.ts";
import { mean } from "./statistics.ts";

const codecs = ["float32", "float16", "affine8"] as const;
const windows = Array.from({ length: 9 }, (_, window) => window);
/** Batches between two commits, unless a move is in between: weights come home with each. */
const localBatches = 2000;

export const featureReplayContexts: Bench = {
  summary:
    "one device and one distant server over a link that changes every minute [--models A,B] [--scenario FILE]",
  async run(args) {
    const { models, setting } = askedFor(args);
    const outcomes: Outcome[] = [];
    for (const model of models) {
      const subject = subjectOf(model, setting);
      for (const slowdown of setting.slowdowns) {
        tell(`${model}, ${slowdown} x slower ...`);
        const cells = contextsOf(setting).map((link) => ({ subject, slowdown, link }));
        outcomes.push(await outcomeOf(cells, 1000 * setting.contextSeconds));
      }
    }
    const shares = outcomes.map(({ batches, oracle }) => batches / oracle);
    const overFixed = outcomes.map(({ batches, fixed }) => batches / fixed);
    return {
      rows: outcomes.map(rowOf),
      goals: [
        atLeast("share of the oracle's batches, mean", mean(shares), 0.95),
        atLeast("share of the oracle's batches, worst", Math.min(...shares), 0.95),
        atLeast("batches over those of the best fixed plan, worst", Math.min(...overFixed), 0.98),
      ],
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${setting.contexts.join(", ")}: ${setting.contextSeconds} s each; batches from the first one on`,
        "the oracle knows every link in advance, has the best plan for each and pays for moving weights; free: it pays nothing",
      ],
    };
  },
};

/** The links in the order in which they come. @throws InputError for a name that no link has */
function contextsOf({ contexts, links }: Setting): Cell["link"][] {
  return contexts.map((name) => {
    const link = links.find((one) => one.name === name);
    if (link !== undefined) return link;
    const allowed = links.map((one) => one.name).join(", ");
    throw new InputError({ what: "contexts", received: name, allowed });
  });
}

interface Outcome {
  readonly cell: Cell;
  /** Batches in the same time. */
  readonly batches: number;
  readonly oracle: number;
  readonly free: number;
  readonly fixed: number;
  readonly terms: number;
}

async function outcomeOf(cells: readonly Cell[], eachMs: number): Promise<Outcome> {
  const [first] = cells;
  if (first === undefined) throw new Error("no contexts");
  const endMs = cells.length * eachMs;
  const { times, terms } = await trained(cells, eachMs);
  const fromMs = times[0] ?? endMs;
  return { cell: first, batches: times.length, terms, ...knownBy(cells, { fromMs, eachMs }) };
}

/** The peers, who know nothing in advance. */
async function trained(cells: readonly Cell[], eachMs: number) {
  const [first] = cells as readonly [Cell];
  const endMs = cells.length * eachMs;
  const options = machinesOf(first, localBatches);
  const job = { ...options.job, rounds: 1_000_000 };
  const until = (nowMs: number): boolean => nowMs >= endMs + 2000;
  const times: number[] = [];
  const { records } = await simulate({
    ...options,
    ...{ job, until, patienceMs: 60_000, traces: tracesOf(cells, eachMs) },
    // What it tells of itself would leave much out: such messages give way to weights on their way home.
    onWork: (node, { kind, endMs: atMs }) => {
      if (node === "device" && endsBatch(kind) && atMs <= endMs) times.push(atMs);
    },
  });
  const terms = records.filter(({ record }) => record.type === "planned").length;
  for (const { atMs, record } of records) {
    if (record.type === "planned") tell(`  ${(atMs / 1000).toFixed(1)} s: ${record.reason}`);
  }
  return { times, terms };
}

function tracesOf(cells: readonly Cell[], eachMs: number): SimTrace[] {
  const points = <V>(value: (cell: Cell) => V): (readonly [number, V])[] =>
    cells.map((cell, i) => [i * eachMs, value(cell)]);
  const rate = (way: "up" | "down", mbit: (cell: Cell) => number): SimTrace => ({
    ...{ kind: "rate", of: "device", way },
    points: points((cell) => bytesPerMsOfMbit(mbit(cell))),
  });
  return [
    rate("up", ({ link }) => link.upMbit),
    rate("down", ({ link }) => link.downMbit),
    { kind: "latency", of: "device", points: points(({ link }) => link.ms) },
  ];
}

/** What one comes to who knows the links in advance. */
function knownBy(
  cells: readonly Cell[],
  { fromMs, eachMs }: { readonly fromMs: number; readonly eachMs: number },
): Pick<Outcome, "oracle" | "free" | "fixed"> {
  const requests = cells.map((cell) => requestOf(cell, localBatches));
  const ways = new Map<string, Way>();
  for (const request of requests) {
    for (const choices of [
      { codecs, windows },
      { codecs: [], windows: [] },
    ]) {
      const { way } = bestWay(request, choices);
      ways.set(JSON.stringify(way), way);
    }
  }
  const all = [...ways.values()];
  const lasting = cells.map((_, i) => (i === 0 ? eachMs - fromMs : eachMs));
  const rates = requests.map((request) => all.map((way) => 1 / playedMs(request, way)));
  let best = all.map(() => 0);
  for (const [i, request] of requests.entries()) {
    const ms = lasting[i] as number;
    best = all.map((to, k) => {
      const rate = rates[i]?.[k] ?? 0;
      const from = all.map((way, j) => {
        const moving = i === 0 ? 0 : movingMs(heldBy(way), heldBy(to), homed(request));
        return (best[j] ?? 0) + Math.max(0, ms - moving) * rate;
      });
      return Math.max(...from);
    });
    function heldBy({ cut }: Way) {
      const count = request.segments.length;
      const server = { node: "cloud" as NodeId, from: cut, to: count };
      return [{ node: "device" as NodeId, from: 0, to: cut }, ...(cut < count ? [server] : [])];
    }
  }
  const sum = (rateOf: (rates: readonly number[]) => number): number =>
    rates.reduce((batches, each, i) => batches + (lasting[i] as number) * rateOf(each), 0);
  return {
    oracle: Math.max(...best),
    free: sum((each) => Math.max(...each)),
    fixed: Math.max(...all.map((_, k) => sum((each) => each[k] ?? 0))),
  };
}

/** The coordinator is in the cloud, so the device's way to it is the link. */
function homed(request: ReturnType<typeof requestOf>): ReturnType<typeof requestOf> {
  const [link] = request.fleet.links;
  const [up, down] = [link?.thereBytesPerMs ?? Infinity, link?.backBytesPerMs ?? Infinity];
  const nodes = request.fleet.nodes.map((node) =>
    node.kind === "device" ? { ...node, coordinatorBytesPerMs: { up, down } } : node,
  );
  return { ...request, fleet: { ...request.fleet, nodes } };
}

function rowOf({ cell, batches, oracle, free, fixed, terms }: Outcome): Row {
  return {
    model: cell.subject.model,
    "device, x slower": cell.slowdown,
    batches,
    oracle,
    "moves for nothing": free,
    "best fixed plan": fixed,
    "share of the oracle": batches / oracle,
    "over the best fixed plan": batches / fixed,
    plans: terms,
  };
}
