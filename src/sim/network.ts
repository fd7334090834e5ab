/**
 * The network in virtual time. Every node has its access; a connection between two goes
 * through their wires and the cells that they share with others. A frame waits for those
 * before it, travels at the rate that is its connection's fair share (`bandwidth.ts`), and
 * arrives after the delay of both ends, with jitter, and later still where packets were
 * lost: each costs a retransmission. Frames of a connection keep their order.
 *
 * A partition lets nothing pass: what is under way waits, and so does the end of a
 * connection, exactly as behind a cable that is cut. It is for the peers to notice.
 */
import { present } from "../base/assert.ts";
import { type Random, random } from "../base/random.ts";
import type { Cancel, Link } from "../run/host.ts";
import { type Medium, memoryLinks } from "../run/wire/memory-link.ts";
import { coupledGroups, fairRates, leastRate, Pipe, type Transfer } from "./bandwidth.ts";
import type { World } from "./world.ts";

/** A cell, a home's line, a server room's uplink: nodes and other cells share it. */
export interface Cell {
  readonly name: string;
  readonly up: Pipe;
  readonly down: Pipe;
  /** The cell that this one is behind; null where it leads to the core of the network, which is fast. */
  readonly parent: Cell | null;
}

/** Where a node meets the network. */
export interface Access {
  readonly name: string;
  readonly up: Pipe;
  readonly down: Pipe;
  readonly cell: Cell | null;
  /** One-way delay between the node and the core of the network. */
  readonly latencyMs: number;
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

/** Payload of an Ethernet packet. */
const packetBytes = 1460;
/** A lost packet is noticed no sooner than this (a lower bound of retransmission timers). */
const retransmitMsMin = 10;

export class Network {
  readonly world: World;
  readonly #seed: number;
  readonly #flows = new Set<Flow>();
  readonly #changed = new Set<Flow>();
  /** Pipes whose transfers all have to get their rates anew. */
  readonly #disturbed = new Set<Pipe>();
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
    const chance = random(this.#seed).fork(`connection ${this.#connections++}`);
    const flows = [new Flow(this, a, b, chance), new Flow(this, b, a, chance)];
    for (const flow of flows) this.#flows.add(flow);
    let next = 0;
    const [near, far] = memoryLinks(() => present(flows[next++], "a direction"));
    const vanish = (): void => {
      for (const flow of flows) {
        flow.vanish();
        this.#flows.delete(flow);
      }
    };
    return { ...this.tap({ near, far }), vanish };
  }

  /** Whether frames pass between two nodes now. */
  reaches(a: Access, b: Access): boolean {
    if (isOneMachine(a, b)) return true;
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

  /** Changes what a pipe carries, from now on. */
  setRate(pipe: Pipe, bytesPerMs: number): void {
    for (const transfer of pipe.active) {
      this.changed(transfer as Flow);
      this.disturbed(transfer as Flow);
    }
    const before = pipe.bytesPerMs;
    pipe.setRate(bytesPerMs);
    this.onRate(pipe, before);
  }

  /** Whatever hangs together with this transfer gets its rate anew: it leaves, or its wires change. */
  disturbed(flow: Flow): void {
    // The pipe is noted and not its transfers: of many that leave at one moment, each would note all others.
    for (const pipe of flow.pipes) if (pipe.canBind) this.#disturbed.add(pipe);
    if (this.#disturbed.size > 0) this.#settleSoon();
  }

  /** Finds rates anew once everything of this moment has happened. */
  changed(flow: Flow): void {
    this.#changed.add(flow);
    this.#settleSoon();
  }

  #settleSoon(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    this.world.at(this.world.now(), () => this.#settle());
  }

  #settle(): void {
    this.#isSettling = false;
    for (const pipe of this.#disturbed) {
      for (const transfer of pipe.active) this.#changed.add(transfer as Flow);
    }
    this.#disturbed.clear();
    const changed = [...this.#changed].filter((flow) => flow.isActive);
    this.#changed.clear();
    for (const group of coupledGroups(changed)) {
      for (const [transfer, rate] of fairRates(group)) (transfer as Flow).setRate(rate);
    }
  }
}

interface Parcel {
  readonly bytes: number;
  readonly arrive: () => void;
}

/** One direction of a connection. */
class Flow implements Medium, Transfer {
  readonly pipes: readonly Pipe[];
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
  #startedMs = 0;
  #leaving: Cancel = () => {};
  #lastArrivalMs = 0;

