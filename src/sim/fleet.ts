/** The machines of a simulation as its options describe them, and what ties them together. */
import { unreachable } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import type { EnergyLimit, Profile } from "../plan/plan.ts";
import type { SimAttack } from "./attacks.ts";
import { Pipe } from "./bandwidth.ts";
import type { SimSamples } from "./host.ts";
import type { Access, Cell, Line, Network, OwnLine } from "./network.ts";
import type { World } from "./world.ts";

/** A simulated machine. */
export interface SimNode {
  readonly name: string;
  readonly kind: "device" | "edge" | "cloud";
  readonly duty: number;
  readonly profile: Profile;
  /** How many times as fast as the benchmarks' machine it codes what it sends and receives; in no time where absent. */
  readonly codingSpeed?: number;
  readonly memoryBytes: number | null;
  /** What it tells the planner of its link; see `wire` for what the link really carries. */
  readonly ceilingBytesPerMs: number | null;
  /** What it may spend, where that is limited. */
  readonly energy?: EnergyLimit;
  /** One-way delay of its link: to its cell, or to the core of the network. */
  readonly latencyMs: number;
  readonly train: SimSamples | null;
  readonly test: SimSamples | null;
  /** Its link to the network; one that limits nothing where absent. */
  readonly wire?: SimWire;
  /**
   * Whether other nodes may connect to it. Where absent servers can be reached and devices cannot;
   * nor can the server that the coordinator runs on, for what goes there comes no way around.
   */
  readonly reachable?: boolean;
  /** How it means harm, where it does. */
  readonly attack?: SimAttack;
}

/** A node's own link. */
export interface SimWire {
  /** Rate of each direction; null carries any amount at once. */
  readonly upBytesPerMs: number | null;
  readonly downBytesPerMs: number | null;
  /** Added to each frame's delay, drawn from 0 to this. */
  readonly jitterMs: number;
  /** Share of packets that are lost and sent once more. */
  readonly loss: number;
  /** The cell that it is behind. */
  readonly cell: string | null;
}

/** A wire that several nodes or cells share: a radio cell, a home's line, an uplink. */
export interface SimCell {
  readonly name: string;
  readonly upBytesPerMs: number | null;
  readonly downBytesPerMs: number | null;
  /** One-way delay of its line; 0 where absent. */
  readonly latencyMs?: number;
  /** The cell that this one is behind. */
  readonly behind: string | null;
}

/** How something changes over time. Each value holds until the next. */
export type SimTrace =
  | {
      readonly kind: "speed";
      readonly node: string;
      /** Milliseconds from the start, and the share of its profile's speed that holds from then on. */
      readonly points: readonly (readonly [atMs: number, factor: number])[];
    }
  | {
      readonly kind: "rate";
      /** A node's own link, or a cell. */
      readonly of: string;
      readonly way: "up" | "down" | "both";
      /** Bytes per millisecond from then on; null for any amount, 0 for none. */
      readonly points: readonly (readonly [atMs: number, bytesPerMs: number | null])[];
    }
  | {
      readonly kind: "latency";
      /** A node's own link, or a cell. */
      readonly of: string;
      /** One-way delay from then on. */
      readonly points: readonly (readonly [atMs: number, latencyMs: number])[];
    }
  | {
      readonly kind: "cell";
      readonly node: string;
      /** The cell that the node is behind from then on; null where none is in reach. */
      readonly points: readonly (readonly [atMs: number, cell: string | null])[];
    };

/** A link that limits nothing. */
export const openWire: SimWire = {
  upBytesPerMs: null,
  downBytesPerMs: null,
  jitterMs: 0,
  loss: 0,
  cell: null,
};

const rateOf = (bytesPerMs: number | null): number => bytesPerMs ?? Number.POSITIVE_INFINITY;

const pipes = (name: string, up: number | null, down: number | null): { up: Pipe; down: Pipe } => ({
  up: new Pipe(`${name} up`, rateOf(up)),
  down: new Pipe(`${name} down`, rateOf(down)),
});

/** The cells by name. @throws InputError for one behind an unknown cell, or behind itself */
export function cellsOf(cells: readonly SimCell[]): Map<string, Cell> {
  const made = new Map<string, Cell>();
  const make = (name: string, inside: readonly string[]): Cell => {
    const known = made.get(name);
    if (known !== undefined) return known;
    const cell = cells.find((candidate) => candidate.name === name);
    if (cell === undefined || inside.includes(name)) {
      throw new InputError({
        what: `the cell of ${inside.at(-1) ?? name}`,
        received: JSON.stringify(name),
        allowed: `another one of ${cells.map((other) => other.name).join(", ")}`,
      });
    }
    const { upBytesPerMs, downBytesPerMs, latencyMs = 0, behind } = cell;
    const parent = behind === null ? null : make(behind, [...inside, name]);
    const value = { name, ...pipes(name, upBytesPerMs, downBytesPerMs), latencyMs, parent };
    made.set(name, value);
    return value;
  };
  for (const { name } of cells) make(name, []);
  return made;
}

/** Where a node meets the network. @throws InputError for an unknown cell */
export function accessOf(
  node: Pick<SimNode, "name" | "latencyMs" | "wire">,
  cells: ReadonlyMap<string, Cell>,
): Access {
  const { upBytesPerMs, downBytesPerMs, jitterMs, loss, cell: name } = node.wire ?? openWire;
  const { latencyMs } = node;
  const cell = name === null ? null : cellNamed(cells, name, node.name);
  const line: OwnLine = {
    ...pipes(node.name, upBytesPerMs, downBytesPerMs),
    latencyMs,
    cell,
    isCovered: true,
  };
  return { name: node.name, line, jitterMs, loss };
}

function cellNamed(cells: ReadonlyMap<string, Cell>, name: string, node: string): Cell {
  const cell = cells.get(name);
  if (cell !== undefined) return cell;
  throw new InputError({
    what: `the cell of ${node}`,
    received: JSON.stringify(name),
    allowed: `one of ${[...cells.keys()].join(", ")}`,
  });
}

/** Where traces happen. */
export interface TracePlace {
  readonly world: World;
  readonly network: Network;
  readonly cells: ReadonlyMap<string, Cell>;
  /** The line of a node or cell. */
  lineOf(name: string): Line;
  ownLineOf(node: string): OwnLine;
}

/** Has a line, or whose it is, follow its trace. @throws InputError for an unknown cell */
export function followLine(
  trace: Exclude<SimTrace, { kind: "speed" }>,
  { lineOf, ownLineOf, cells, world, network }: TracePlace,
): void {
  switch (trace.kind) {
    case "rate": {
      const { up, down } = lineOf(trace.of);
      for (const [atMs, bytesPerMs] of trace.points) {
        world.at(atMs, () => {
          if (trace.way !== "down") network.setRate(up, rateOf(bytesPerMs));
          if (trace.way !== "up") network.setRate(down, rateOf(bytesPerMs));
        });
      }
      return;
    }
    case "latency": {
      const line = lineOf(trace.of);
      for (const [atMs, ms] of trace.points) world.at(atMs, () => network.setLatency(line, ms));
      return;
    }
    case "cell": {
      const line = ownLineOf(trace.node);
      for (const [atMs, name] of trace.points) {
        const cell = name === null ? null : cellNamed(cells, name, trace.node);
        world.at(atMs, () => network.move(line, cell));
      }
      return;
    }
    default:
      unreachable(trace);
  }
}
