/**
 * What must hold at every moment of a run, judged from outside: from what was recorded, what
 * is on the coordinator's disk, what the wires carried and what engines hold. None of it asks
 * the peers. A checker throws {@link Broken}, which stops the world at the event that did it.
 */
import { present } from "../../src/base/assert.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { bytesOf, type DenseTensor, dense, type Tensor } from "../../src/base/tensor.ts";
import type { Plan } from "../../src/plan/plan.ts";
import type { Decision } from "../../src/run/coordinator/journal.ts";
import type { RoundCommitted } from "../../src/run/metrics/record.ts";
import type { Pipe } from "../../src/sim/bandwidth.ts";
import type { SimDisk } from "../../src/sim/journal.ts";
import type { Carried } from "../../src/sim/network.ts";

/** Something that must never happen has happened. */
export class Broken extends Error {
  override readonly name = "Broken";
}

/** A coordinator's journal as it lies on its disk. */
export type JournalDisk = Pick<SimDisk, "entries" | "torn">;

/**
 * The committed log is one run: rounds in order and once each, terms that only grow. It is read
 * from the coordinator's disk, so a coordinator that dies before it can tell is judged as well.
 * One that has lost its disk begins anew; one whose newest checkpoint is torn goes back by a round.
 */
export class LogChecker {
  readonly #disk: () => JournalDisk;
  #read: readonly string[] = [];
  /** Ends of the stretches of the log before each round that was taken back. */
  #takenBack: number[] = [];
  #decisions: Decision[] = [];
  /** With the first round under each; a plan may come before the last round of the one before it. */
  #plans: { readonly plan: Plan; readonly round: number }[] = [];
  #term = 0;
  #rounds = 0;
  /** Batches that the longest chain of each committed round trained. */
  readonly #batches: number[] = [];
  #isEnded = false;

  constructor(disk: () => JournalDisk) {
    this.#disk = disk;
  }

  /** Rounds committed so far. */
  get rounds(): number {
    return this.#rounds;
  }

