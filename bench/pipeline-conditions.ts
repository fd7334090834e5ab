/**
 * What machines and links of a scenario with a walking device give at a moment, and on the
 * average of the whole: what a planner is told that knows the scenario.
 */
import {
  type Fleet,
  type FleetLink,
  type FleetNode,
  type NodeId,
  type Profile,
  scaledProfile,
} from "edgeloom";
import type { SimCell, SimNode, SimulationOptions } from "edgeloom/sim";

/** What changes over time, as it is at one moment. */
interface Moment {
  readonly fromMs: number;
  readonly toMs: number;
  /** Share of its speed that each node has. */
  readonly shares: ReadonlyMap<string, number>;
  /** Bytes per millisecond of lines by name, each way; infinite where nothing limits them. */
  readonly rates: ReadonlyMap<string, number>;
  /** The cell that each node is behind; null for none in reach, and absent where it is behind none. */
  readonly cells: ReadonlyMap<string, string | null>;
}

/** A way between two nodes; nothing passes at rate 0. */
interface Way {
  readonly rate: number;
  readonly latencyMs: number;
}

/**
 * Which average: of rates, as of speedometers, or of the times that things take, which counts
 * what is slow for more.
 */
export type AverageKind = "rates" | "times";

/** Slower than this, a node or link is as good as gone, and planners need something to divide by. */
const least = 1e-6;

export class Conditions {
  readonly #nodes: ReadonlyMap<string, SimNode>;
  readonly #cells: ReadonlyMap<string, SimCell>;
  readonly #moments: readonly Moment[];

  /** @param endMs how long the scenario is looked at */
  constructor({ nodes, cells = [], traces = [], faults = [] }: SimulationOptions, endMs: number) {
    this.#nodes = new Map(nodes.map((node) => [node.name, node]));
    this.#cells = new Map(cells.map((cell) => [cell.name, cell]));
    const times = new Set([0]);
    for (const { points } of traces) for (const [atMs] of points) times.add(atMs);
    for (const fault of faults) {
      times.add(fault.atMs);
      if (fault.kind === "crash" && fault.forMs) times.add(fault.atMs + fault.forMs);
    }
    const sorted = [...times].filter((atMs) => atMs < endMs).sort((a, b) => a - b);
    this.#moments = sorted.map((fromMs, i) => ({
      fromMs,
      toMs: sorted[i + 1] ?? endMs,
      ...momentAt(fromMs, { nodes, cells, traces, faults }),
    }));
  }

  /** A fleet with what its machines and ways give on the average. */
  average(fleet: Fleet, kind: AverageKind): Fleet {
    return this.#fleet(fleet, this.#moments, kind);
  }

  /** The same for a part of the time. */
  between(fromMs: number, toMs: number, fleet: Fleet): Fleet {
    const inside = this.#moments
      .filter((moment) => moment.toMs > fromMs && moment.fromMs < toMs)
      .map((moment) => ({
        ...moment,
        fromMs: Math.max(fromMs, moment.fromMs),
        toMs: Math.min(toMs, moment.toMs),
      }));
    return this.#fleet(fleet, inside, "rates");
  }

  #fleet(fleet: Fleet, moments: readonly Moment[], kind: AverageKind): Fleet {
    const mean = (value: (moment: Moment) => number): number => weighted(moments, value);
    const meanRate = (rate: (moment: Moment) => number): number => {
      if (kind === "rates") return Math.max(least, mean(rate));
      // Where nothing passes, nobody waits for it to pass.
      const passing = moments.filter((moment) => rate(moment) > 0);
      return passing.length === 0 ? least : 1 / weighted(passing, (moment) => 1 / rate(moment));
    };
    const nodes = fleet.nodes.map((node): FleetNode => {
      const own = this.#node(node.name);
      const share = meanRate(({ shares }) => shares.get(own.name) ?? 1);
      const ceiling = this.#ceiling(own);
      const rate = meanRate((moment) => this.#lineRate(own, moment));
      // As a coordinator reckons: the way to it is as fast as the line.
      const line = { up: rate, down: rate };
      return {
        ...node,
        profile: atSpeed(own.profile, share),
        ceilingBytesPerMs: ceiling,
        coordinatorBytesPerMs: line,
        lineBytesPerMs: line,
      };
    });
    const links = nodes.flatMap((from, i) =>
      nodes.slice(i + 1).map((to): FleetLink => {
        const rateOf = (moment: Moment): number => this.#way(from.name, to.name, moment).rate;
        const rate = meanRate(rateOf);
        return {
          from: from.id,
          to: to.id,
          thereBytesPerMs: rate === Infinity ? null : rate,
          backBytesPerMs: rate === Infinity ? null : rate,
          latencyMs: mean((moment) => this.#way(from.name, to.name, moment).latencyMs),
        };
      }),
    );
    return { ...fleet, nodes, links };
  }

  /** A server's cell carries all that it hears and tells, but for what stays inside; a device's radio is a way of its own. */
  #ceiling({ kind, wire }: SimNode): number | null {
    const cell = wire?.cell ? this.#cells.get(wire.cell) : undefined;
    if (kind === "device" || cell === undefined) return null;
    const rate = slower(cell);
    return rate === Infinity ? null : rate;
  }

  /** The scenario as it is on the average, standing still: every node keeps to the cell where it was for longest. */
  frozen(options: SimulationOptions): SimulationOptions {
    const nodes = options.nodes.map((node): SimNode => {
      const share = weighted(this.#moments, ({ shares }) => shares.get(node.name) ?? 1);
      const rate = weighted(this.#moments, ({ rates }) => rates.get(node.name) ?? Infinity);
      const carried = rate === Infinity ? null : rate;
      const wire = node.wire && {
        ...node.wire,
        upBytesPerMs: carried,
        downBytesPerMs: carried,
        cell: this.#mostlyIn(node.name),
      };
      return { ...node, profile: atSpeed(node.profile, share), ...(wire && { wire }) };
    });
    return { ...options, nodes, traces: [], faults: [] };
  }

  #mostlyIn(node: string): string | null {
    const times = new Map<string, number>();
    for (const { cells, fromMs, toMs } of this.#moments) {
      const cell = cells.get(node);
      if (cell) times.set(cell, (times.get(cell) ?? 0) + toMs - fromMs);
    }
    const [most] = [...times].sort(([, a], [, b]) => b - a);
    return most?.[0] ?? null;
  }

  #way(a: string, b: string, { rates, cells, shares }: Moment): Way {
    const [up, down] = [this.#linesOf(a, cells), this.#linesOf(b, cells)];
    const lines = [
      ...up.filter((line) => !down.includes(line)),
      ...down.filter((line) => !up.includes(line)),
    ];
    const isOut = [a, b].some((name) => cells.get(name) === null || shares.get(name) === 0);
    const rate = Math.min(...lines.map((line) => rates.get(line) ?? Infinity));
    const latencyMs = lines.reduce((sum, line) => sum + this.#latencyMs(line), 0);
    return { rate: isOut ? 0 : rate, latencyMs };
  }

  /**
   * What a node's own line carries, as a coordinator sees it by the fastest of the node's ways: a device's radio, for
   * what stays in its cell does not pass the cell's line; a server's cell.
   */
  #lineRate({ name, kind }: SimNode, { rates, cells, shares }: Moment): number {
    if (cells.get(name) === null || shares.get(name) === 0) return 0;
    if (kind === "device") return rates.get(name) ?? Infinity;
    return Math.min(...this.#linesOf(name, cells).map((line) => rates.get(line) ?? Infinity));
  }

  /** A node's own line, and those of the cells that it is behind, by name. */
  #linesOf(name: string, cells: Moment["cells"]): string[] {
    const lines = [name];
    for (let cell = cells.get(name); cell; cell = this.#cells.get(cell)?.behind ?? null) {
      lines.push(cell);
    }
    return lines;
  }

  #latencyMs(line: string): number {
    return this.#cells.get(line)?.latencyMs ?? this.#nodes.get(line)?.latencyMs ?? 0;
  }

  #node(name: string): SimNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }
}

