/** What members of an exchange can send one another and the coordinator, who share their own lines with all that they send. */
import type { CopyId } from "../base/ids.ts";
import type { ExchangeEdge } from "./exchange.ts";
import { exchangeTopology, type TopologyName, type WayRates } from "./exchange-topology.ts";
import type { Fleet, FleetNode } from "./plan.ts";

/** Bytes per millisecond each way. */
interface Rates {
  readonly up: number;
  readonly down: number;
}

/** Bytes that a round's end has a member send to the coordinator, and take from there. */
export interface HomeBytes {
  readonly up: number;
  readonly down: number;
}

export class ExchangeLinks {
  readonly #pairs: readonly (readonly [number, number])[];
  readonly #copies: readonly CopyId[];
  readonly #home: readonly Rates[];
  /** Bytes per millisecond of each pair, with everybody sending at once. */
  readonly #rates: readonly number[];
  /** Whether everybody sends to everybody. */
  readonly isMesh: boolean;
  /** Members whose parts one joins, itself included, where they are fewest. */
  readonly voices: number;
  readonly text: string;

  /** @param topology which neighbours members are to have, or have; null for what fits them */
  constructor(
    { nodes, links }: Pick<Fleet, "nodes" | "links">,
    copies: readonly CopyId[],
    topology: TopologyName | readonly ExchangeEdge[] | null,
  ) {
    const lines = nodes.map(lineOf);
    const { pairs, text } =
      topology === null || typeof topology === "string"
        ? exchangeTopology(copies, waysOf(nodes, links, lines), topology)
        : { pairs: topology.map(({ from, to }) => [from, to] as const), text: "as they are" };
    const place = new Map(copies.map((copy, i) => [copy, i]));
    this.text = text;
    this.isMesh = pairs.length === copies.length * (copies.length - 1);
    this.#copies = copies;
    this.#pairs = pairs.map(([from, to]) => [place.get(from) ?? 0, place.get(to) ?? 0] as const);
    const degrees = copies.map((_, i) => {
      const own = this.#pairs.filter(([from]) => from === i).length;
      return Math.max(1, own);
    });
    this.voices = 1 + Math.min(copies.length - 1, ...degrees);
    this.#home = nodes.map((node, i) => node.coordinatorBytesPerMs ?? (lines[i] as Rates));
    this.#rates = this.#pairs.map(([from, to]) =>
      Math.min(
        (lines[from]?.up ?? 0) / (degrees[from] ?? 1),
        (lines[to]?.down ?? 0) / (degrees[to] ?? 1),
      ),
    );
  }

  /** Milliseconds until everybody has so many bytes of all its neighbours. */
  meshMs(bytes: number): number {
    return Math.max(0, ...this.#rates.map((rate) => bytes / rate));
  }

  /** The same where each link has bytes of its own, in the order of {@link edges}. */
  edgesMs(bytes: readonly number[]): number {
    return Math.max(0, ...this.#rates.map((rate, i) => (bytes[i] ?? 0) / rate));
  }

  /** The same where each joins a slice for all: slices go to who joins them, and what comes of them to everybody. */
  scatterMs(bytes: number): number {
    return 2 * this.meshMs(bytes / this.#copies.length);
  }

  /** Who has the fastest way to the coordinator, by place. */
  get nearest(): number {
    const rates = this.#home.map(({ up }) => up);
    return rates.indexOf(Math.max(...rates));
  }

  /** Milliseconds until what members have is with the coordinator, and what comes of it is back. */
  homeMs(bytesOf: (place: number) => HomeBytes): number {
    const ways = this.#home.map((rates, i) => {
      const { up, down } = bytesOf(i);
      return { up: up / rates.up, down: down / rates.down };
    });
    // What comes back waits for all that is brought.
    return Math.max(...ways.map(({ up }) => up)) + Math.max(...ways.map(({ down }) => down));
  }

  /** @param ms how long each link may take; null where it may take as long as everything does */
  edges(ms: number | null): ExchangeEdge[] {
    return this.#pairs.map(([from, to], i) => {
      const rate = this.#rates[i] as number;
      const bytes = ms === null || !Number.isFinite(rate) ? null : Math.floor(rate * ms);
      return { from: this.#copies[from] as CopyId, to: this.#copies[to] as CopyId, bytes };
    });
  }
}

/** What is known of the ways between nodes: their lines, and those that were measured. */
function waysOf(
  nodes: readonly FleetNode[],
  links: Fleet["links"],
  lines: readonly Rates[],
): WayRates {
  const known = new Map(
    links.map(({ from, to, thereBytesPerMs, backBytesPerMs }) => {
      const rates = [thereBytesPerMs, backBytesPerMs].map((rate) => rate ?? Infinity);
      return [wayKey(from, to), Math.min(...rates)] as const;
    }),
  );
  return {
    lines: lines.map(({ up, down }) => Math.min(up, down)),
    rateOf(a, b) {
      const [from, to] = [nodes[a]?.id ?? "", nodes[b]?.id ?? ""];
      return known.get(wayKey(from, to)) ?? Number.POSITIVE_INFINITY;
    },
  };
}

const wayKey = (a: string, b: string): string => [a, b].sort().join(" ");

/** What a node's own line carries each way. */
function lineOf({
  ceilingBytesPerMs,
  ceilingDownBytesPerMs = ceilingBytesPerMs,
  lineBytesPerMs,
}: FleetNode): Rates {
  const unlimited = Number.POSITIVE_INFINITY;
  return {
    up: Math.min(ceilingBytesPerMs ?? unlimited, lineBytesPerMs?.up ?? unlimited),
    down: Math.min(ceilingDownBytesPerMs ?? unlimited, lineBytesPerMs?.down ?? unlimited),
  };
}