  /** What is wrong with the number of batches at the end: too few, or a round that nobody asked for; null where nothing is. */
  misjudged(asked: number): string | null {
    const trained = this.#batches.reduce((sum, batches) => sum + batches, 0);
    if (trained < asked) return `${trained} of ${asked} batches`;
    const needed = trained - (this.#batches.at(-1) ?? 0);
    return needed >= asked ? `${asked} batches were trained before the last round` : null;
  }

  /** What was decided so far, on this disk. */
  get decisions(): readonly Decision[] {
    return this.#decisions;
  }

  /** Rounds taken back so far, on this disk. */
  get timesTakenBack(): number {
    return this.#takenBack.length;
  }

  /**
   * The decisions that led to what was there between two rounds that were taken back, each
   * stretch from the beginning; the last one is all.
   */
  get histories(): readonly (readonly Decision[])[] {
    return [...this.#takenBack, this.#decisions.length].map((end) => this.#decisions.slice(0, end));
  }

  /** Looks at what is new. */
  check(): void {
    const { entries } = this.#disk();
    if (entries !== this.#read) {
      this.#read = entries;
      this.#decisions = [];
      this.#takenBack = [];
      this.#plans = [];
      [this.#term, this.#rounds, this.#isEnded] = [0, 0, false];
      this.#batches.length = 0;
    }
    for (const entry of entries.slice(this.#decisions.length)) {
      const { record } = JSON.parse(entry) as { record: Decision };
      this.#decisions.push(record);
      this.#take(record);
    }
  }

  #take(record: Decision): void {
    if (this.#isEnded && record.type !== "resumed") {
      throw new Broken(`a decision of ${record.type} after the end`);
    }
    if (record.type === "planned") {
      const { term } = record.plan;
      if (term <= this.#term) throw new Broken(`term ${term} was planned after term ${this.#term}`);
      this.#term = term;
      this.#plans.push(record);
    } else if (record.type === "resumed") {
      this.#resumed(record.round);
    } else if (record.type === "round") this.#round(record);
    else if (record.type === "ended") this.#isEnded = true;
  }

  #resumed(round: number): void {
    if (round === this.#rounds - 1 && this.#takenBack.length < this.#disk().torn) {
      this.#takenBack.push(this.#decisions.length - 1);
      this.#rounds--;
    }
    if (round !== this.#rounds) {
      throw new Broken(`resumed at round ${round} with ${this.#rounds} committed`);
    }
    this.#batches.length = this.#rounds;
    this.#plans = [];
    this.#isEnded = false;
  }

  /** What nodes made by themselves while the coordinator was away is of a plan from before it came back (R26). */
  #planOf(term: number): Plan | undefined {
    const planned = this.#decisions.flatMap((one) => (one.type === "planned" ? [one.plan] : []));
    return planned.find((plan) => plan.term === term);
  }

  #round(record: RoundCommitted): void {
    const plan =
      record.alone === undefined
        ? this.#plans.findLast(({ round }) => round <= record.round)?.plan
        : this.#planOf(record.term);
    if (plan === undefined) throw new Broken(`round ${record.round} has no plan`);
    if (record.term !== plan.term) {
      throw new Broken(`round ${record.round} is of term ${record.term}, the plan of ${plan.term}`);
    }
    if (record.round !== this.#rounds) {
      throw new Broken(`round ${record.round} was committed where ${this.#rounds} was next`);
    }
    const chains = record.participants.map(({ chain }) => chain);
    const known = plan.chains.map(({ id }) => id).filter((id) => chains.includes(id));
    if (chains.length === 0 || chains.join() !== known.join()) {
      throw new Broken(`round ${record.round} merged chains [${chains}]`);
    }
    for (const { chain } of record.dropped) {
      if (chains.includes(chain)) throw new Broken(`${chain} was merged and dropped`);
    }
    const work = batchesOf(plan);
    const rounds = 1 + (record.alone?.length ?? 0);
    this.#batches.push(rounds * Math.max(...record.participants.map(({ steps = work }) => steps)));
    this.#rounds++;
  }
}

/** Batches of a round of each chain; on average, where each takes what it manages. */
function batchesOf({ chains, groups }: Plan): number {
  if (groups[0]?.exchange?.computeMs === undefined) return chains[0]?.work ?? 0;
  return chains.reduce((sum, { work }) => sum + work, 0) / chains.length;
}

/** What a store held at some moment, and how much had been committed and taken back by then. */
interface Stored {
  readonly bytes: Uint8Array;
  readonly committed: number;
  readonly timesTakenBack: number;
}

/** Trained tensors by the number of committed rounds that they come from. */
export type States = ReadonlyMap<number, ReadonlyMap<string, Tensor>>;

/** Every version of the weights that was ever on the disk; they are judged after the replay. */
export class StoreChecker {
  readonly #files: () => ReadonlyMap<string, Uint8Array>;
  readonly #log: Pick<LogChecker, "rounds" | "timesTakenBack">;
  #disk: ReadonlyMap<string, Uint8Array> | null = null;
  #seen: Stored[] = [];

  constructor(
    files: () => ReadonlyMap<string, Uint8Array>,
    log: Pick<LogChecker, "rounds" | "timesTakenBack">,
  ) {
    this.#files = files;
    this.#log = log;
  }

