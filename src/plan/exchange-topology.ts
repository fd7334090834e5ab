/**
 * Who exchanges with whom. Few members all do, so that each update is everybody's. Of many, each has few neighbours, so that what
 * it sends stays bounded however many there are, and what one knows still reaches all others:
 *
 * - `ring`: the one before and the one after in the plan's order.
 * - `exponential`: those 1, 2, 4, ... places on, about log2 of their number; what one knows has reached all after as many exchanges (Ying
 *   et al., "Exponential graph is provably efficient for decentralized deep training", 2021). Of more than 256 members, eight that are
 *   wider apart.
 * - `nearest`: the ring, and beside it the fastest ways, up to a number at each member (after Zhou et al., "NetMax:
 *   communication-efficient decentralized machine learning over heterogeneous networks", 2021, which draws neighbours by speed).
 * - `clusters`: cliques of members with ways alike, the fastest of each in a tree.
 */
import type { CopyId } from "../base/ids.ts";

/** Who exchanges with whom: everybody with everybody, or few neighbours of each. */
export type TopologyName = "mesh" | "ring" | "exponential" | "nearest" | "clusters";
export const topologyNames = [
  "mesh",
  "ring",
  "exponential",
  "nearest",
  "clusters",
] as const satisfies readonly TopologyName[];

/** As many members as this still send to all others. */
const meshMax = 8;
/** Neighbours of a member where each has those ever farther on. */
const exponentialMax = 8;
/** Neighbours of a member beside those in the ring, where ways are chosen by speed. */
const nearestMax = 4;
/** Members of a cluster, and clusters below one in the tree. */
const [clusterMax, fanOut] = [6, 3];
/** Ways that differ by more than this are chosen by speed. */
const unevenRatio = 2;

/** What is known of the ways between members, by their places. */
export interface WayRates {
  /** What a member's own line carries, in bytes per millisecond. */
  readonly lines: readonly number[];
  /** What the way between two members carries, beside their lines. */
  rateOf(a: number, b: number): number;
}

/** Ordered pairs of members, and what it is in words. */
export interface Topology {
  readonly pairs: readonly (readonly [from: CopyId, to: CopyId])[];
  readonly text: string;
}

/** @param name what the job asks for; null for what fits number and ways */
export function exchangeTopology(
  members: readonly CopyId[],
  ways: WayRates,
  name: TopologyName | null = null,
): Topology {
  const count = members.length;
  const kind = name ?? fitting(count, ways.lines);
  const edges = edgesOf[kind](count, ways);
  const pairs = edges.map(([from, to]) => [members[from], members[to]] as [CopyId, CopyId]);
  const most = Math.max(0, ...degreesOf(count, edges));
  const text =
    kind === "mesh" ? "everybody with everybody" : `${textOf[kind]}, up to ${most} of ${count}`;
  return { pairs, text };
}

const textOf = {
  ring: "each with both neighbours in a ring",
  exponential: "each with those 1, 2, 4, ... places on",
  nearest: "each with its fastest neighbours",
  clusters: "clusters among themselves, and one of each in a tree",
} as const;

function fitting(count: number, lines: readonly number[]): TopologyName {
  if (count <= meshMax) return "mesh";
  return Math.max(...lines) > unevenRatio * Math.min(...lines) ? "nearest" : "exponential";
}

type Edge = readonly [from: number, to: number];

const edgesOf: Record<TopologyName, (count: number, ways: WayRates) => Edge[]> = {
  mesh: (count) =>
    hops(
      count,
      Array.from({ length: count - 1 }, (_, i) => i + 1),
    ),
  ring: (count) => bothWays(ring(count)),
  exponential(count) {
    const most = Math.min(exponentialMax, Math.ceil(Math.log2(count)));
    const base = Math.max(2, count ** (1 / exponentialMax));
    return hops(
      count,
      Array.from({ length: most }, (_, i) => Math.round(base ** i)),
    );
  },
  nearest,
  clusters,
};

/** Each to those so many places on. */
const hops = (count: number, places: readonly number[]): Edge[] =>
  Array.from({ length: count }, (_, from) => from).flatMap((from) =>
    places.map((hop): Edge => [from, (from + hop) % count]),
  );

const ring = (count: number): Edge[] =>
  count < 2 ? [] : hops(count, [1]).slice(0, count === 2 ? 1 : count);

const bothWays = (edges: readonly Edge[]): Edge[] =>
  edges.flatMap(([a, b]): Edge[] => [
    [a, b],
    [b, a],
  ]);

function degreesOf(count: number, edges: readonly Edge[]): number[] {
  const degrees = Array.from({ length: count }, () => 0);
  for (const [from] of edges) degrees[from] = (degrees[from] ?? 0) + 1;
  return degrees;
}

/** The ring, and then the fastest ways first, as far as both ends have room for one more. */
function nearest(count: number, ways: WayRates): Edge[] {
  const speed = (a: number, b: number): number =>
    Math.min(ways.lines[a] ?? 0, ways.lines[b] ?? 0, ways.rateOf(a, b));
  const chosen = new Map(ring(count).map((edge) => [keyOf(edge), edge]));
  const room = Array.from({ length: count }, () => nearestMax);
  const all: (readonly [...Edge, rate: number])[] = [];
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) all.push([a, b, speed(a, b)]);
  }
  all.sort((one, other) => other[2] - one[2]);
  for (const [a, b] of all) {
    const [atA = 0, atB = 0] = [room[a], room[b]];
    if (atA === 0 || atB === 0 || chosen.has(keyOf([a, b]))) continue;
    chosen.set(keyOf([a, b]), [a, b]);
    room[a] = atA - 1;
    room[b] = atB - 1;
  }
  return bothWays([...chosen.values()]);
}

const keyOf = ([a, b]: Edge): string => `${Math.min(a, b)} ${Math.max(a, b)}`;

/** Cliques of those with the fastest ways to one another, begun from the fastest lines, whose first members make a tree. */
function clusters(count: number, ways: WayRates): Edge[] {
  const left = Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (ways.lines[b] ?? 0) - (ways.lines[a] ?? 0),
  );
  const heads: number[] = [];
  const edges: Edge[] = [];
  for (let head = left.shift(); head !== undefined; head = left.shift()) {
    const first = head;
    left.sort((a, b) => ways.rateOf(first, b) - ways.rateOf(first, a));
    const own = [first, ...left.splice(0, clusterMax - 1)];
    own.forEach((a, i) => {
      for (const b of own.slice(i + 1)) edges.push([a, b]);
    });
    left.sort((a, b) => (ways.lines[b] ?? 0) - (ways.lines[a] ?? 0));
    heads.push(first);
  }
  for (const [i, head] of heads.entries()) {
    const above = heads[Math.floor((i - 1) / fanOut)];
    if (i > 0 && above !== undefined) edges.push([above, head]);
  }
  return bothWays(edges);
}
