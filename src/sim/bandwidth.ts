/**
 * Who gets how much of which wire. Transfers that are under way at the same moment share
 * pipes by max-min fairness, as long-lived TCP connections roughly do: every transfer gets
 * as much as the others on its narrowest pipe, and what one cannot use goes to the rest
 * (Bertsekas and Gallager, "Data Networks", 2nd ed., 1992, section 6.5.2: progressive filling).
 *
 * Rates are found anew where something begins, ends or changes, and only for the transfers
 * that this can reach: a pipe that could carry all of its transfers at the speed of their
 * other pipes holds nobody back, so nothing spreads through it. That keeps ten thousand
 * devices, each on a wire of its own, as cheap as one.
 */
import { present } from "../base/assert.ts";

/** A wire, one way: a node's own access, or a cell that many share. */
export class Pipe {
  readonly name: string;
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

/** Sums of rates may be off by this share; to take a wire for narrow that is not costs nothing but time. */
const rounding = 1e-9;

/** One direction of a connection as far as bandwidth goes. */
export interface Transfer {
  readonly pipes: readonly Pipe[];
}

/** The rate of the narrowest pipe of a transfer, but one. */
export function leastRate({ pipes }: Transfer, but: Pipe | null = null): number {
  let least = Number.POSITIVE_INFINITY;
  for (const pipe of pipes) {
    if (pipe !== but && pipe.bytesPerMs < least) least = pipe.bytesPerMs;
  }
  return least;
}

/** The transfers of `changed` with all whose rates hang together with theirs, group by group. */
export function coupledGroups(changed: Iterable<Transfer>): Transfer[][] {
  const groups: Transfer[][] = [];
  const reached = new Set<Transfer>();
  const seen = new Set<Pipe>();
  for (const first of changed) {
    if (reached.has(first)) continue;
    reached.add(first);
    const group = [first];
    // A list that grows while it is walked is walked to its new end.
    for (const { pipes } of group) {
      for (const pipe of pipes) {
        if (seen.has(pipe)) continue;
        seen.add(pipe);
        if (!pipe.canBind) continue;
        for (const other of pipe.active) {
          if (reached.has(other)) continue;
          reached.add(other);
          group.push(other);
        }
      }
    }
    groups.push(group);
  }
  return groups;
}

/** What a pipe has left, and for how many transfers that are not settled yet. */
interface Share {
  left: number;
  waiting: number;
}

/**
 * Max-min fair rates of a group of active transfers. Progressive filling: whoever cannot use an
 * equal share of any common pipe is settled at what its own pipes carry, else the common pipe
 * with the smallest equal share settles its transfers, until all are.
 */
export function fairRates(group: readonly Transfer[]): Map<Transfer, number> {
  const rates = new Map<Transfer, number>();
  const [first] = group;
  if (group.length === 1 && first !== undefined) return rates.set(first, leastRate(first));
  const shares = new Map<Pipe, Share>();
  for (const { pipes } of group) {
    for (const pipe of pipes) {
      const share = shares.get(pipe);
      if (share === undefined) shares.set(pipe, { left: pipe.bytesPerMs, waiting: 1 });
      else share.waiting++;
    }
  }
  for (const [pipe, { waiting }] of shares) if (waiting === 1) shares.delete(pipe);
  const own = new Map<Transfer, number>();
  for (const transfer of group) own.set(transfer, ownRate(transfer, shares));
  let open = group;
  while (open.length > 0) {
    let least = Number.POSITIVE_INFINITY;
    for (const { left, waiting } of shares.values()) {
      if (waiting > 0) least = Math.min(least, left / waiting);
    }
    const rateOf = (transfer: Transfer): number => present(own.get(transfer), "a rate of its own");
    let settled = open.filter((transfer) => rateOf(transfer) <= least);
    if (settled.length === 0) {
      settled = open.filter(({ pipes }) => pipes.some((pipe) => shareOf(shares, pipe) <= least));
    }
    for (const transfer of settled) {
      const rate = Math.min(rateOf(transfer), least);
      rates.set(transfer, rate);
      for (const pipe of transfer.pipes) {
        const share = shares.get(pipe);
        if (share === undefined) continue;
        share.waiting--;
        if (rate < Number.POSITIVE_INFINITY) share.left = Math.max(0, share.left - rate);
      }
    }
    open = open.filter((transfer) => !rates.has(transfer));
  }
  return rates;
}

const shareOf = (shares: ReadonlyMap<Pipe, Share>, pipe: Pipe): number => {
  const share = shares.get(pipe);
  return share === undefined ? Number.POSITIVE_INFINITY : share.left / share.waiting;
};

/** What the pipes carry that no other transfer of the group goes through. */
function ownRate({ pipes }: Transfer, shared: ReadonlyMap<Pipe, Share>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const pipe of pipes) if (!shared.has(pipe)) least = Math.min(least, pipe.bytesPerMs);
  return least;
}