  check(): void {
    const files = this.#files();
    if (files !== this.#disk) {
      this.#disk = files;
      this.#seen = [];
    }
    const bytes = files.get("weights.safetensors");
    if (bytes === undefined || bytes === this.#seen.at(-1)?.bytes) return;
    const { rounds: committed, timesTakenBack } = this.#log;
    this.#seen.push({ bytes, committed, timesTakenBack });
  }

  /**
   * Whether each version was a committed state, bit for bit; gives how many there were.
   * @param histories the states of each of {@link LogChecker.histories}
   */
  judge(histories: readonly States[]): number {
    for (const { bytes, committed, timesTakenBack } of this.#seen) {
      const { tensors, metadata } = readSafetensors(bytes);
      const rounds = Number(metadata.rounds);
      if (rounds > committed) {
        throw new Broken(`the store had round ${rounds} when ${committed} were committed`);
      }
      const state = histories[timesTakenBack]?.get(rounds);
      if (state === undefined) throw new Broken(`the store had a state of round ${rounds}`);
      for (const [name, value] of tensors) requireEqual(name, value, state.get(name), rounds);
    }
    return this.#seen.length;
  }
}

function requireEqual(
  name: string,
  value: DenseTensor,
  expected: Tensor | undefined,
  rounds: number,
): void {
  const wanted = bytesOf(dense(present(expected, name)));
  const given = bytesOf(value);
  if (Buffer.compare(Buffer.from(given), Buffer.from(wanted)) === 0) return;
  throw new Broken(`${name} after ${rounds} rounds is not what the replay of the log gives`);
}

/** A frame that has gone over a pipe. */
interface Passage {
  readonly fromMs: number;
  readonly bytes: number;
}

/** Frames that are looked at: the last one that ended, and those that began last. */
const passagesMax = 40;
/** Rates are quotients: so much of a byte may come from rounding. */
const roundingBytes = 1e-3;

/**
 * No pipe carries more than it can: over any stretch of time, frames that began and ended
 * in it had no more bytes than its rate, as it was from moment to moment, allows.
 */
export class CapacityChecker {
  /** In the order in which they began. */
  readonly #passages = new Map<Pipe, Passage[]>();
  readonly #rates = new Map<Pipe, [atMs: number, bytesPerMs: number][]>();

  /** A pipe has its rate from now on; before, it had another one. */
  rateChanged(pipe: Pipe, atMs: number, before: number): void {
    const rates = this.#rates.get(pipe) ?? [[0, before]];
    rates.push([atMs, pipe.bytesPerMs]);
    this.#rates.set(pipe, rates);
  }

  carried({ pipes, bytes, fromMs, toMs }: Carried): void {
    for (const pipe of pipes) {
      if (pipe.bytesPerMs === Number.POSITIVE_INFINITY && !this.#rates.has(pipe)) continue;
      const passages = this.#passages.get(pipe) ?? [];
      this.#passages.set(pipe, passages);
      const before = passages.findLastIndex((passage) => passage.fromMs <= fromMs);
      passages.splice(before + 1, 0, { fromMs, bytes });
      this.#judge(pipe, passages, toMs);
      if (passages.length > passagesMax) passages.shift();
    }
  }

  /** Frames end in order of time, so each stretch is judged when the last frame in it ends. */
  #judge(pipe: Pipe, passages: readonly Passage[], toMs: number): void {
    let bytes = 0;
    for (let i = passages.length - 1; i >= 0; i--) {
      const { fromMs, bytes: own } = passages[i] as Passage;
      bytes += own;
      const most = this.#capacity(pipe, fromMs, toMs) + roundingBytes;
      if (bytes > most) {
        throw new Broken(
          `${pipe.name} carried ${bytes} bytes in ${toMs - fromMs} ms; it can carry ${most}`,
        );
      }
    }
  }

  #capacity(pipe: Pipe, fromMs: number, toMs: number): number {
    const rates = this.#rates.get(pipe);
    if (rates === undefined) return pipe.bytesPerMs * (toMs - fromMs);
    let bytes = 0;
    let untilMs = toMs;
    for (let i = rates.length - 1; i >= 0 && untilMs >= fromMs; i--) {
      const [atMs, rate] = rates[i] as [number, number];
      const ms = untilMs - Math.max(fromMs, atMs);
      // A wire that limits nothing carries anything in no time.
      if (ms >= 0 && rate === Number.POSITIVE_INFINITY) return rate;
      if (ms > 0) bytes += rate * ms;
      untilMs = Math.min(untilMs, atMs);
    }
    return bytes;
  }
}
