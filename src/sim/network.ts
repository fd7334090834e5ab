/**
 * The network in virtual time. Every node has its access; a connection between two goes
 * through their wires and the cells that they share with others. A frame waits for those
 * before it, travels at the rate that is its connection's fair share (`bandwidth.ts`), and
 * arrives after the delay of both ends, with jitter, and later still where packets were
 * lost: each costs a retransmission. Frames of a connection keep their order.
 *
 * A partition lets nothing pass: what is under way waits, and so does the end of a
 * connection, exactly as behind a cable that is cut. It is for the peers to notice.
 *
 * A node may move from cell to cell. Its connections stay, as a mobile network keeps a phone's
 * address: what has not left yet leaves over the new path, and nothing is lost or overtaken.
 */
import { present } from "../base/assert.ts";
import { type Random, random } from "../base/random.ts";
import type { Cancel, Link } from "../run/host.ts";
import { type Medium, memoryLinks } from "../run/wire/memory-link.ts";
import { FairShares, type Pipe, type Transfer } from "./bandwidth.ts";
import type { World } from "./world.ts";

/** A wire each way, and its one-way delay: a node's own, or what a cell shares. */
export interface Line {
  readonly up: Pipe;
  readonly down: Pipe;
  latencyMs: number;
}

/** A cell, a home's line, a server room's uplink: nodes and other cells share it. */
export interface Cell extends Line {
  readonly name: string;
  /** The cell that this one is behind; null where it leads to the core of the network, which is fast. */
  readonly parent: Cell | null;
}

/** A node's own line; a node that moves takes it from cell to cell. */
export interface OwnLine extends Line {
  /** Null where it leads to the core of the network. */
  cell: Cell | null;
  /** Whether a cell is in reach at all. */
  isCovered: boolean;
}

/** Where a node meets the network; peers on one machine share its line. */
export interface Access {
  readonly name: string;
  readonly line: OwnLine;
  /** Added to each frame's delay: uniform from 0 to this. */
  readonly jitterMs: number;
  /** Share of packets that get lost, and are sent once more. */
  readonly loss: number;
}

/** What was carried: for those who check that no wire carries more than it can. */
export interface Carried {
  readonly pipes: readonly Pipe[];
  readonly bytes: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Both ends of a connection; whoever has dialled has the near one. */
export interface Ends {
  readonly near: Link;
  readonly far: Link;
}

/** A connection without ends: what is carried each way, and when it arrives. */
export interface Directions {
  readonly there: Medium;
  readonly back: Medium;
  /** Nothing arrives any more. */
  readonly vanish: () => void;
}

/** Payload of an Ethernet packet. */
const packetBytes = 1460;
/** A lost packet is noticed no sooner than this (a lower bound of retransmission timers). */
const retransmitMsMin = 10;

export class Network {
  readonly world: World;
  readonly #seed: number;
  readonly #flows = new Set<Flow>();
  readonly #shares = new FairShares();
  #isSettling = false;
  #connections = 0;
  /** What is cut off at the moment; two nodes reach each other where they are on one side of each. */
  readonly #partitions = new Set<ReadonlySet<Access>>();
  /** Pairs of nodes that do not reach each other, though both may reach all others. */
  readonly #cuts = new Set<ReadonlySet<Access>>();
  /** Told of every frame that has left a connection's wires. */
  onCarried: (carried: Carried) => void = () => {};
  /** Given both ends of every new connection: whoever watches it hands on ends of its own. */
  tap: (ends: Ends) => Ends = (ends) => ends;
  /** Told when a pipe's rate has changed, with what it was before. */
  onRate: (pipe: Pipe, before: number) => void = () => {};

  constructor(world: World, seed: number) {
    this.world = world;
    this.#seed = seed;
  }

