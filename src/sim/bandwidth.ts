/**
 * Who gets how much of which wire. Transfers that are under way at the same moment share
 * pipes by max-min fairness, as long-lived TCP connections roughly do: every transfer gets
 * as much as the others on its narrowest pipe, and what one cannot use goes to the rest
 * (Bertsekas and Gallager, "Data Networks", 2nd ed., 1992, section 6.5.2: progressive filling).
 *
 * Rates are found anew where something begins, ends or changes, and only for the transfers
 * that this reaches. Rates are max-min fair just where each transfer has a pipe that holds it back:
 * one that is full, and on which nobody gets more. So those are freed whose pipe has changed, they
 * get what all others leave, and whoever is not held back any more by that, or gets too much, is
 * freed as well, until nobody is. A change in one place of a fleet of a thousand is then as cheap as
 * in one of ten. A pipe that could carry all of its transfers at the speed of their other pipes holds
 * nobody back, and is not looked at: ten thousand devices, each on a wire of its own, are as cheap as one.
 */
import { Heap } from "../base/heap.ts";

/** A wire, one way: a node's own access, or a cell that many share. */
export class Pipe {
  readonly name: string;
  /** What it has for transfers whose rates are being found; null at all other times. */
  share: Share | null = null;
  /** Transfers that want to go through it now, with what each could bring by its other pipes. */
  readonly #active = new Map<Transfer, number>();
  #bytesPerMs: number;
  /** Sum of what they could bring; those that nothing else limits are counted apart. */
  #brought = 0;
  #unlimited = 0;

  /** @param bytesPerMs infinite where the wire limits nothing, 0 where nothing passes */
  constructor(name: string, bytesPerMs: number) {
    this.name = name;
    this.#bytesPerMs = bytesPerMs;
  }

  get bytesPerMs(): number {
    return this.#bytesPerMs;
  }

  /** Transfers that want to go through it now. */
  get active(): Iterable<Transfer> {
    return this.#active.keys();
  }

  setRate(bytesPerMs: number): void {
    const transfers = [...this.active];
    this.#bytesPerMs = bytesPerMs;
    for (const transfer of transfers) {
      for (const pipe of transfer.pipes) if (pipe !== this) pipe.#enter(transfer);
    }
  }

  /** Whether it can hold anybody back: its transfers could bring more than it carries. */
  get canBind(): boolean {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY || this.#active.size < 2) return false;
    return this.#unlimited > 0 || this.#brought > this.#bytesPerMs * (1 - rounding);
  }

  /** A transfer has become active: it enters all of its pipes. */
  static enter(transfer: Transfer): void {
    for (const pipe of transfer.pipes) pipe.#enter(transfer);
  }

  /** A transfer is active no more. */
  static leave(transfer: Transfer): void {
    for (const pipe of transfer.pipes) pipe.#leave(transfer);
  }

  #enter(transfer: Transfer): void {
    this.#leave(transfer);
    const rate = leastRate(transfer, this);
    this.#active.set(transfer, rate);
    if (rate === Number.POSITIVE_INFINITY) this.#unlimited++;
    else this.#brought += rate;
  }

  #leave(transfer: Transfer): void {
    const rate = this.#active.get(transfer);
    if (rate === undefined) return;
    this.#active.delete(transfer);
    if (rate === Number.POSITIVE_INFINITY) this.#unlimited--;
    // Sums that go up and down gather rounding: an idle wire starts anew.
    else this.#brought = this.#active.size === 0 ? 0 : this.#brought - rate;
  }
}

/**
 * Sums of rates may be off by this share. To take a wire for narrow that is not costs nothing but time; rates
 * that are fair but for this are left as they are.
 */
const rounding = 1e-9;

/** One direction of a connection as far as bandwidth goes. */
export interface Transfer {
  readonly pipes: readonly Pipe[];
  /** Its fair share while it is active, in bytes per millisecond: as {@link FairShares} has found it last. */
  fairRate: number;
  /** The pipe that lets it have no more; null where none limits it. */
  heldBy: Pipe | null;
  /** Whether its rate is being found. */
  isOpen: boolean;
}

/** The rate of the narrowest pipe of a transfer, but one. */
function leastRate({ pipes }: Transfer, but: Pipe): number {
  let least = Number.POSITIVE_INFINITY;
  for (const pipe of pipes) {
    if (pipe !== but && pipe.bytesPerMs < least) least = pipe.bytesPerMs;
  }
  return least;
}

/** Max-min fair rates of all active transfers, kept up as they come and go. */
export class FairShares {
  /** Whoever gets a rate anew, and pipes that could hold somebody back before they changed. */
  readonly #changed = new Set<Transfer>();
  readonly #disturbed = new Set<Pipe>();

  /** Whether rates have to be found anew. */
  get isDue(): boolean {
    return this.#changed.size > 0 || this.#disturbed.size > 0;
  }

  /** A transfer has become active. @returns whether it has its rate already: it shares nothing that is short */
  enter(transfer: Transfer): boolean {
    Pipe.enter(transfer);
    if (transfer.pipes.some((pipe) => pipe.canBind)) {
      this.#changed.add(transfer);
      return false;
    }
    limitAlone(transfer);
    return true;
  }

  /** A transfer is active no more. */
  leave(transfer: Transfer): void {
    this.#disturb(transfer);
    this.#changed.delete(transfer);
    Pipe.leave(transfer);
  }

  /** Changes what a pipe carries. */
  setRate(pipe: Pipe, bytesPerMs: number): void {
    for (const transfer of pipe.active) {
      this.#changed.add(transfer);
      this.#disturb(transfer);
    }
    pipe.setRate(bytesPerMs);
  }

