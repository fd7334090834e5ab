/**
 * A channel: messages over a link. It encodes and decodes, paces what it sends
 * to a share of the bandwidth, counts bytes, keeps a heartbeat and estimates
 * the round trip. Everything here is driven by the host's clock, so it runs the
 * same over sockets and in virtual time.
 *
 * Pacing is store-and-forward: a frame leaves when a link of the given rate
 * would have carried its last byte; what a late timer lost is made up for.
 * Heartbeats are not paced, so a slow share never looks like a dead peer.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Cancel, Frame, Host, Link } from "../host.ts";
import { Lateness } from "../lateness.ts";
import type { PacedTraffic } from "../metrics/record.ts";
import { type Decoded, encodeFrame, frameBytes, type Tensors } from "./frame.ts";
import type { Message } from "./messages.ts";

/** How often a channel shows that it lives. */
const heartbeatMs = 1_000;
/** The first beats come faster, so that the round trip is known before a plan needs it. */
const firstBeats = 10;
const firstBeatMs = 100;
/** A peer that is silent for so long has left. Ten heartbeats: a busy machine is not a dead one. */
export const leaseMs = 10_000;

export interface ChannelHandlers<M extends Message> {
  /** Decodes and checks a frame; throws ProtocolError on a bad one. */
  readonly decode: (frame: Frame) => Decoded<M>;
  /** Called for each message but heartbeats, with the frame it came in. */
  onMessage(decoded: Decoded<M>, frame: Frame): void;
  /** Called once when the channel is gone, with the reason in words. */
  onClose(reason: string): void;
  /** Called when a paced frame has left: from when on its bytes were leaving, and for how long. */
  onPaced?(fromMs: number, ms: number): void;
}

export class Channel<M extends Message> {
  readonly #host: Host;
  readonly #link: Link;
  readonly #handlers: ChannelHandlers<M>;
  #bytesPerMs: number | null = null;
  #queue: Frame[] = [];
  #leaving: Cancel | null = null;
  /** When the last byte of everything sent so far has left, by the pace. */
  #clearAtMs = 0;
  readonly #lateness = new Lateness();
  #heardMs: number;
  #beat: Cancel;
  #beats = 0;
  #rttMs: number | null = null;
  /** Sending times of pings that wait for their answer. */
  readonly #pings = new Set<number>();
  #bytesSent = 0;
  #bytesReceived = 0;
  #pacedBytes = 0;
  #pacedMs = 0;
  #isOpen = true;
  #closing: string | null = null;

  constructor(host: Host, link: Link, handlers: ChannelHandlers<M>) {
    this.#host = host;
    this.#link = link;
    this.#handlers = handlers;
    this.#heardMs = host.now();
    link.onFrame = (frame) => this.#receive(frame);
    link.onClose = (reason) => this.#closed(reason);
    this.#beat = host.after(0, () => this.#heartbeat());
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Everything that left under a pace so far, and how long it took: the rate that was achieved. */
  get paced(): PacedTraffic {
    return { bytes: this.#pacedBytes, ms: this.#pacedMs };
  }

  /** Smallest round trip seen, in milliseconds; null before the first. */
  get rttMs(): number | null {
    return this.#rttMs;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sets the share of bandwidth; null sends without pacing. Frames under way keep their time. */
  setRate(bytesPerMs: number | null): void {
    this.#bytesPerMs = bytesPerMs;
  }

  send(message: Message, tensors?: Tensors): void {
    this.forward(encodeFrame(message, tensors));
  }

  /** Sends a frame that is encoded already, as a relay does. */
  forward(frame: Frame): void {
    if (!this.#isOpen) return;
    this.#queue.push(frame);
    if (this.#leaving === null) this.#startNext();
  }

  /** Closes after everything queued has left. `onClose` is called with this reason. */
  close(reason: string): void {
    if (!this.#isOpen) return;
    this.#closing = reason;
    if (this.#leaving === null) this.#link.close();
  }

  /** Closes at once: what is queued does not leave any more, and `onClose` is called before this returns. */
  cut(reason: string): void {
    this.#closing = reason;
    this.#closed(reason);
    this.#link.close();
  }

  #startNext(): void {
    for (;;) {
      const frame = this.#queue[0];
      if (frame === undefined) {
        if (this.#closing !== null) this.#link.close();
        return;
      }
      const now = this.#host.now();
      const durationMs = this.#bytesPerMs === null ? 0 : frameBytes(frame) / this.#bytesPerMs;
      const fromMs = Math.max(now, this.#clearAtMs);
      this.#clearAtMs = fromMs + this.#lateness.shortened(durationMs);
      if (this.#clearAtMs > now) {
        this.#leaving = this.#host.after(this.#clearAtMs - now, () => {
          this.#leaving = null;
          this.#lateness.add(this.#host.now() - this.#clearAtMs);
          this.#queue.shift();
          this.#transmit(frame);
          this.#notePaced(frame, fromMs);
          this.#startNext();
        });
        return;
      }
      this.#queue.shift();
      this.#transmit(frame);
      if (this.#bytesPerMs !== null) this.#notePaced(frame, now);
    }
  }

  #notePaced(frame: Frame, fromMs: number): void {
    const ms = this.#host.now() - fromMs;
    this.#pacedBytes += frameBytes(frame);
    this.#pacedMs += ms;
    this.#handlers.onPaced?.(fromMs, ms);
  }

  #transmit(frame: Frame): void {
    if (!this.#isOpen) return;
    this.#bytesSent += frameBytes(frame);
    this.#link.send(frame);
  }

  #receive(frame: Frame): void {
    // What comes after we have closed is void: a socket may still deliver it.
    if (!this.#isOpen || this.#closing !== null) return;
    this.#heardMs = this.#host.now();
    this.#bytesReceived += frameBytes(frame);
    let decoded: Decoded<M>;
    try {
      decoded = this.#handlers.decode(frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#closing = `broke the protocol: ${error.message}`;
      this.#link.close();
      return;
    }
    const { message } = decoded;
    if (message.type === "ping") {
      this.#transmit(encodeFrame({ type: "pong", sentMs: message.sentMs }));
    } else if (message.type === "pong") {
      if (!this.#pings.delete(message.sentMs)) return;
      const rttMs = this.#host.now() - message.sentMs;
      this.#rttMs = this.#rttMs === null ? rttMs : Math.min(this.#rttMs, rttMs);
    } else {
      this.#handlers.onMessage(decoded, frame);
    }
  }

  #heartbeat(): void {
    const silentMs = this.#host.now() - this.#heardMs;
    if (silentMs > leaseMs) {
      this.#closing = `silent for ${(silentMs / 1000).toFixed(0)} s`;
      this.#link.close();
      return;
    }
    const sentMs = this.#host.now();
    this.#pings.add(sentMs);
    this.#transmit(encodeFrame({ type: "ping", sentMs }));
    this.#beats++;
    const waitMs = this.#beats < firstBeats ? firstBeatMs : heartbeatMs;
    this.#beat = this.#host.after(waitMs, () => this.#heartbeat());
  }

  #closed(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#beat();
    this.#leaving?.();
    this.#leaving = null;
    this.#queue = [];
    this.#handlers.onClose(this.#closing ?? reason);
  }
}
