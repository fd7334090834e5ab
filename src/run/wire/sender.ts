/**
 * The sending half of a channel: a queue of frames that leave in order, in chunks, at
 * the pace of a share of the bandwidth (`pace.ts`) and no faster than the receiver takes them in.
 * Frames in the background have a queue of their own, whose chunks leave when the first one is empty.
 * What is paced leaves in a few pieces, so that a link which is no faster carries the first ones
 * meanwhile. Never more than a window is under way that the receiver has not consumed, so sockets hold
 * little, whatever waits here.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Cancel, Frame, Host } from "../host.ts";
import { Cutter, chunkBytesMax, chunkBytesMin } from "./chunks.ts";
import { type AchievedRate, sampleBytesMin } from "./estimates.ts";
import { backgroundMark, chunkHeadBytes, frameBytes } from "./frame.ts";
import { type Acknowledgement, nothingArrived } from "./intake.ts";
import type { Departure, Pace } from "./pace.ts";

/**
 * A chunk keeps its link busy for so long, within the limits of chunks: a link that breaks down from a hundred megabits to less
 * than one still brings one within a lease, and so stays open.
 */
const chunkMs = 60;
/**
 * Pieces of a paced frame, where it is large enough. A link that is as slow as the pace takes as long
 * again for a message as it was held back: for a whole frame twice its time, for pieces a quarter more.
 */
const pacedPieces = 4;
/**
 * What a window holds, within its limits: so much time at the link's rate, and two round trips. All of it has to pass before
 * anything is heard that was said after a link broke down; but acknowledgements that wait behind the other way's data need some time, too.
 */
const windowMs = 500;
const windowBytesMin = 4 * (chunkBytesMin + chunkHeadBytes);
/** Most bytes under way that the receiver has not consumed. */
export const windowBytesMax = 4 * chunkBytesMax;
/** Producers hold back while more than so much waits. */
const queueBytesMax = windowBytesMax;

export interface SenderOptions {
  readonly host: Host;
  readonly rate: AchievedRate;
  /** What is sent keeps to it, until {@link Sender.setPace}. */
  readonly pace: Pace;
  /** Least round trip of the link, as far as it is known. */
  readonly rttMs: () => number | null;
  /** Puts a message on the link. */
  readonly transmit: (message: Frame) => void;
  /** Called when a paced message has left: from when on its bytes were leaving, and for how long. */
  readonly onPaced: (fromMs: number, ms: number) => void;
  /** Called when everything has left. */
  readonly onEmpty: () => void;
}

/** What becomes of a frame. */
export interface FrameFate {
  /** Told once that the frame waits no more: it has left, or it never will. */
  readonly onGone?: () => void;
  /** Told once that the receiver has consumed the frame; never where the link ends before. */
  readonly onConsumed?: () => void;
  /** It leaves in its turn whatever the window has room for: a measurement must not wait for answers. */
  readonly isAtOnce?: boolean;
  /** It gives way to all others, also between its chunks: nobody waits for it. */
  readonly isBackground?: boolean;
  /** In the background, while nothing waits behind it, its chunks leave evenly over so many milliseconds. */
  readonly overMs?: number;
}

interface Waiting {
  readonly sinceMs: number;
  readonly cutter: Cutter;
  readonly fate: FrameFate;
}

interface Leaving {
  readonly of: Waiting;
  readonly message: Frame;
  readonly bytes: number;
  readonly departure: Departure;
}

/** A frame that has left: consumed when so many bytes of all are. */
interface UnderWay {
  readonly endBytes: number;
  readonly onConsumed: () => void;
}

export class Sender {
  readonly #options: SenderOptions;
  #queue: Waiting[] = [];
  #background: Waiting[] = [];
  #queuedBytes = 0;
  /** The message whose turn it is. */
  #next: Leaving | null = null;
  #timer: Cancel | null = null;
  /** While all that waits takes its time. */
  #pause: Cancel | null = null;
  #isHurried = false;
  /** Frames whose sender wants to hear that they have been consumed, in order. */
  #underWay: UnderWay[] = [];
  #sent = 0;
  #acknowledged = nothingArrived;
  #progressMs = 0;
  /** Whether what leaves next has waited for what left before. */
  #waits = false;

