/**
 * The links of a scenario for real processes on one machine, in user space: a relay on the loopback
 * address through which they connect. It reads what they send at once and hands it on when it would
 * have arrived. When that is, says the simulator's network, which the wall clock drives here in place
 * of virtual time: wires that are shared, cells, delays, traces that change them while programs run.
 *
 * Timers are late, but nothing adds up: what leaves next leaves from the moment at which the last
 * one should have left, not from that at which the timer fired.
 */
import {
  type AddressInfo,
  connect,
  createServer,
  type NetConnectOpts,
  type Server,
  type Socket,
} from "node:net";
import { InputError } from "../base/errors.ts";
import type { Medium } from "../run/wire/memory-link.ts";
import { accessOf, cellsOf, followLine, type SimNode, type SimTrace } from "../sim/fleet.ts";
import { type Access, type Cell, type Line, Network, type OwnLine } from "../sim/network.ts";
import { coordinatorName, type SimulationOptions } from "../sim/simulate.ts";
import { World } from "../sim/world.ts";

const host = "127.0.0.1";
/** Bytes that travel together: what comes behind a large message need not wait for all that was read with it. */
const pieceBytes = 16 * 1024;
/** So much of a connection may be under way each way; then its sender has to wait, as for a full socket. */
const underWayBytesMax = 8 * 1024 * 1024;
/** Timers count whole milliseconds: who is early as often as late is right on the average. */
const grainMs = 0.5;

/** Machines as far as their links go, and how those change; `speed` traces say nothing here. */
export type ShapedFleet = Pick<SimulationOptions, "cells" | "traces" | "coordinatorOn"> & {
  readonly nodes: readonly Pick<SimNode, "name" | "latencyMs" | "wire">[];
};

/**
 * A network in user space.
 * @example
 * const network = new ShapedNetwork({ nodes, cells, traces });
 * const door = await network.door("phone", "coordinator", port);
 * // A process that connects to the door is the phone, and reaches the coordinator as slowly as it would.
 * network.play();
 */
export class ShapedNetwork {
  readonly #world = new World();
  readonly #network = new Network(this.#world, 1);
  readonly #cells: ReadonlyMap<string, Cell>;
  readonly #accesses: ReadonlyMap<string, Access>;
  readonly #traces: readonly Exclude<SimTrace, { kind: "speed" }>[];
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #startedMs = performance.now();
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;

  /**
   * What traces say of the time 0 holds until they are played.
   * @throws InputError for an unknown cell, node or line
   */
  constructor({ nodes, cells = [], traces = [], coordinatorOn = null }: ShapedFleet) {
    this.#cells = cellsOf(cells);
    const accesses = new Map(nodes.map((node) => [node.name, accessOf(node, this.#cells)]));
    this.#accesses = accesses;
    const core = { name: coordinatorName, latencyMs: 0 };
    const home = coordinatorOn === null ? accessOf(core, this.#cells) : this.#access(coordinatorOn);
    accesses.set(coordinatorName, home);
    this.#traces = traces.filter((trace) => trace.kind !== "speed");
    this.#act(() => this.#follow((atMs) => (atMs === 0 ? this.#world.now() : null)));
  }

  /**
   * Opens a port on the loopback address: whoever connects there is a node, and reaches a port of
   * this machine that belongs to another one.
   * @param from name of a node
   * @param to name of a node, or "coordinator"
   * @throws InputError for an unknown name
   */
  async door(from: string, to: string, port: number): Promise<number> {
    const [a, b] = [this.#access(from), this.#access(to)];
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#relay(socket, { host, port, allowHalfOpen: true, noDelay: true }, a, b);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, host, resolve);
    });
    return (server.address() as AddressInfo).port;
  }

  /** The traces begin now. */
  play(): void {
    this.#act(() => {
      const now = this.#world.now();
      this.#follow((atMs) => now + atMs);
    });
  }

  /** Ends every connection, and takes no more. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #access(name: string): Access {
    const access = this.#accesses.get(name);
    if (access !== undefined) return access;
    const allowed = `one of ${[...this.#accesses.keys()].join(", ")}`;
    throw new InputError({ what: "node", received: JSON.stringify(name), allowed });
  }

  /** @param when says when a point of a trace comes to pass; null for not at all */
  #follow(when: (atMs: number) => number | null): void {
    const ownLineOf = (node: string): OwnLine => this.#access(node).line;
    const lineOf = (name: string): Line => this.#cells.get(name) ?? ownLineOf(name);
    const [world, network, cells] = [this.#world, this.#network, this.#cells];
    for (const trace of this.#traces) {
      const points = trace.points.flatMap(([atMs, value]) => {
        const ms = when(atMs);
        return ms === null ? [] : [[ms, value] as const];
      });
      followLine({ ...trace, points } as typeof trace, {
        lineOf,
        ownLineOf,
        cells,
        world,
        network,
      });
    }
  }

  #relay(socket: Socket, target: NetConnectOpts, from: Access, to: Access): void {
    const other = connect(target);
    const { there, back, vanish } = this.#network.open(from, to);
    let open = 2;
    for (const [source, sink, medium] of [
      [socket, other, there],
      [other, socket, back],
    ] as const) {
      this.#sockets.add(source);
      this.#carry(source, sink, medium);
      source.once("close", () => {
        this.#sockets.delete(source);
        open--;
        if (open === 0) this.#act(vanish);
      });
    }
  }

  /** Has everything that comes from one socket, its end included, arrive at another in time. */
  #carry(source: Socket, sink: Socket, medium: Medium): void {
    let underWay = 0;
    let hasEnded = false;
    const piece = (bytes: Buffer): void => {
      underWay += bytes.length;
      if (underWay > underWayBytesMax) source.pause();
      medium.carry(bytes.length, () => {
        underWay -= bytes.length;
        if (!sink.destroyed) sink.write(bytes);
        if (underWay <= underWayBytesMax && source.isPaused()) source.resume();
      });
    };
    source.on("data", (data) => {
      this.#act(() => {
        for (let at = 0; at < data.length; at += pieceBytes) {
          piece(data.subarray(at, at + pieceBytes));
        }
      });
    });
    source.once("end", () => {
      hasEnded = true;
      this.#act(() => medium.carry(0, () => sink.end()));
    });
    // An error is always followed by "close".
    source.on("error", () => {});
    source.once("close", () => {
      if (!hasEnded) this.#act(() => medium.carry(0, () => sink.resetAndDestroy()));
    });
  }

  /** Something happens now, after all that was due before. */
  #act(happen: () => void): void {
    this.#world.advance(performance.now() - this.#startedMs);
    happen();
    // What follows from it at once does not wait for a timer.
    this.#world.advance(this.#world.now());
    this.#wait();
  }

  #wait(): void {
    const { nextMs } = this.#world;
    if (nextMs >= this.#timerAtMs || nextMs === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAtMs = nextMs;
    const delayMs = nextMs - (performance.now() - this.#startedMs);
    this.#timer = setTimeout(() => this.#due(), Math.max(0, Math.round(delayMs)));
  }

  #due(): void {
    this.#timer = null;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#world.advance(performance.now() - this.#startedMs + grainMs);
    this.#wait();
  }
}
