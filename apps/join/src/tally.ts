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
  /** Of connections that have ended. */
  #before = { sent: 0, received: 0 };
  #now = { sent: 0, received: 0 };

  /** Bytes of the connection that is open, in all. */
  bytes(sent: number, received: number): void {
    this.#now = { sent, received };
  }

  closed(): void {
    this.#before = {
      sent: this.#before.sent + this.#now.sent,
      received: this.#before.received + this.#now.received,
    };
    this.#now = { sent: 0, received: 0 };
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
      bytesSent: this.#before.sent + this.#now.sent,
      bytesReceived: this.#before.received + this.#now.received,
      traffic: [...this.#kinds.values()],
    };
  }
}
