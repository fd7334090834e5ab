/**
 * A channel: messages over a link. It encodes and decodes, cuts large frames into
 * chunks, paces what it sends to a share of the bandwidth, sends no faster than the
 * other side takes in, counts bytes, keeps a heartbeat and estimates the link.
 * Everything here is driven by the host's clock, so it runs the same over sockets and in virtual
 * time.
 *
 * Heartbeats and acknowledgements wait for nothing: they pass between the chunks of a
 * frame, unpaced. Everything else stays in order, but for frames in the background, which give way to all others. Whatever arrives is a sign of life, so neither a
 * slow link nor a small share looks like a dead peer. `docs/protocol.md` has the rules by number.
 */
import { ProtocolError } from "../../base/errors.ts";
import type { Cancel, Frame, Host, Link } from "../host.ts";
import type { PacedTraffic } from "../metrics/record.ts";
import { Assembler, isOfBackground } from "./chunks.ts";
import { AchievedRate, RoundTrip } from "./estimates.ts";
import { type Decoded, encodeFrame, frameBytes, frameBytesMax, type Tensors } from "./frame.ts";
import { Intake } from "./intake.ts";
import type { Message } from "./messages.ts";
import { overtaking } from "./messages.ts";
import { Pace } from "./pace.ts";
import { type FrameFate, Sender } from "./sender.ts";

/** How often a channel shows that it lives. */
const heartbeatMs = 1_000;
/** The first beats come faster, so that the round trip is known before a plan needs it. */
const firstBeats = 10;
const firstBeatMs = 100;
/** A peer that is silent for so long has left. Ten heartbeats: a busy machine is not a dead one. */
export const leaseMs = 10_000;
/** What is acknowledged within a moment is so within this one. */
const ackWithinMs = 5;
/** Pings answered between two heartbeats; who sends more wants our answers to pile up. */
const pingsMax = 100;
/** Pings that may still be answered; older ones are forgotten. */
const pingsKept = 32;

export interface ChannelHandlers<M extends Message> {
  /** Decodes and checks a frame; throws ProtocolError on a bad one. */
  readonly decode: (frame: Frame) => Decoded<M>;
  /** Called for each message but the channel's own, with the frame it came in. */
  onMessage(decoded: Decoded<M>, frame: Frame): void;
  /** Called once when the channel is gone, with the reason in words. */
  onClose(reason: string): void;
  /** Called when a paced message has left: from when on its bytes were leaving, and for how long. */
  onPaced?(fromMs: number, ms: number): void;
  /** The last word to a peer that broke the protocol; without it the link closes silently. */
  onBroken?(error: ProtocolError): Message;
  /**
   * A peer that consumes nothing of what is under way to it for so long is let go. Only for peers
   * that hold nothing back; a relay may have to wait for its target.
   */
  readonly consumesWithinMs?: number;
  /** The pace to keep, where other channels of the node keep it too; one of its own where absent. */
  readonly pace?: Pace;
}

export class Channel<M extends Message> {
  readonly #host: Host;
  readonly #link: Link;
  readonly #handlers: ChannelHandlers<M>;
  readonly #sender: Sender;
  readonly #intake = new Intake(() => this.#acknowledgeSoon());
  readonly #assembler = new Assembler();
  readonly #background = new Assembler();
  readonly #roundTrip = new RoundTrip();
  readonly #rate = new AchievedRate();
  #frameBytesMax = frameBytesMax;
  readonly #openedMs: number;
  #heardMs: number;
  #beat: Cancel;
  #beats = 0;
  /** Sending times of pings that wait for their answer, oldest first. */
  readonly #pings = new Set<number>();
  #pingsAnswered = 0;
  /** Cancels the acknowledgement to come; null while none is. */
  #ackTimer: Cancel | null = null;
  #bytesSent = 0;
  #bytesReceived = 0;
  #isOpen = true;
  /** Why this side closes, once it does; then nothing is handed on any more. */
  #closing: string | null = null;
  #isHungUp = false;