  #pace: Pace;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#pace = options.pace;
  }

  get pace(): Pace {
    return this.#pace;
  }

  /** Keeps to another pace from the next message on. */
  setPace(pace: Pace): void {
    this.#pace = pace;
  }

  get isEmpty(): boolean {
    return this.#queue.length + this.#background.length === 0;
  }

  /** Bytes of frames that wait to leave, those in the background aside. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether a frame waits that gives way to all others. */
  get hasBackground(): boolean {
    return this.#background.length > 0;
  }

  /** Whether more waits than a producer should add to. */
  get isFull(): boolean {
    return this.#queuedBytes > queueBytesMax;
  }

  /** For how long the receiver has consumed nothing of what is under way; 0 when nothing is. */
  stalledMs(): number {
    return this.#sent === this.#acknowledged.consumed
      ? 0
      : this.#options.host.now() - this.#progressMs;
  }

  push(frame: Frame, fate: FrameFate): void {
    if (this.isEmpty) this.#waits = false;
    const sinceMs = this.#options.host.now();
    if (fate.isBackground) {
      this.#background.push({ sinceMs, cutter: new Cutter(frame, backgroundMark), fate });
    } else {
      this.#queue.push({ sinceMs, cutter: new Cutter(frame), fate });
      this.#queuedBytes += frameBytes(frame);
    }
    this.#pump();
  }

  /**
   * The receiver has had, and has consumed, so many bytes in all.
   * @throws ProtocolError where that cannot be
   */
  acknowledge(news: Acknowledgement): void {
    this.#check(news);
    const { received, consumed, arrivedMs, first } = news;
    const now = this.#options.host.now();
    if (consumed > this.#acknowledged.consumed) this.#progressMs = now;
    if (received > this.#acknowledged.received) {
      const { rate } = this.#options;
      rate.arrived({ bytes: first.received, atMs: first.arrivedMs }, now);
      rate.arrived({ bytes: received, atMs: arrivedMs }, now);
    }
    this.#acknowledged = news;
    this.#tellConsumed();
    this.#pump();
  }

  /** @throws ProtocolError for what cannot be, or takes back what was acknowledged before */
  #check({ received, consumed, arrivedMs, first }: Acknowledgement): void {
    const before = this.#acknowledged;
    const isPossible =
      before.consumed <= consumed &&
      consumed <= received &&
      before.received <= first.received &&
      first.received <= received &&
      received <= this.#sent;
    if (!isPossible) {
      throw new ProtocolError(
        `acknowledged ${received} bytes, from ${first.received} on, ${consumed} consumed, of ` +
          `${this.#sent} (before: ${before.received} and ${before.consumed})`,
      );
    }
    if (before.arrivedMs > first.arrivedMs || first.arrivedMs > arrivedMs) {
      throw new ProtocolError(
        `acknowledged arrivals after ${first.arrivedMs} and ${arrivedMs} ms (before: ${before.arrivedMs})`,
      );
    }
  }

  /** Nothing takes its time any more. */
  hurry(): void {
    this.#isHurried = true;
    this.#pump();
  }

  /** The link is gone: nothing leaves any more. */
  stop(): void {
    this.#timer?.();
    this.#pause?.();
    this.#next = null;
    const queue = [...this.#queue, ...this.#background];
    this.#queue = [];
    this.#background = [];
    this.#queuedBytes = 0;
    this.#underWay = [];
    for (const { fate } of queue) fate.onGone?.();
  }

  #tellConsumed(): void {
    const left = this.#underWay.findIndex(({ endBytes }) => endBytes > this.#acknowledged.consumed);
    const consumed = this.#underWay.splice(0, left === -1 ? this.#underWay.length : left);
    for (const { onConsumed } of consumed) onConsumed();
  }

  /** Sends until the pace, the window or the end of the queue says to wait. */
  #pump(): void {
    while (this.#timer === null) {
      if (this.#next === null) {
        const first = this.#queue[0] ?? this.#background[0];
        if (first === undefined) return this.#options.onEmpty();
        const dueMs = this.#dueMs(first);
        if (dueMs > this.#options.host.now()) return this.#pauseUntil(dueMs);
        this.#next = this.#cut(first);
        const { atMs } = this.#next.departure;
        if (atMs > this.#options.host.now()) return this.#waitUntil(atMs);
      }
      const underWay = this.#sent - this.#acknowledged.consumed;
      const waits = underWay > 0 && this.#next.of.fate.isAtOnce !== true;
      if (waits && underWay + this.#next.bytes > this.#windowBytes()) return;
      this.#transmit(this.#next);
    }
  }

  /** From when on the next chunk of a frame may leave. */
  #dueMs({ sinceMs, cutter, fate: { overMs = 0 } }: Waiting): number {
    const takesItsTime = !this.#isHurried && this.#background.length === 1;
    return takesItsTime ? sinceMs + overMs * (1 - cutter.rest / cutter.size) : sinceMs;
  }

  #pauseUntil(dueMs: number): void {
    const { host } = this.#options;
    this.#pause?.();
    this.#pause = host.after(dueMs - host.now(), () => this.#pump());
  }

  #cut(of: Waiting): Leaving {
    const { cutter, fate } = of;
    const before = cutter.rest;
    const message = cutter.next(this.#chunkBytes(cutter));
    if (!fate.isBackground) this.#queuedBytes -= before - cutter.rest;
    const bytes = frameBytes(message);
    return { of, message, bytes, departure: this.#pace.promise(bytes, this.#options.host.now()) };
  }

  #waitUntil(atMs: number): void {
    const { host } = this.#options;
    const pace = this.#pace;
    this.#timer = host.after(atMs - host.now(), () => {
      this.#timer = null;
      pace.late(host.now() - atMs);
      this.#pump();
    });
  }

  #transmit({ of: { cutter, fate }, message, bytes, departure }: Leaving): void {
    const { host, transmit, onPaced } = this.#options;
    this.#next = null;
    if (cutter.rest === 0) (fate.isBackground ? this.#background : this.#queue).shift();
    if (this.#sent === this.#acknowledged.consumed) this.#progressMs = host.now();
    this.#sent += bytes;
    this.#options.rate.departed(this.#sent, host.now(), this.#waits && departure.isPaced);
    this.#waits = true;
    const { onGone, onConsumed } = fate;
    if (cutter.rest === 0 && onConsumed !== undefined) {
      this.#underWay.push({ endBytes: this.#sent, onConsumed });
    }
    transmit(message);
    if (departure.isPaced) {
      const ms = host.now() - departure.fromMs;
      this.#pace.left(bytes, ms);
      onPaced(departure.fromMs, ms);
    }
    if (cutter.rest === 0) onGone?.();
  }

  /** The lower of the pace and what the link was seen to achieve; null where neither is known. */
  #expectedRate(): number | null {
    const achieved = this.#options.rate.bytesPerMs;
    const paced = this.#pace.bytesPerMs;
    if (paced === null || achieved === null) return paced ?? achieved;
    return Math.min(paced, achieved);
  }

  /**
   * Whether a frame begins with a small chunk, from whose arrival on the rest tells the rate. Where
   * there is a pace, pieces tell it as they are.
   */
  #tellsRate({ rest, size }: Cutter): boolean {
    const { rate, host } = this.#options;
    if (this.#pace.bytesPerMs !== null || rest < size || rest < chunkBytesMin + sampleBytesMin)
      return false;
    return rate.isAwaited(host.now());
  }

  #chunkBytes(cutter: Cutter): number {
    if (this.#tellsRate(cutter)) return chunkBytesMin;
    const { size } = cutter;
    const piece = this.#pace.bytesPerMs === null ? size : Math.ceil(size / pacedPieces);
    const bytes = Math.min(piece, (this.#expectedRate() ?? 0) * chunkMs);
    return Math.min(Math.max(bytes, chunkBytesMin), chunkBytesMax);
  }

  #windowBytes(): number {
    const ms = Math.max(windowMs, 2 * (this.#options.rttMs() ?? 0));
    const bytes = (this.#expectedRate() ?? 0) * ms;
    return Math.min(Math.max(bytes, windowBytesMin), windowBytesMax);
  }
}
