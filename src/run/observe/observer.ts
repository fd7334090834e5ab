/**
 * An observer: follows a run from afar, for the page and for `edgeloom watch`.
 * It connects, shows its token, takes the records that are there and those to
 * come, and connects again when the connection is lost, from where it was.
 *
 * Invariants:
 * 1. Every lasting record of a run is handed over once and in order, also across connections.
 * 2. A refusal ends it: asking again with the same token would not help.
 */
import { RecordReader } from "../metrics/read.ts";
import type { TimedRecord } from "../metrics/record.ts";
import { observerProtocol, readServerMessage } from "./messages.ts";

/** A connection that carries texts. Handlers are set before control returns to the world's loop. */
export interface TextLink {
  /** Sends one text; it arrives whole and in order, or the connection closes. */
  send(text: string): void;
  /** Ends the connection. */
  close(): void;
  /** Bytes accepted by `send` that have not left yet. */
  readonly pendingBytes: number;
  /** Called for each text that arrives. */
  onText: (text: string) => void;
  /** Called exactly once, also after `close()` and where no connection came about. */
  onClose: () => void;
}

/** What an observer needs of the world around it. */
export interface ObserverWorld {
  /** Starts connecting; `onOpen` is called when texts can be sent. */
  connect(onOpen: () => void): TextLink;
  /** Calls `fire` once after so many milliseconds; the answer cancels it. */
  after(delayMs: number, fire: () => void): () => void;
}

/** How an observer stands with its server. */
export type ObserverState =
  | { readonly kind: "connecting" }
  | { readonly kind: "watching" }
  /** No server there; it will be tried again. */
  | { readonly kind: "lost"; readonly retryMs: number }
  | { readonly kind: "refused"; readonly text: string };

/** Whoever is told what an observer sees. */
export interface ObserverOwner {
  /** Another run than before, or the first: what was handed over so far is void. */
  onRun(run: string): void;
  /** The next records of the run. */
  onRecords(records: readonly TimedRecord[]): void;
  /** The connection has changed. */
  onState(state: ObserverState): void;
}

const firstRetryMs = 500;
const lastRetryMs = 5_000;

/** Follows a run until it is closed or refused. */
export class Observer {
  readonly #world: ObserverWorld;
  readonly #token: string;
  readonly #owner: ObserverOwner;
  #link: TextLink | null = null;
  #cancel: (() => void) | null = null;
  #run: string | null = null;
  /** Lasting records taken so far. */
  #taken = 0;
  #reader = new RecordReader();
  #retryMs = firstRetryMs;
  #isOver = false;

  constructor(world: ObserverWorld, token: string, owner: ObserverOwner) {
    this.#world = world;
    this.#token = token;
    this.#owner = owner;
    this.#connect();
  }

  /** What could not be read of the records, in words. */
  get notes(): readonly string[] {
    return this.#reader.notes;
  }

  /** Ends it; nothing is told any more. */
  close(): void {
    this.#isOver = true;
    this.#cancel?.();
    this.#link?.close();
  }

  #connect(): void {
    this.#owner.onState({ kind: "connecting" });
    const link = this.#world.connect(() => {
      const [protocol, token] = [observerProtocol, this.#token];
      const message = { type: "observe", protocol, token, run: this.#run, from: this.#taken };
      link.send(JSON.stringify(message));
    });
    link.onText = (text) => this.#receive(text);
    link.onClose = () => this.#lost();
    this.#link = link;
  }

  #receive(text: string): void {
    const message = readServerMessage(text);
    switch (message?.type) {
      case "observing":
        if (message.run !== this.#run || message.from !== this.#taken) {
          this.#run = message.run;
          this.#taken = message.from;
          this.#reader = new RecordReader();
          this.#owner.onRun(message.run);
        }
        this.#retryMs = firstRetryMs;
        return this.#owner.onState({ kind: "watching" });
      case "records": {
        this.#taken = message.next;
        const records = message.records.flatMap((record) => this.#reader.take(record) ?? []);
        return this.#owner.onRecords(records);
      }
      case "refused":
        this.#isOver = true;
        this.#owner.onState({ kind: "refused", text: message.text });
        return this.#link?.close();
      case undefined:
        // Not one of our servers, or a newer one: it will not get better.
        this.#isOver = true;
        this.#owner.onState({ kind: "refused", text: "the server speaks another protocol" });
        return this.#link?.close();
    }
  }

  #lost(): void {
    if (this.#isOver) return;
    this.#owner.onState({ kind: "lost", retryMs: this.#retryMs });
    this.#cancel = this.#world.after(this.#retryMs, () => this.#connect());
    this.#retryMs = Math.min(2 * this.#retryMs, lastRetryMs);
  }
}