  constructor(host: Host, link: Link, handlers: ChannelHandlers<M>) {
    this.#host = host;
    this.#link = link;
    this.#handlers = handlers;
    this.#openedMs = host.now();
    this.#heardMs = this.#openedMs;
    this.#sender = new Sender({
      host,
      rate: this.#rate,
      pace: handlers.pace ?? new Pace(),
      rttMs: () => this.#roundTrip.leastMs,
      transmit: (message) => this.#transmit(message),
      onPaced: (fromMs, ms) => handlers.onPaced?.(fromMs, ms),
      onEmpty: () => {
        if (this.#closing !== null) this.#hangUp();
      },
    });
    link.onFrame = (message) => this.#receive(message);
    link.onClose = (reason) => this.#closed(reason);
    this.#beat = host.after(0, () => this.#heartbeat());
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Everything that left under its pace so far, and how long it took: the rate that was achieved. */
  get paced(): PacedTraffic {
    return this.#sender.pace.traffic;
  }

  /** Smallest round trip seen, in milliseconds; null before the first. */
  get rttMs(): number | null {
    return this.#roundTrip.leastMs;
  }

  /** Round trip of late, smoothed, with what waits in queues on the way; null before the first. */
  get smoothedRttMs(): number | null {
    return this.#roundTrip.smoothedMs;
  }

  /** Round trip of the newest heartbeats; null before the second. */
  get lateRttMs(): number | null {
    return this.#roundTrip.lateMs;
  }

  /**
   * Bytes per millisecond that arrive at the other side when sent back to back; null before the
   * first burst that was long enough.
   */
  get achievedBytesPerMs(): number | null {
    return this.#rate.bytesPerMs;
  }

  /** Bytes of frames that wait to leave, those in the background aside. */
  get queuedBytes(): number {
    return this.#sender.queuedBytes;
  }

  /** Whether a frame in the background waits to leave, or the rest of one. */
  get hasBackground(): boolean {
    return this.#sender.hasBackground;
  }

