/**
 * What one client may take of a server before anybody knows whether it is welcome,
 * and how fast a member may talk. The numbers stand in `docs/security.md`.
 */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";

/** Limits of a server's edge. */
export interface EdgeLimits {
  /** Connections open from one address; a whole fleet may sit behind one router. */
  readonly perAddress: number;
  /** Connections that have not shown a good token, over all addresses. */
  readonly strangers: number;
  /** Time to show one. */
  readonly silenceMs: number;
  /** Bytes that may come before. */
  readonly greetingBytes: number;
  /** Messages a second over a longer time, and at once; who sends more is read more slowly. */
  readonly messagesPerSecond: number;
  readonly messagesAtOnce: number;
}

/** Limits for a run with so many devices: all of them may come at once, from one address. */
export const edgeLimits = (devices: number): EdgeLimits => ({
  perAddress: 64 + 4 * devices,
  strangers: 64 + 2 * devices,
  silenceMs: 10_000,
  greetingBytes: 16 * 1024,
  messagesPerSecond: 2_000,
  messagesAtOnce: 10_000,
});

/** Counts open connections by address, and cuts off those beyond the limit. */
export class AddressCount {
  readonly #max: number;
  readonly #open = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Counts a connection until it closes; one too many is closed at once, and true is returned. */
  isTooMany(socket: Socket): boolean {
    const address = socket.remoteAddress ?? "";
    const count = (this.#open.get(address) ?? 0) + 1;
    if (count > this.#max) {
      socket.destroy();
      return true;
    }
    this.#open.set(address, count);
    socket.once("close", () => {
      const left = (this.#open.get(address) ?? 1) - 1;
      if (left === 0) this.#open.delete(address);
      else this.#open.set(address, left);
    });
    return false;
  }
}

/** A token bucket: fills at a steady rate, and is emptied by what it counts. */
class Bucket {
  readonly #perMs: number;
  readonly #capacity: number;
  #level: number;
  #atMs: number;

  /** @param capacity what it holds at most, and at first */
  constructor(perSecond: number, capacity: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#capacity = capacity;
    this.#level = capacity;
    this.#atMs = nowMs;
  }

  /** Takes one out. @returns milliseconds after which as much has come in as was taken; 0 for now */
  take(nowMs: number): number {
    const filled = this.#level + (nowMs - this.#atMs) * this.#perMs;
    this.#level = Math.min(this.#capacity, filled) - 1;
    this.#atMs = nowMs;
    return this.#level >= 0 ? 0 : -this.#level / this.#perMs;
  }
}

/** Reads on more slowly from who sends more messages than the limit: nobody honest is cut off by it. */
export function readAtMost(
  socket: WebSocket,
  { messagesPerSecond, messagesAtOnce }: Pick<EdgeLimits, "messagesPerSecond" | "messagesAtOnce">,
): void {
  const bucket = new Bucket(messagesPerSecond, messagesAtOnce, performance.now());
  socket.on("message", () => {
    const waitMs = bucket.take(performance.now());
    if (waitMs === 0 || socket.isPaused) return;
    socket.pause();
    setTimeout(() => socket.resume(), waitMs).unref();
  });
}