  /** Two ends of a new connection. Both vanish from the network when both are closed or lost. */
  connect(a: Access, b: Access): Ends & { vanish: () => void } {
    const { there, back, vanish } = this.open(a, b);
    const directions = [there, back];
    const [near, far] = memoryLinks(() => present(directions.shift(), "a direction"));
    return { ...this.tap({ near, far }), vanish };
  }

  /** Both directions of a new connection, for whoever has bytes and ends of its own. */
  open(a: Access, b: Access): Directions {
    const chance = random(this.#seed).fork(`connection ${this.#connections++}`);
    const there = new Flow(this, a, b, chance);
    const back = new Flow(this, b, a, chance);
    this.#flows.add(there).add(back);
    const vanish = (): void => {
      for (const flow of [there, back]) {
        flow.vanish();
        this.#flows.delete(flow);
      }
    };
    return { there, back, vanish };
  }

  /** Whether frames pass between two nodes now. */
  reaches(a: Access, b: Access): boolean {
    if (isOneMachine(a, b)) return true;
    if (!a.line.isCovered || !b.line.isCovered) return false;
    for (const inside of this.#partitions) if (inside.has(a) !== inside.has(b)) return false;
    for (const pair of this.#cuts) if (pair.has(a) && pair.has(b)) return false;
    return true;
  }

  /** Cuts nodes off from all others, though not from each other; the answer heals it. */
  partition(nodes: Iterable<Access>): Cancel {
    return this.#separate(this.#partitions, new Set(nodes));
  }

  /** Cuts two nodes off from each other, though not from all others; the answer heals it. */
  cut(a: Access, b: Access): Cancel {
    return this.#separate(this.#cuts, new Set([a, b]));
  }

  #separate(among: Set<ReadonlySet<Access>>, nodes: ReadonlySet<Access>): Cancel {
    among.add(nodes);
    for (const flow of this.#flows) flow.reachChanged();
    return () => {
      if (!among.delete(nodes)) return;
      for (const flow of this.#flows) flow.reachChanged();
    };
  }

  /** A node has moved into another cell, or out of reach of all (null); what is under way goes on from there. */
  move(line: OwnLine, cell: Cell | null): void {
    line.isCovered = cell !== null;
    if (cell !== null) line.cell = cell;
    for (const flow of this.#flows) {
      flow.pathChanged();
      flow.reachChanged();
    }
  }

  /** Changes a line's delay, for what leaves from now on. */
  setLatency(line: Line, ms: number): void {
    line.latencyMs = ms;
    for (const flow of this.#flows) flow.pathChanged();
  }

  /** Changes what a pipe carries, from now on. */
  setRate(pipe: Pipe, bytesPerMs: number): void {
    const before = pipe.bytesPerMs;
    this.#shares.setRate(pipe, bytesPerMs);
    this.#settleSoon();
    this.onRate(pipe, before);
  }

  /** Has something to carry from now on. */
  enter(flow: Flow): void {
    if (this.#shares.enter(flow)) flow.setRate(flow.fairRate);
    else this.#settleSoon();
  }

  /** Has nothing to carry any more, or is about to take another path. */
  leave(flow: Flow): void {
    flow.setRate(0);
    this.#shares.leave(flow);
    this.#settleSoon();
  }

  /** Finds rates anew once everything of this moment has happened. */
  #settleSoon(): void {
    if (this.#isSettling || !this.#shares.isDue) return;
    this.#isSettling = true;
    this.world.at(this.world.now(), () => {
      this.#isSettling = false;
      for (const transfer of this.#shares.settle()) (transfer as Flow).setRate(transfer.fairRate);
    });
  }
}

interface Parcel {
  readonly bytes: number;
  readonly arrive: () => void;
}

/** One direction of a connection. */
class Flow implements Medium, Transfer {
  fairRate = 0;
  heldBy: Pipe | null = null;
  isOpen = false;
  #path: Path;
  readonly #network: Network;
  readonly #from: Access;
  readonly #to: Access;
  readonly #chance: Random;
  readonly #queue: Parcel[] = [];
  /** What has left and not arrived, in order. */
  readonly #inAir: Parcel[] = [];
  /** How many of them a partition holds back at the other end. */
  #held = 0;
  #isBlocked: boolean;
  #isGone = false;
  #rate = 0;
  /** Bytes of the first parcel that have not left at `sinceMs`. */
  #restBytes = 0;
  #sinceMs = 0;
  /** Since when the first parcel leaves over the present path, and what of it had not left then. */
  #startedMs = 0;
  #startedBytes = 0;
  /** When it has left, at the present rate. */
  #dueMs = Number.POSITIVE_INFINITY;
  /** When that is looked at: not later, since a rate that falls needs no other time to look. */
  #wakeMs = Number.POSITIVE_INFINITY;
  #wake: Cancel = () => {};
  #lastArrivalMs = 0;

  constructor(network: Network, from: Access, to: Access, chance: Random) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
    this.#chance = chance;
    this.#path = pathBetween(from, to);
    this.#isBlocked = !network.reaches(from, to);
  }

  get pipes(): readonly Pipe[] {
    return this.#path.pipes;
  }

  get isActive(): boolean {
    return this.#queue.length > 0 && !this.#isBlocked && !this.#isGone;
  }

  carry(bytes: number, arrive: () => void): void {
    if (this.#isGone) return;
    this.#queue.push({ bytes, arrive });
    if (this.#queue.length > 1) return;
    this.#begin(bytes);
    if (!this.#isBlocked) this.#network.enter(this);
  }

  soon(fire: () => void): void {
    this.#network.world.at(this.#network.world.now(), fire);
  }

  setRate(bytesPerMs: number): void {
    const now = this.#network.world.now();
    if (this.#rate > 0 && now > this.#sinceMs) {
      const carried = this.#rate * (now - this.#sinceMs);
      this.#restBytes = Math.max(0, this.#restBytes - carried);
    }
    this.#sinceMs = now;
    if (this.#rate === bytesPerMs && bytesPerMs > 0) return;
    this.#rate = bytesPerMs;
    this.#expect();
  }

  /** A partition has come or gone. */
  reachChanged(): void {
    const isBlocked = !this.#network.reaches(this.#from, this.#to);
    if (isBlocked === this.#isBlocked) return;
    if (isBlocked) {
      if (this.isActive) this.#network.leave(this);
      this.#isBlocked = true;
      return;
    }
    this.#isBlocked = false;
    const held = this.#inAir.slice(0, this.#held);
    this.#held = 0;
    for (const { bytes } of held) this.#travel(bytes);
    if (this.#queue.length > 0) this.#network.enter(this);
  }

  /** An end has moved, or a delay has changed. */
  pathChanged(): void {
    const path = pathBetween(this.#from, this.#to);
    const { pipes } = path;
    if (pipes.length === this.pipes.length && pipes.every((pipe, i) => pipe === this.pipes[i])) {
      this.#path = path;
      return;
    }
    const wasActive = this.isActive;
    if (wasActive) this.#network.leave(this);
    // Also where a partition holds it up: what has left did so over the path before.
    const hasBegun = this.#queue.length > 0;
    if (hasBegun) this.#carried(this.#startedBytes - this.#restBytes);
    this.#path = path;
    if (hasBegun) this.#begin(this.#restBytes);
    if (wasActive) this.#network.enter(this);
  }

  /** The end without a word: nothing arrives any more. */
  vanish(): void {
    if (this.isActive) this.#network.leave(this);
    this.#isGone = true;
    this.#queue.length = 0;
    this.#inAir.length = 0;
    this.#held = 0;
  }

  /** Waits until the first parcel has left at the present rate. */
  #expect(): void {
    const now = this.#network.world.now();
    if (this.#rate === 0) this.#dueMs = Number.POSITIVE_INFINITY;
    else this.#dueMs = this.#restBytes === 0 ? now : now + this.#restBytes / this.#rate;
    this.#wakeBy(this.#dueMs);
  }

  #wakeBy(atMs: number): void {
    if (atMs >= this.#wakeMs) return;
    this.#wake();
    this.#wakeMs = atMs;
    this.#wake = this.#network.world.at(atMs, () => {
      this.#wakeMs = Number.POSITIVE_INFINITY;
      if (this.#dueMs > atMs) this.#wakeBy(this.#dueMs);
      else this.#left();
    });
  }

  #left(): void {
    const { world } = this.#network;
    const parcel = present(this.#queue.shift(), "a parcel on its way");
    this.#carried(this.#startedBytes);
    this.#deliver(parcel);
    const next = this.#queue[0];
    if (next === undefined) return this.#network.leave(this);
    this.#begin(next.bytes);
    this.#sinceMs = world.now();
    this.#expect();
  }

  /** So many bytes of the first parcel leave from now on. */
  #begin(bytes: number): void {
    this.#restBytes = bytes;
    this.#startedBytes = bytes;
    this.#startedMs = this.#network.world.now();
  }

  #carried(bytes: number): void {
    const { pipes } = this;
    const toMs = this.#network.world.now();
    this.#network.onCarried({ pipes, bytes, fromMs: this.#startedMs, toMs });
  }

  #deliver(parcel: Parcel): void {
    this.#inAir.push(parcel);
    this.#travel(parcel.bytes);
  }

  /** Whatever is first by then arrives: what was held back is not overtaken by what was in the air. */
  #travel(bytes: number): void {
    const { world } = this.#network;
    const arrivalMs = world.now() + this.#delayMs(bytes);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivalMs);
    world.at(this.#lastArrivalMs, () => {
      if (this.#isGone) return;
      if (this.#isBlocked) this.#held++;
      else present(this.#inAir.shift(), "a parcel in the air").arrive();
    });
  }

  #delayMs(bytes: number): number {
    const [from, to] = [this.#from, this.#to];
    if (isOneMachine(from, to)) return 0;
    const { latencyMs } = this.#path;
    let ms = latencyMs;
    const jitterMs = from.jitterMs + to.jitterMs;
    if (jitterMs > 0) ms += this.#chance.uniform() * jitterMs;
    const loss = 1 - (1 - from.loss) * (1 - to.loss);
    if (loss === 0) return ms;
    const retransmitMs = Math.max(retransmitMsMin, 2 * latencyMs);
    for (let packets = Math.ceil(bytes / packetBytes); packets > 0; packets--) {
      while (this.#chance.uniform() < loss) ms += retransmitMs;
    }
    return ms;
  }
}

/** How frames get from one node to another. */
interface Path {
  readonly pipes: readonly Pipe[];
  /** One-way delay. */
  readonly latencyMs: number;
}

/**
 * Out of every cell that the other is not behind, and into those that the first is not behind.
 * What stays inside a cell does not use its line.
 */
function pathBetween(from: Access, to: Access): Path {
  if (isOneMachine(from, to)) return { pipes: [], latencyMs: 0 };
  const up = cellsOf(from);
  const down = cellsOf(to);
  const out = [from.line, ...up.filter((cell) => !down.includes(cell))];
  const into = [...down.filter((cell) => !up.includes(cell)), to.line];
  let latencyMs = 0;
  for (const line of [...out, ...into]) latencyMs += line.latencyMs;
  return { pipes: [...out.map((line) => line.up), ...into.map((line) => line.down)], latencyMs };
}

/** One-way delay between two nodes as they are now. */
export const latencyBetween = (a: Access, b: Access): number => pathBetween(a, b).latencyMs;

/** Two peers behind the same wire are on one machine: what they tell each other does not leave it. */
const isOneMachine = (a: Access, b: Access): boolean => a.line === b.line;

/** From the nearest to the outermost. */
function cellsOf({ line }: Access): Cell[] {
  const cells: Cell[] = [];
  for (let at = line.cell; at !== null; at = at.parent) cells.push(at);
  return cells;
}