  /** Whether more waits to leave than a producer should add to. */
  get isFull(): boolean {
    return this.#sender.isFull;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Sets the share of bandwidth; null sends without pacing. What is leaving keeps its time. */
  setRate(bytesPerMs: number | null): void {
    this.#sender.pace.setRate(bytesPerMs);
  }

  /** Keeps to another pace from now on, as where it is known at last who is there. */
  setPace(pace: Pace): void {
    this.#sender.setPace(pace);
  }

  /** Sets the largest frame accepted from now on, in bytes. */
  limitFrames(bytesMax: number): void {
    this.#frameBytesMax = bytesMax;
  }

  send(message: Message, tensors?: Tensors, fate?: FrameFate): void {
    this.forward(encodeFrame(message, tensors), fate);
  }

  /** Sends a frame that is encoded already, as a relay does. */
  forward(frame: Frame, fate: FrameFate = {}): void {
    if (this.#isOpen) this.#sender.push(frame, fate);
    else fate.onGone?.();
  }

  /**
   * Counts a received frame as not yet consumed until the answer is called, so that its sender
   * waits. To be called while the frame is handed over.
   */
  hold(frame: Frame): () => void {
    return this.#intake.hold(frameBytes(frame));
  }

  /**
   * Closes after everything queued has left, or once the other side takes nothing of it for the
   * time of its lease. `onClose` is called with this reason.
   */
  close(reason: string): void {
    if (!this.#isOpen) return;
    this.#closing = reason;
    if (this.#sender.isEmpty) this.#hangUp();
    else this.#sender.hurry();
  }

  /**
   * Closes at once: what is queued does not leave any more, and `onClose` is called before this returns.
   * @param farewell a last word that may come among chunks
   */
  cut(reason: string, farewell?: Message): void {
    if (!this.#isOpen) return;
    if (farewell !== undefined) this.#transmit(encodeFrame(farewell));
    this.#closing = reason;
    this.#closed(reason);
    this.#hangUp();
  }

  #hangUp(): void {
    if (this.#isHungUp) return;
    this.#isHungUp = true;
    this.#link.close();
  }

  #transmit(message: Frame): void {
    if (!this.#isOpen || this.#isHungUp) return;
    this.#bytesSent += frameBytes(message);
    this.#link.send(message);
  }

  #receive(message: Frame): void {
    if (!this.#isOpen || this.#isHungUp) return;
    this.#heardMs = this.#host.now();
    this.#bytesReceived += frameBytes(message);
    try {
      this.#take(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#closing ??= `broke the protocol: ${error.message}`;
      const farewell = this.#handlers.onBroken?.(error);
      if (farewell !== undefined) this.#transmit(encodeFrame(farewell));
      this.#hangUp();
    }
  }

  #take(message: Frame): void {
    const isAmongChunks = this.#assembler.isBusy;
    const assembler = isOfBackground(message) ? this.#background : this.#assembler;
    const frame = assembler.take(message, this.#frameBytesMax);
    const isWhole = frame === message;
    const decoded = frame === null ? null : this.#handlers.decode(frame);
    if (decoded !== null && overtaking.has(decoded.message.type)) {
      if (!isWhole) throw new ProtocolError(`"${decoded.message.type}" in chunks`);
      if (this.#takeOwn(decoded.message)) return;
    } else if (isWhole && isAmongChunks) {
      throw new ProtocolError(`"${decoded?.message.type}" among the chunks of a frame`);
    }
    const bytes = frameBytes(message);
    // What came before and waits for the heartbeat would hide when a burst began, and so the link's rate.
    if (this.#intake.mayHide(bytes)) this.#acknowledge();
    this.#intake.add(bytes, this.#heardMs - this.#openedMs);
    // What comes after we have closed is void, but its sender may wait for the credit.
    if (decoded !== null && frame !== null && this.#closing === null) {
      this.#handlers.onMessage(decoded, frame);
    }
    this.#acknowledgeSoon(decoded?.message.type === "payload");
  }

  /** Takes a message that is the channel's own; false for any other. */
  #takeOwn(message: Message): boolean {
    switch (message.type) {
      case "ping":
        if (++this.#pingsAnswered > pingsMax) throw new ProtocolError("too many pings");
        this.#transmit(encodeFrame({ type: "pong", sentMs: message.sentMs }));
        return true;
      case "pong":
        // Only an answer to what we asked tells a time.
        if (this.#pings.delete(message.sentMs)) {
          this.#roundTrip.add(this.#host.now() - message.sentMs);
        }
        return true;
      case "ack":
        this.#sender.acknowledge(message);
        return true;
      default:
        return false;
    }
  }

  /**
   * Acknowledges much at once, less within a moment, and very little with the heartbeat, unless
   * somebody measures by it.
   */
  #acknowledgeSoon(isMeasured = false): void {
    const urgency = this.#intake.urgency();
    if (!this.#isOpen || (urgency === "with the heartbeat" && !isMeasured)) return;
    if (urgency === "now") return this.#acknowledge();
    this.#ackTimer ??= this.#host.after(ackWithinMs, () => this.#acknowledge());
  }

  #acknowledge(): void {
    this.#ackTimer?.();
    this.#ackTimer = null;
    const ack = this.#intake.take();
    if (ack !== null) this.#transmit(encodeFrame({ type: "ack", ...ack }));
  }

  #heartbeat(): void {
    const reason = this.#lapse();
    if (reason !== null) {
      this.#closing ??= reason;
      this.#hangUp();
      return;
    }
    const sentMs = this.#host.now();
    this.#pings.add(sentMs);
    const [oldest] = this.#pings;
    if (this.#pings.size > pingsKept && oldest !== undefined) this.#pings.delete(oldest);
    this.#pingsAnswered = 0;
    this.#transmit(encodeFrame({ type: "ping", sentMs }));
    this.#acknowledge();
    this.#beats++;
    const waitMs = this.#beats < firstBeats ? firstBeatMs : heartbeatMs;
    this.#beat = this.#host.after(waitMs, () => this.#heartbeat());
  }

  /** Why the other side has to be given up, in words; null while it has not. */
  #lapse(): string | null {
    const silentMs = this.#host.now() - this.#heardMs;
    if (silentMs > leaseMs) return `silent for ${(silentMs / 1000).toFixed(0)} s`;
    const stalledMs = this.#sender.stalledMs();
    const patienceMs =
      this.#closing === null ? (this.#handlers.consumesWithinMs ?? Infinity) : leaseMs;
    if (stalledMs > patienceMs) return `took nothing in for ${(stalledMs / 1000).toFixed(0)} s`;
    return null;
  }

  #closed(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#beat();
    this.#ackTimer?.();
    this.#sender.stop();
    this.#handlers.onClose(this.#closing ?? reason);
  }
}