  /** Finds rates anew. @returns whose rates may have changed */
  settle(): readonly Transfer[] {
    const open: Transfer[] = [];
    for (const transfer of this.#changed) {
      openUp(transfer, open);
      // Whoever enters takes from those that its pipes hold back.
      for (const pipe of transfer.pipes) if (pipe.canBind) this.#disturbed.add(pipe);
    }
    for (const pipe of this.#disturbed) {
      for (const transfer of pipe.active) if (transfer.heldBy === pipe) openUp(transfer, open);
    }
    this.#changed.clear();
    this.#disturbed.clear();
    const shares: Share[] = [];
    for (let listed = 0; listed < open.length; ) {
      for (; listed < open.length; listed++) enlist(open[listed] as Transfer, shares);
      fill(open, shares);
      for (const share of shares) if (share.pipe.canBind) free(share, open);
    }
    for (const transfer of open) transfer.isOpen = false;
    for (const { pipe } of shares) pipe.share = null;
    return open;
  }

  /** The pipe is noted and not its transfers: of many that leave at one moment, each would note all others. */
  #disturb({ pipes }: Transfer): void {
    for (const pipe of pipes) if (pipe.canBind) this.#disturbed.add(pipe);
  }
}

/** Adds a transfer to the open ones, where it is not among them. */
function openUp(transfer: Transfer, open: Transfer[]): void {
  if (transfer.isOpen) return;
  transfer.isOpen = true;
  open.push(transfer);
}

/** A transfer that shares nothing that is short gets what its narrowest pipe carries. */
function limitAlone(transfer: Transfer): void {
  transfer.fairRate = Number.POSITIVE_INFINITY;
  transfer.heldBy = null;
  for (const pipe of transfer.pipes) {
    if (pipe.bytesPerMs >= transfer.fairRate) continue;
    transfer.fairRate = pipe.bytesPerMs;
    transfer.heldBy = pipe;
  }
}

/** What a pipe has left for open transfers, of which some are not settled yet. */
interface Share {
  readonly pipe: Pipe;
  readonly transfers: Transfer[];
  /** What those leave that are not open, and whether one of them has been opened since that was found. */
  room: number;
  isOutdated: boolean;
  left: number;
  waiting: number;
  /** What each of those that waited would have got as it was last looked at: no more than now. */
  equal: number;
}

function enlist(transfer: Transfer, shares: Share[]): void {
  for (const pipe of transfer.pipes) {
    if (pipe.bytesPerMs === Number.POSITIVE_INFINITY) continue;
    if (pipe.share === null) {
      const none = { room: 0, isOutdated: true, left: 0, waiting: 0, equal: 0 };
      pipe.share = { pipe, transfers: [], ...none };
      shares.push(pipe.share);
    }
    pipe.share.transfers.push(transfer);
    pipe.share.isOutdated = true;
  }
}

/**
 * Progressive filling of open transfers, where all others keep what they have: the pipe with the smallest equal
 * share settles its transfers, until all are.
 */
function fill(open: readonly Transfer[], shares: readonly Share[]): void {
  for (const transfer of open) {
    // Until a pipe settles it; none does where all of its pipes are without a limit.
    transfer.fairRate = Number.POSITIVE_INFINITY;
    transfer.heldBy = null;
  }
  const queue = new Heap<Share>((a, b) => a.equal - b.equal);
  for (const share of shares) {
    if (share.isOutdated) share.room = roomIn(share.pipe);
    share.isOutdated = false;
    share.left = share.room;
    share.waiting = share.transfers.length;
    share.equal = share.left / share.waiting;
    queue.push(share);
  }
  for (let share = queue.pop(); share !== undefined; share = queue.pop()) {
    if (share.waiting === 0) continue;
    const equal = share.left / share.waiting;
    if (equal > share.equal) {
      share.equal = equal;
      queue.push(share);
    } else settle(share, equal);
  }
}

/** Gives everybody who waits at a pipe so much. */
function settle({ pipe, transfers }: Share, bytesPerMs: number): void {
  for (const transfer of transfers) {
    if (transfer.heldBy !== null) continue;
    transfer.fairRate = bytesPerMs;
    transfer.heldBy = pipe;
    for (const { share } of transfer.pipes) {
      if (share === null) continue;
      share.waiting--;
      share.left = Math.max(0, share.left - bytesPerMs);
    }
  }
}

/** What a pipe has beside transfers that are not open. */
function roomIn(pipe: Pipe): number {
  let room = pipe.bytesPerMs;
  if (!pipe.canBind) return room;
  for (const other of pipe.active) if (!other.isOpen) room -= other.fairRate;
  return Math.max(0, room);
}

/** Opens those whose rates are not fair beside what the open ones have got. */
function free({ pipe, transfers }: Share, open: Transfer[]): void {
  let [used, most, isWhole] = [0, 0, true];
  for (const { fairRate, isOpen } of pipe.active) {
    used += fairRate;
    if (fairRate > most) most = fairRate;
    if (!isOpen) isWhole = false;
  }
  if (isWhole) return;
  const held = transfers.find(({ heldBy }) => heldBy === pipe);
  const atMost = held === undefined ? Number.POSITIVE_INFINITY : held.fairRate * (1 + rounding);
  const isFull = used >= pipe.bytesPerMs * (1 - rounding);
  for (const other of pipe.active) {
    if (other.isOpen) continue;
    const { fairRate, heldBy } = other;
    // Who is held back here has to get as much as anybody, and the pipe has to be full.
    const isHeld = isFull && fairRate >= most * (1 - rounding);
    if (fairRate > atMost || (heldBy === pipe && !isHeld)) openUp(other, open);
  }
}
