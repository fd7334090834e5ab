/**
 * The sending half of a channel: a queue of frames that leave in order, in chunks, at
 * the pace of a share of the bandwidth and no faster than the receiver takes them in.
 *
 * Pacing is store-and-forward: a message leaves when a link of the given rate would
 * have carried its last byte; what a late timer lost is made up for. Never more than a window is
 * under way that the receiver has not consumed, so sockets hold little, whatever waits here.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Cancel, Frame, Host } from "../host.ts";
import { Lateness } from "../lateness.ts";
import type { PacedTraffic } from "../metrics/record.ts";
import { Cutter, chunkBytesMax, chunkBytesMin } from "./chunks.ts";
import type { AchievedRate } from "./estimates.ts";
import { chunkHeadBytes, frameBytes } from "./frame.ts";

/** A chunk keeps its link busy for so long, within the limits of chunks. */
const chunkMs = 200;
/** What a window holds, within its limits: so much time at the link's rate, and two round trips. */
const windowMs = 1_000;
const windowBytesMin = 4 * (chunkBytesMin + chunkHeadBytes);
/** Most bytes under way that the receiver has not consumed. */
export const windowBytesMax = 4 * chunkBytesMax;
/** Producers hold back while more than so much waits. */
const queueBytesMax = windowBytesMax;

export interface SenderOptions {
  readonly host: Host;
  readonly rate: AchievedRate;
  /** Least round trip of the link, as far as it is known. */
  readonly rttMs: () => number | null;
  /** Puts a message on the link. */
  readonly transmit: (message: Frame) => void;
  /** Called when a paced message has left: from when on its bytes were leaving, and for how long. */
  readonly onPaced: (fromMs: number, ms: number) => void;
  /** Called when everything has left. */
  readonly onEmpty: () => void;
}

interface Waiting {
  readonly cutter: Cutter;
  /** Told once that the frame waits no more: it has left, or it never will. */
  readonly onGone: () => void;
}

interface Leaving {
  readonly message: Frame;
  readonly bytes: number;
  readonly fromMs: number;
  readonly isPaced: boolean;
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #lateness = new Lateness();
  #bytesPerMs: number | null = null;
  #queue: Waiting[] = [];
  #queuedBytes = 0;
  /** The message whose turn it is. */
  #next: Leaving | null = null;
  #timer: Cancel | null = null;
  /** When the last byte of everything sent so far has left, by the pace. */
  #clearAtMs = 0;
  #sent = 0;
  #received = 0;
  #consumed = 0;
  #progressMs = 0;
  #pacedBytes = 0;
  #pacedMs = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** Bytes of frames that wait to leave. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether more waits than a producer should add to. */
  get isFull(): boolean {
    return this.#queuedBytes > queueBytesMax;
  }

  get paced(): PacedTraffic {
    return { bytes: this.#pacedBytes, ms: this.#pacedMs };
  }

  /** For how long the receiver has consumed nothing of what is under way; 0 when nothing is. */
  stalledMs(): number {
    return this.#sent === this.#consumed ? 0 : this.#options.host.now() - this.#progressMs;
  }

  /** Sets the pace; null sends without. The message whose turn it is keeps its time. */
  setRate(bytesPerMs: number | null): void {
    this.#bytesPerMs = bytesPerMs;
  }

  push(frame: Frame, onGone: () => void): void {
    if (this.isEmpty) this.#options.rate.startBurst(this.#sent);
    this.#queue.push({ cutter: new Cutter(frame), onGone });
    this.#queuedBytes += frameBytes(frame);
    this.#pump();
  }

  /**
   * The receiver has had, and has consumed, so many bytes in all.
   * @throws ProtocolError where that cannot be
   */
  acknowledge(received: number, consumed: number): void {
    const isPossible =
      consumed <= received &&
      received <= this.#sent &&
      received >= this.#received &&
      consumed >= this.#consumed;
    if (!isPossible) {
      throw new ProtocolError(
        `acknowledged ${received} bytes, ${consumed} consumed, of ${this.#sent} ` +
          `(before: ${this.#received} and ${this.#consumed})`,
      );
    }
    const now = this.#options.host.now();
    if (consumed > this.#consumed) this.#progressMs = now;
    if (received > this.#received) this.#options.rate.arrived(received, now);
    this.#received = received;
    this.#consumed = consumed;
    this.#pump();
  }

  /** The link is gone: nothing leaves any more. */
  stop(): void {
    this.#timer?.();
    this.#next = null;
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const { onGone } of queue) onGone();
  }

  /** Sends until the pace, the window or the end of the queue says to wait. */
  #pump(): void {
    while (this.#timer === null) {
      const first = this.#queue[0];
      if (first === undefined) return this.#options.onEmpty();
      if (this.#next === null) {
        this.#next = this.#cut(first.cutter);
        const waitMs = this.#clearAtMs - this.#options.host.now();
        if (waitMs > 0) return this.#wait(waitMs);
      }
      const underWay = this.#sent - this.#consumed;
      if (underWay > 0 && underWay + this.#next.bytes > this.#windowBytes()) return;
      this.#transmit(this.#next, first);
    }
  }

  #cut(cutter: Cutter): Leaving {
    const before = cutter.rest;
    const message = cutter.next(this.#chunkBytes());
    this.#queuedBytes -= before - cutter.rest;
    const bytes = frameBytes(message);
    const durationMs = this.#bytesPerMs === null ? 0 : bytes / this.#bytesPerMs;
    const fromMs = Math.max(this.#options.host.now(), this.#clearAtMs);
    this.#clearAtMs = fromMs + this.#lateness.shortened(durationMs);
    return { message, bytes, fromMs, isPaced: this.#bytesPerMs !== null };
  }

  #wait(ms: number): void {
    const { host } = this.#options;
    this.#timer = host.after(ms, () => {
      this.#timer = null;
      this.#lateness.add(host.now() - this.#clearAtMs);
      this.#pump();
    });
  }

  #transmit({ message, bytes, fromMs, isPaced }: Leaving, { cutter, onGone }: Waiting): void {
    const { host, transmit, onPaced } = this.#options;
    this.#next = null;
    if (cutter.rest === 0) this.#queue.shift();
    if (this.#sent === this.#consumed) this.#progressMs = host.now();
    this.#sent += bytes;
    transmit(message);
    if (isPaced) {
      const ms = host.now() - fromMs;
      this.#pacedBytes += bytes;
      this.#pacedMs += ms;
      onPaced(fromMs, ms);
    }
    if (cutter.rest === 0) onGone();
  }

  /** The lower of the pace and what the link was seen to achieve; null where neither is known. */
  #expectedRate(): number | null {
    const achieved = this.#options.rate.bytesPerMs;
    if (this.#bytesPerMs === null || achieved === null) return this.#bytesPerMs ?? achieved;
    return Math.min(this.#bytesPerMs, achieved);
  }

  #chunkBytes(): number {
    const bytes = (this.#expectedRate() ?? 0) * chunkMs;
    return Math.min(Math.max(bytes, chunkBytesMin), chunkBytesMax);
  }

  #windowBytes(): number {
    const ms = Math.max(windowMs, 2 * (this.#options.rttMs() ?? 0));
    const bytes = (this.#expectedRate() ?? 0) * ms;
    return Math.min(Math.max(bytes, windowBytesMin), windowBytesMax);
  }
}