  constructor(network: Network, from: Access, to: Access, chance: Random) {
    this.#network = network;
    this.#from = from;
    this.#to = to;
    this.#chance = chance;
    this.pipes = pipesBetween(from, to);
    this.#isBlocked = !network.reaches(from, to);
  }

  get isActive(): boolean {
    return this.#queue.length > 0 && !this.#isBlocked && !this.#isGone;
  }

  carry(bytes: number, arrive: () => void): void {
    if (this.#isGone) return;
    this.#queue.push({ bytes, arrive });
    if (this.#queue.length > 1) return;
    this.#restBytes = bytes;
    this.#startedMs = this.#network.world.now();
    if (!this.#isBlocked) this.#activate();
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
    this.#leaving();
    this.#leaving = () => {};
    if (bytesPerMs > 0) this.#leave();
  }

  /** A partition has come or gone. */
  reachChanged(): void {
    const isBlocked = !this.#network.reaches(this.#from, this.#to);
    if (isBlocked === this.#isBlocked) return;
    if (isBlocked) {
      if (this.isActive) this.#deactivate();
      this.#isBlocked = true;
      return;
    }
    this.#isBlocked = false;
    const held = this.#inAir.slice(0, this.#held);
    this.#held = 0;
    for (const { bytes } of held) this.#travel(bytes);
    if (this.#queue.length > 0) this.#activate();
  }

  /** The end without a word: nothing arrives any more. */
  vanish(): void {
    if (this.isActive) this.#deactivate();
    this.#isGone = true;
    this.#queue.length = 0;
    this.#inAir.length = 0;
    this.#held = 0;
  }

  #activate(): void {
    Pipe.enter(this);
    // Most connections share nothing that is short: their rate is their own.
    if (this.pipes.some((pipe) => pipe.canBind)) this.#network.changed(this);
    else this.setRate(leastRate(this));
  }

  #deactivate(): void {
    this.setRate(0);
    this.#network.disturbed(this);
    Pipe.leave(this);
  }

  /** Waits until the first parcel has left at the present rate. */
  #leave(): void {
    const { world } = this.#network;
    const ms = this.#restBytes === 0 ? 0 : this.#restBytes / this.#rate;
    this.#leaving = world.at(world.now() + ms, () => this.#left());
  }

  #left(): void {
    const { world } = this.#network;
    const parcel = present(this.#queue.shift(), "a parcel on its way");
    const { pipes } = this;
    const now = world.now();
    this.#network.onCarried({ pipes, bytes: parcel.bytes, fromMs: this.#startedMs, toMs: now });
    this.#deliver(parcel);
    const next = this.#queue[0];
    if (next === undefined) return this.#deactivate();
    this.#restBytes = next.bytes;
    this.#startedMs = now;
    this.#sinceMs = now;
    this.#leave();
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
    let ms = from.latencyMs + to.latencyMs;
    const jitterMs = from.jitterMs + to.jitterMs;
    if (jitterMs > 0) ms += this.#chance.uniform() * jitterMs;
    const loss = 1 - (1 - from.loss) * (1 - to.loss);
    if (loss === 0) return ms;
    const retransmitMs = Math.max(retransmitMsMin, 2 * (from.latencyMs + to.latencyMs));
    for (let packets = Math.ceil(bytes / packetBytes); packets > 0; packets--) {
      while (this.#chance.uniform() < loss) ms += retransmitMs;
    }
    return ms;
  }
}

/**
 * The wires from one node to another: out of every cell that the other is not behind, and into
 * those that the first is not behind. What stays inside a cell does not use its line.
 */
function pipesBetween(from: Access, to: Access): Pipe[] {
  if (isOneMachine(from, to)) return [];
  const up = cellsOf(from);
  const down = cellsOf(to);
  return [
    from.up,
    ...up.filter((cell) => !down.includes(cell)).map((cell) => cell.up),
    ...down.filter((cell) => !up.includes(cell)).map((cell) => cell.down),
    to.down,
  ];
}

/** Two peers behind the same wire are on one machine: what they tell each other does not leave it. */
export const isOneMachine = (a: Access, b: Access): boolean => a.up === b.up;

/** From the nearest to the outermost. */
function cellsOf({ cell }: Access): Cell[] {
  const cells: Cell[] = [];
  for (let at = cell; at !== null; at = at.parent) cells.push(at);
  return cells;
}
