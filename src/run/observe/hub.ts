/**
 * The server's side of observing: checks tokens, sends each observer the records
 * it lacks and then what is new, in batches. An observer has a place in the log
 * and no queue of its own, so a slow one costs no memory: it falls behind and
 * catches up, and only activity, which is for the moment, is lost to it.
 *
 * Invariants:
 * 1. Nothing of a run is sent before the right token has come.
 * 2. Lasting records reach an observer in order, each once per connection.
 * 3. `onWatch` is told exactly when the first observer comes and the last one leaves.
 */
import type { TimedRecord } from "../metrics/record.ts";
import {
  type ObserverRefusal,
  observerProtocol,
  readObserveMessage,
  type ServerMessage,
} from "./messages.ts";
import type { TextLink } from "./observer.ts";

/** The lasting records of a run, as JSON texts in their order. */
export interface RecordLog {
  readonly count: number;
  /** Texts from number `from` on, at least one where there is one, and not many more bytes than asked. */
  read(from: number, bytesMax: number): readonly string[];
}

export interface HubOptions {
  /** The run and its log; null where a server shows past runs only. */
  readonly live: { readonly run: string; readonly log: RecordLog } | null;
  accepts(token: string): boolean;
  after(delayMs: number, fire: () => void): () => void;
  /** Somebody watches from now on, or nobody any more. */
  onWatch(isWatched: boolean): void;
}

interface Watching {
  readonly link: TextLink;
  /** Lasting records sent. */
  next: number;
  /** Number of the next activity record to send. */
  activity: number;
}

/** Records that come within so many milliseconds travel together: at most 20 updates a second. */
const batchMs = 50;
/** An observer with so many bytes on their way is sent nothing more for now. */
const pendingBytesMax = 4_000_000;
const messageBytesMax = 1_000_000;
/** Activity kept for those who come or fall behind. */
const activityKept = 1_000;
/** Who connects has so long to show a token. */
const silenceMs = 10_000;

export class ObserverHub {
  readonly #options: HubOptions;
  readonly #watching = new Set<Watching>();
  /** Connections that have not shown a token, with the timer that ends each. */
  readonly #visitors = new Map<TextLink, () => void>();
  #activity: string[] = [];
  /** Number of the first record in `#activity`. */
  #activityFrom = 0;
  #batch: (() => void) | null = null;

  constructor(options: HubOptions) {
    this.#options = options;
  }

  /** Takes a new connection; the observer on it shows its token first. */
  accept(link: TextLink): void {
    let watching: Watching | null = null;
    this.#visitors.set(
      link,
      this.#options.after(silenceMs, () => link.close()),
    );
    link.onText = (text) => {
      if (watching === null) watching = this.#admit(link, text);
      else this.#refuse(link, "protocol", "an observer says nothing after its first message");
    };
    link.onClose = () => {
      this.#greeted(link);
      if (watching === null || !this.#watching.delete(watching)) return;
      if (this.#watching.size > 0) return;
      this.#activity = [];
      this.#options.onWatch(false);
    };
  }

  /** A record has been emitted; a lasting one is in the log already. */
  publish({ atMs, record }: TimedRecord): void {
    if (this.#watching.size === 0) return;
    if (record.type === "activity") {
      this.#activity.push(JSON.stringify({ atMs: Math.round(atMs), ...record }));
      const surplus = this.#activity.length - activityKept;
      if (surplus > 0) {
        this.#activity.splice(0, surplus);
        this.#activityFrom += surplus;
      }
    }
    this.#batch ??= this.#options.after(batchMs, () => this.#flush());
  }

  /** Sends what is left to whoever takes it, and ends all connections. */
  close(): void {
    this.#flush();
    this.#batch?.();
    for (const { link } of [...this.#watching]) link.close();
    for (const link of [...this.#visitors.keys()]) link.close();
  }

  #greeted(link: TextLink): void {
    this.#visitors.get(link)?.();
    this.#visitors.delete(link);
  }

  #admit(link: TextLink, text: string): Watching | null {
    this.#greeted(link);
    const message = readObserveMessage(text);
    const { live, accepts } = this.#options;
    if (message === null) return this.#refuse(link, "protocol", "that is no observer's greeting");
    if (message.protocol !== observerProtocol) {
      const own = `observer protocol ${message.protocol} is not ours, ${observerProtocol}`;
      return this.#refuse(link, "version", `${own}: reload the page`);
    }
    if (!accepts(message.token)) {
      return this.#refuse(
        link,
        "token",
        "the token is not of this server: open the link it printed",
      );
    }
    if (live === null) return this.#refuse(link, "no run", "no run is under way here");
    const isSame = message.run === live.run && message.from <= live.log.count;
    const from = isSame ? message.from : 0;
    send(link, { type: "observing", run: live.run, from });
    const watching = { link, next: from, activity: this.#activityFrom };
    this.#watching.add(watching);
    if (this.#watching.size === 1) this.#options.onWatch(true);
    this.#catchUp(watching);
    return watching;
  }

  #refuse(link: TextLink, reason: ObserverRefusal, text: string): null {
    send(link, { type: "refused", reason, text });
    link.close();
    return null;
  }

  #flush(): void {
    this.#batch = null;
    let isBehind = false;
    for (const watching of this.#watching) isBehind = this.#catchUp(watching) || isBehind;
    if (isBehind) this.#batch = this.#options.after(batchMs, () => this.#flush());
  }

  /** Sends an observer what it lacks, as far as it keeps up; true where something is left. */
  #catchUp(watching: Watching): boolean {
    const { live } = this.#options;
    if (live === null) return false;
    const { link } = watching;
    while (link.pendingBytes <= pendingBytesMax) {
      const lasting = live.log.read(watching.next, messageBytesMax);
      const isWhole = watching.next + lasting.length === live.log.count;
      // Activity is for the moment: it comes when the lasting records are all there.
      const skip = Math.max(0, watching.activity - this.#activityFrom);
      const activity = isWhole ? this.#activity.slice(skip) : [];
      if (lasting.length + activity.length === 0) return false;
      watching.next += lasting.length;
      if (isWhole) watching.activity = this.#activityFrom + this.#activity.length;
      const records = [...lasting, ...activity].join(",");
      link.send(`{"type":"records","next":${watching.next},"records":[${records}]}`);
    }
    return true;
  }
}

const send = (link: TextLink, message: ServerMessage): void => link.send(JSON.stringify(message));
