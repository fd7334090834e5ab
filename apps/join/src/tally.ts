/** Counts what crosses the link: all bytes, and tensors by what they are. */
import type { TensorTraffic } from "edgeloom/browser";
import { byteLength } from "edgeloom/browser";
import type { Traffic } from "./messages.ts";

/** What a message's tensors are, in the words of the page; labels travel beside features. */
const words: Readonly<Record<string, string>> = {
  welcome: "the model's structure",
  begin: "weights and optimizer state",
  contribution: "weights and optimizer state",
  feature: "features",
  gradient: "gradients",
};

export class Tally {
  readonly #kinds = new Map<string, { -readonly [K in keyof Traffic]: Traffic[K] }>();
  #before = { sent: 0, received: 0 };
  #sent = 0;
  #received = 0;

  /** Bytes that have crossed the link, in all, since the device joined. */
  bytes(sent: number, received: number): void {
    this.#sent = this.#before.sent + sent;
    this.#received = this.#before.received + received;
  }

  /** The device has left; when it joins again, its bytes are counted from nothing. */
  left(): void {
    this.#before = { sent: this.#sent, received: this.#received };
  }

  add({ way, message, tensors }: TensorTraffic): void {
    const bytes = new Map<string, number>();
    for (const [name, tensor] of tensors) {
      const what = name === "labels" ? "labels" : (words[message.type] ?? message.type);
      bytes.set(what, (bytes.get(what) ?? 0) + byteLength(tensor));
    }
    for (const [what, length] of bytes) {
      const key = `${way} ${what}`;
      const kind = this.#kinds.get(key) ?? { way, what, messages: 0, bytes: 0 };
      kind.messages++;
      kind.bytes += length;
      this.#kinds.set(key, kind);
    }
  }

  get counted(): {
    readonly bytesSent: number;
    readonly bytesReceived: number;
    readonly traffic: readonly Traffic[];
  } {
    return {
      bytesSent: this.#sent,
      bytesReceived: this.#received,
      traffic: [...this.#kinds.values()],
    };
  }
}
