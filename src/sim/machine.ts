/**
 * A machine in virtual time: it runs one peer, and things happen to it. It crashes and starts
 * again, with its disk or without; it stands still, like a laptop whose lid is closed; its
 * clock jumps. Whatever its peer hears of the world comes through a {@link Life}: the
 * stretch from a start to the next crash. A life that is over hears nothing, and one that
 * stands still hears it all when it goes on, in order.
 */
import type { Cancel, Done, Frame, Link, Outcome } from "../run/host.ts";
import { emptyDisk, type SimDisk, tear } from "./journal.ts";
import { type Access, latencyBetween, type Network } from "./network.ts";
import type { Clock, World } from "./world.ts";

/** From a start of a machine to its next crash. */
export class Life implements Clock {
  readonly #world: World;
  #isOver = false;
  #isStill = false;
  #waiting: (() => void)[] = [];
  /** How far this machine's clock is ahead of the world's. */
  #aheadMs = 0;
  readonly connections = new Set<Connection>();

  constructor(world: World) {
    this.#world = world;
  }

  now(): number {
    return this.#world.now() + this.#aheadMs;
  }

  elapsed(): number {
    return this.#world.now();
  }

  after(delayMs: number, fire: () => void): Cancel {
    let isCancelled = false;
    const cancel = this.#world.after(delayMs, () => {
      // What waits while the machine stands still may be cancelled by what is heard before it.
      this.hear(() => {
        if (!isCancelled) fire();
      });
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  complete<T>(elapsedMs: number, result: Promise<T>, done: Done<T>): void {
    this.#world.complete(elapsedMs, result, (outcome) => this.hear(() => done(outcome)));
  }

  /** Something reaches the peer: now, when it goes on, or never. */
  hear(fire: () => void): void {
    if (this.#isOver) return;
    if (this.#isStill) this.#waiting.push(fire);
    else fire();
  }

  stop(): void {
    this.#isStill = true;
  }

  goOn(): void {
    this.#isStill = false;
    // What is heard may stop or end this life again.
    while (!this.#isStill && !this.#isOver) {
      const fire = this.#waiting.shift();
      if (fire === undefined) return;
      fire();
    }
  }

  jump(ms: number): void {
    this.#aheadMs += ms;
  }

  end(): void {
    this.#isOver = true;
    this.#waiting = [];
  }
}

interface Connection {
  readonly link: Link;
  readonly to: Machine;
  /** Lets nothing pass any more, either way. */
  readonly vanish: () => void;
  /** This side hears that it is broken. */
  readonly reset: () => void;
}

/** A peer on a machine, as the machine sees it. */
export interface Peer {
  /** Takes a connection that another machine has dialled. */
  accept?(link: Link): void;
  /** Is told that the machine will be taken away after so long. */
  giveNotice?(withinMs: number): void;
  /** Somebody starts the same peer once more beside it. */
  startTwin?(isSame: boolean): void;
}

/** What survives a crash, unless the disk is lost with it. */
export interface Disk {
  readonly files: Map<string, Uint8Array>;
  readonly journal: SimDisk;
}

const emptied = (): Disk => ({ files: new Map(), journal: emptyDisk() });

/** What a peer is started with. */
export interface Start {
  readonly clock: Clock;
  /** What is on the disk: what survived, on a second start. */
  readonly disk: Disk;
  /** Counts the starts, from 1. */
  readonly starts: number;
  /** Milliseconds of computing stretch to so many times as long at the moment. */
  readonly slowness: () => number;
  /** Connects to another machine. */
  dial(to: Machine, done: Done<Link>): void;
}

/** How a peer ends that is not asked. */
export interface Crash {
  readonly isSilent?: boolean;
  readonly losesDisk?: boolean;
  readonly tearsDisk?: boolean;
}

/** How long a dial waits for an answer. */
const dialMs = 10_000;

export class Machine {
  readonly name: string;
  readonly access: Access;
  /** How fast it computes, as a share of its profile's speed. */
  speed = 1;
  readonly #slowdowns: number[] = [];
  readonly #network: Network;
  readonly #start: (start: Start) => Peer;
  #disk = emptied();
  #life: Life | null = null;
  #peer: Peer | null = null;
  #starts = 0;
  /** Several reasons to stand still may overlap. */
  #stops = 0;

  /** @param start makes the peer; called again after each crash that the machine comes back from */
  constructor(network: Network, access: Access, start: (start: Start) => Peer) {
    this.name = access.name;
    this.access = access;
    this.#network = network;
    this.#start = start;
  }

  get isOn(): boolean {
    return this.#life !== null;
  }

  /** How many times it was started. */
  get starts(): number {
    return this.#starts;
  }

  /** What is on its disk. */
  get disk(): Disk {
    return this.#disk;
  }

  /** Starts the peer on what the disk holds; nothing happens where it runs already. */
  boot(): void {
    if (this.#life !== null) return;
    const life = new Life(this.#network.world);
    this.#life = life;
    this.#starts++;
    if (this.#stops > 0) life.stop();
    life.hear(() => {
      this.#peer = this.#start({
        clock: life,
        disk: this.#disk,
        starts: this.#starts,
        slowness: () => this.#slowdowns.reduce((product, by) => product * by, 1 / this.speed),
        dial: (to, done) => this.#dial(life, to, done),
      });
    });
  }

  /**
   * Ends the peer between two events. Where only its process dies, the system closes its
   * connections; where the power fails (`isSilent`), nobody is told.
   */
  crash({ isSilent = false, losesDisk = false, tearsDisk = false }: Crash = {}): void {
    const life = this.#life;
    if (losesDisk) this.#disk = emptied();
    if (tearsDisk) tear(this.#disk.journal);
    if (life === null) return;
    life.end();
    for (const { link, vanish } of life.connections) {
      if (isSilent) vanish();
      else link.close();
    }
    this.#life = null;
    this.#peer = null;
  }

  /** Breaks the connections with another machine: what is under way is lost, and both sides hear of it. */
  reset(other: Machine): void {
    for (const [machine, peer] of [
      [this, other],
      [other, this],
    ] as const) {
      for (const { to, vanish, reset } of [...(machine.#life?.connections ?? [])]) {
        if (to !== peer) continue;
        vanish();
        reset();
      }
    }
  }

  /** Tells the peer that the machine will be taken away after so long. */
  giveNotice(withinMs: number): void {
    this.#life?.hear(() => this.#peer?.giveNotice?.(withinMs));
  }

  /** Has somebody start the peer a second time beside the first; see `SimTwin`. */
  startTwin(isSame: boolean): void {
    this.#life?.hear(() => this.#peer?.startTwin?.(isSame));
  }

  /** Stands still until the answer is called: timers and messages wait. */
  pause(): Cancel {
    this.#stops++;
    this.#life?.stop();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#stops--;
      if (this.#stops === 0) this.#life?.goOn();
    };
  }

  /** Computes so many times as slowly until the answer is called. */
  slow(factor: number): Cancel {
    this.#slowdowns.push(factor);
    return () => {
      const at = this.#slowdowns.indexOf(factor);
      if (at >= 0) this.#slowdowns.splice(at, 1);
    };
  }

  /** The clock goes ahead by so much at once, as after a sleep that timers did not notice. */
  jump(ms: number): void {
    this.#life?.jump(ms);
  }

  #dial(life: Life, to: Machine, done: Done<Link>): void {
    const { world } = this.#network;
    const roundTripMs = 2 * latencyBetween(this.access, to.access);
    const answer = (atMs: number, outcome: Outcome<Link>): void => {
      world.at(atMs, () => life.hear(() => done(outcome)));
    };
    world.at(world.now() + roundTripMs, () => {
      const now = world.now();
      if (!this.#network.reaches(this.access, to.access)) {
        return answer(now + dialMs, { ok: false, error: `no answer from ${to.name}` });
      }
      const there = to.#life;
      if (there === null)
        return answer(now, { ok: false, error: `${to.name} refused the connection` });
      const { near, far, vanish } = this.#network.connect(this.access, to.access);
      let open = 2;
      const onClosed = (): void => {
        open--;
        if (open === 0) vanish();
      };
      const link = heardBy(life, { inner: near, to, vanish, onClosed });
      const other = heardBy(there, { inner: far, to: this, vanish, onClosed });
      there.hear(() => {
        if (to.#peer?.accept === undefined) other.close();
        else to.#peer.accept(other);
      });
      life.hear(() => done({ ok: true, value: link }));
    });
  }
}

/** A link's end as a peer has it: what it hears of it comes through its life. */
function heardBy(
  life: Life,
  {
    inner,
    to,
    vanish,
    onClosed,
  }: Omit<Connection, "link" | "reset"> & {
    readonly inner: Link;
    readonly onClosed: () => void;
  },
): Link {
  const reset = (): void => {
    const { onClose } = inner;
    inner.onFrame = () => {};
    inner.onClose = () => {};
    onClose("the connection was reset");
  };
  const connection = { link: inner, to, vanish, reset };
  life.connections.add(connection);
  const link: Link = {
    send: (frame: Frame) => inner.send(frame),
    close: () => inner.close(),
    onFrame: () => {},
    onClose: () => {},
  };
  inner.onFrame = (frame) => life.hear(() => link.onFrame(frame));
  inner.onClose = (reason) => {
    life.connections.delete(connection);
    onClosed();
    life.hear(() => link.onClose(reason));
  };
  return link;
}
