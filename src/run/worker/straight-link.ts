/**
 * A link between two workers, from its first message to its end. Who dialled says which node it
 * is, in which term, and the secret that the coordinator drew for the two of them; who listens
 * accepts or refuses. Then both send data messages, and each is kept until the other side has
 * consumed it, so that what is lost with the link can go another way. With the next term the same is
 * said again, and no data pass before.
 *
 * `docs/protocol.md` has the rules as D1 to D9.
 */
import type { NodeId } from "../../base/ids.ts";
import type { Cancel, Frame, Host, Link } from "../host.ts";
import { Channel } from "../wire/channel.ts";
import { type Decoded, decodePeerFrame } from "../wire/frame.ts";
import type { DataMessage, PeerMessage, PeerRefusal } from "../wire/messages.ts";
import type { Pace } from "../wire/pace.ts";
import {
  isPayload,
  type MeasuredLink,
  type PayloadSize,
  sendPayload,
  unmeasured,
} from "../wire/payload.ts";

/** Largest frame of somebody who has not been accepted. */
const greetingBytesMax = 4 * 1024;
/** Time for a greeting, and for the introduction that makes sense of it. */
const greetingMsMax = 10_000;

/** Why the other side is turned away, in a word and in a sentence. */
export interface TurnedAway {
  readonly reason: PeerRefusal;
  readonly text: string;
}

/** Who says, on a link that it has dialled, which node it is. */
export type Greeting = Extract<PeerMessage, { type: "peer" }>;

export interface StraightHandlers {
  /** A greeting on a link that was accepted; never called where this side dialled. */
  onGreeting(link: StraightLink, greeting: Greeting): void;
  /** The other side lets this one in. */
  onAccepted(link: StraightLink): void;
  /**
   * A data message. `hold` counts it as not consumed until its answer is called; to be called
   * before this returns.
   */
  onData(link: StraightLink, decoded: Decoded<DataMessage>, hold: () => () => void): void;
  /** The link is gone, which happens once; why, and which word the other side said, if it did. */
  onEnd(link: StraightLink, text: string, refusal: PeerRefusal | null): void;
  /** A message has left under its pace: from when on its bytes were leaving, and for how long. */
  onPaced(link: StraightLink, fromMs: number, ms: number): void;
}

/** What a link is given once it is known who is at its other end. */
export interface Standing {
  readonly node: NodeId;
  /** Largest frame that the other side may send, in bytes. */
  readonly frameBytesMax: number;
  /** What is sent to it keeps to this. */
  readonly pace: Pace;
}

export class StraightLink {
  readonly #host: Host;
  readonly #handlers: StraightHandlers;
  readonly #channel: Channel<PeerMessage>;
  /** What has been sent and not been consumed, in order. */
  readonly #unconsumed = new Map<Frame, DataMessage>();
  readonly #isDialled: boolean;
  /** Gives up waiting for a greeting, or for its answer. */
  #patience: Cancel = () => {};
  /** Whether the answer to a greeting is awaited. */
  #isAsking = false;
  /** Newest term that the other side has greeted in. */
  #greetedTerm = -1;
  #standing: Standing | null = null;
  #refusal: PeerRefusal | null = null;
  /** Whom to tell of the payload that is under way. */
  #measuring: ((measured: MeasuredLink) => void) | null = null;

