/**
 * Virtual time: a queue of events ordered by time, then by order of creation.
 * Nothing happens between events, so a run is a function of its inputs and takes
 * as long as its events take to compute, not as long as it claims.
 *
 * An event may carry a promise: a computation that is under way for real while
 * its duration is virtual. The driver awaits it when its virtual time has come;
 * the order of events never depends on when a promise settles.
 */
import { assert, present } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { Heap } from "../base/heap.ts";
import type { Cancel, Done, Outcome } from "../run/host.ts";

/** When things happen to a peer; the world itself is one. */
export interface Clock {
  /** What the peer's own clock shows, in milliseconds. */
  now(): number;
  /** Milliseconds that have really passed, whatever clocks show. */
  elapsed(): number;
  after(delayMs: number, fire: () => void): Cancel;
  /** Hands over the result of a real computation when so much time has passed in all. */
  complete<T>(elapsedMs: number, result: Promise<T>, done: Done<T>): void;
}

interface Event {
  readonly atMs: number;
  readonly id: number;
  /** What has to settle first; null where nothing has. */
  pending: Promise<void> | null;
  fire: (() => void) | null;
}

export class World implements Clock {
  #nowMs = 0;
  #nextId = 0;
  readonly #events = new Heap<Event>((a, b) => a.atMs - b.atMs || a.id - b.id);

  now(): number {
    return this.#nowMs;
  }

  /** The same: this clock never jumps. */
  elapsed(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): Cancel {
    return this.at(this.#nowMs + delayMs, fire);
  }

  /** Calls `fire` at a virtual time that is not in the past. */
  at(atMs: number, fire: () => void): Cancel {
    const event = this.#push(atMs, fire);
    return () => {
      event.fire = null;
    };
  }

  /** Hands over the result of a real computation at a virtual time. */
  complete<T>(atMs: number, result: Promise<T>, done: Done<T>): void {
    let outcome: Outcome<T> | null = null;
    const event = this.#push(atMs, () => {
      assert(outcome !== null, "a completion fired before its result was there");
      done(outcome);
    });
    const settle = (settled: Outcome<T>): void => {
      outcome = settled;
      event.pending = null;
    };
    event.pending = result.then(
      (value) => settle({ ok: true, value }),
      (error: unknown) => settle({ ok: false, error: messageOf(error) }),
    );
  }

  /** The driver: fires events in order until `isOver`, asked before each, or nothing is left. */
  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const event = this.#events.pop();
      if (event === undefined) return;
      if (event.fire === null) continue;
      if (event.pending !== null) await event.pending;
      this.#nowMs = event.atMs;
      event.fire();
    }
  }

  /** When the next event is due; infinite where there is none. */
  get nextMs(): number {
    return this.#events.peek()?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Drives it by another clock: fires what is due until then, in order, and then it is that time. A
   * time that has passed changes nothing. Events may not wait for computations.
   */
  advance(toMs: number): void {
    while (this.nextMs <= toMs) {
      const { pending, atMs, fire } = present(this.#events.pop(), "an event that is due");
      assert(
        pending === null,
        "an event that waits for a computation, in a world that cannot wait",
      );
      this.#nowMs = atMs;
      fire?.();
    }
    this.#nowMs = Math.max(this.#nowMs, toMs);
  }

  #push(atMs: number, fire: () => void): Event {
    assert(atMs >= this.#nowMs, `an event at ${atMs} ms, but it is ${this.#nowMs} ms already`);
    const event: Event = { atMs, id: this.#nextId++, pending: null, fire };
    this.#events.push(event);
    return event;
  }
}