/** The mean over time. */
function weighted(moments: readonly Moment[], value: (moment: Moment) => number): number {
  let [sum, ms] = [0, 0];
  for (const moment of moments) {
    sum += value(moment) * (moment.toMs - moment.fromMs);
    ms += moment.toMs - moment.fromMs;
  }
  return sum / ms;
}

type Scene = Required<Pick<SimulationOptions, "nodes" | "cells" | "traces" | "faults">>;

function momentAt(
  atMs: number,
  { nodes, cells, traces, faults }: Scene,
): Omit<Moment, "fromMs" | "toMs"> {
  const shares = new Map(nodes.map(({ name }) => [name, 1]));
  const rates = new Map<string, number>();
  const places = new Map<string, string | null>();
  for (const cell of cells) rates.set(cell.name, slower(cell));
  for (const { name, wire } of nodes) {
    if (wire === undefined) continue;
    rates.set(name, slower(wire));
    if (wire.cell !== null) places.set(name, wire.cell);
  }
  for (const trace of traces) {
    if (trace.kind === "speed") shares.set(trace.node, valueAt(trace.points, atMs) ?? 1);
    if (trace.kind === "cell") {
      const cell = valueAt(trace.points, atMs);
      if (cell !== undefined) places.set(trace.node, cell);
    }
    if (trace.kind === "rate") {
      const rate = valueAt(trace.points, atMs);
      if (rate !== undefined) rates.set(trace.of, rate ?? Infinity);
    }
  }
  for (const fault of faults) {
    if (fault.kind !== "crash") continue;
    const untilMs = fault.forMs ? fault.atMs + fault.forMs : Infinity;
    if (fault.atMs <= atMs && atMs < untilMs) shares.set(fault.node, 0);
  }
  return { shares, rates, cells: places };
}

type Rates = Pick<SimCell, "upBytesPerMs" | "downBytesPerMs">;

/** The slower way of a line. */
const slower = ({ upBytesPerMs, downBytesPerMs }: Rates): number =>
  Math.min(upBytesPerMs ?? Infinity, downBytesPerMs ?? Infinity);

/** The value of the last point that is not after a time; none before the first. */
const valueAt = <V>(points: readonly (readonly [number, V])[], atMs: number): V | undefined =>
  points.findLast(([pointMs]) => pointMs <= atMs)?.[1];

/** A profile of the same machine at a share of its speed. */
const atSpeed = (profile: Profile, share: number): Profile =>
  scaledProfile(profile, (ms) => ms / share);

/** Only some nodes of a fleet, and the ways between them. */
export function amongNodes(fleet: Fleet, ids: ReadonlySet<NodeId>): Fleet {
  return {
    ...fleet,
    nodes: fleet.nodes.filter(({ id }) => ids.has(id)),
    links: fleet.links.filter(({ from, to }) => ids.has(from) && ids.has(to)),
  };
}