  /** @param greeting what to say first, on a link that this side has dialled; null on one that it has accepted */
  constructor(host: Host, link: Link, greeting: Greeting | null, handlers: StraightHandlers) {
    this.#handlers = handlers;
    this.#isDialled = greeting !== null;
    this.#channel = new Channel<PeerMessage>(host, link, {
      decode: decodePeerFrame,
      onMessage: (decoded, frame) => this.#receive(decoded, frame),
      onClose: (reason) => {
        this.#patience();
        this.#measured(unmeasured);
        handlers.onEnd(this, reason, this.#refusal);
      },
      onBroken: ({ message: text }) => ({ type: "refuse", reason: "protocol", text }),
      onPaced: (fromMs, ms) => handlers.onPaced(this, fromMs, ms),
    });
    this.#channel.limitFrames(greetingBytesMax);
    this.#host = host;
    if (greeting === null) this.await();
    else this.greet(greeting);
  }

  /** Says who this side is, and waits for the answer. */
  greet(greeting: Greeting): void {
    this.#isAsking = true;
    this.#channel.send(greeting);
    this.await();
  }

  /** Waits for the other side to say who it is in the term that is now, or to answer; but not for ever. */
  await(): void {
    this.#patience();
    this.#patience = this.#host.after(greetingMsMax, () => this.#expire());
  }

  /** Who is at the other end; null before that is known. */
  get node(): NodeId | null {
    return this.#standing?.node ?? null;
  }

  /** Bytes that were given to the link and that came over it. */
  get bytes(): { readonly sent: number; readonly received: number } {
    const { bytesSent, queuedBytes, bytesReceived } = this.#channel;
    return { sent: bytesSent + queuedBytes, received: bytesReceived };
  }

  /** What it achieves towards the other side, in bytes per millisecond; null before that is known. */
  get achievedBytesPerMs(): number | null {
    return this.#channel.achievedBytesPerMs;
  }

  /** One-way delay: half the least round trip; null before the first. */
  get latencyMs(): number | null {
    const { rttMs } = this.#channel;
    return rttMs === null ? null : rttMs / 2;
  }

  /** Messages that the other side may not have: what a link that has ended leaves to be sent again. */
  get unconsumed(): ReadonlyMap<Frame, DataMessage> {
    return this.#unconsumed;
  }

  /** It is known who is there: data may pass, both ways. */
  stand(standing: Standing): void {
    this.#patience();
    this.#standing = standing;
    this.#channel.limitFrames(standing.frameBytesMax);
    this.#channel.setPace(standing.pace);
  }

  /** Lets the other side in. */
  accept(standing: Standing, term: number): void {
    this.stand(standing);
    this.#channel.send({ type: "accept", term });
  }

  /** Turns the other side away. */
  refuse({ reason, text }: TurnedAway): void {
    this.#channel.send({ type: "refuse", reason, text });
    this.#channel.close(text);
  }

  send(frame: Frame, message: DataMessage): void {
    this.#unconsumed.set(frame, message);
    // Nobody waits for weights, and the next exchange is not to wait behind them.
    const isBackground = message.type === "weights" || message.type === "state";
    const onConsumed = (): void => void this.#unconsumed.delete(frame);
    this.#channel.forward(frame, { onConsumed, isBackground });
  }

  /**
   * Sends a payload, unless one is under way.
   * @param done called once, with nothing measured where the link has ended before
   */
  measure(size: PayloadSize, done: (measured: MeasuredLink) => void): void {
    if (this.#measuring !== null) return;
    this.#measuring = done;
    sendPayload(this.#channel, size, (measured) => this.#measured(measured));
  }

  #measured(measured: MeasuredLink): void {
    const done = this.#measuring;
    this.#measuring = null;
    done?.(measured);
  }

  /** Ends it at once. What is unconsumed stays to be asked for. */
  cut(reason: string): void {
    this.#channel.cut(reason);
  }

  #receive(decoded: Decoded<PeerMessage>, frame: Frame): void {
    const { message, tensors } = decoded;
    switch (message.type) {
      case "peer":
        if (this.#isDialled || message.term <= this.#greetedTerm)
          return this.#unasked(message.type);
        this.#greetedTerm = message.term;
        return this.#handlers.onGreeting(this, message);
      case "accept":
        if (!this.#isAsking) return this.#unasked(message.type);
        this.#isAsking = false;
        return this.#handlers.onAccepted(this);
      case "refuse":
        this.#refusal = message.reason;
        return this.#channel.close(message.text);
      case "feature":
      case "gradient":
      case "exchange":
      case "pull":
      case "weights":
      case "state":
        if (this.#standing === null) return this.#unasked(message.type);
        return this.#handlers.onData(this, { message, tensors }, () => this.#channel.hold(frame));
      case "payload":
        if (this.#standing === null || !isPayload(tensors)) return this.#unasked(message.type);
        return;
      case "ping":
      case "pong":
      case "ack":
        return;
    }
  }

  #unasked(type: string): void {
    this.refuse({ reason: "protocol", text: `"${type}" is not what comes now` });
  }

  #expire(): void {
    if (this.#isDialled) return this.#channel.close("no answer to the greeting");
    this.refuse({ reason: "unknown", text: "nobody has introduced us in time" });
  }
}
