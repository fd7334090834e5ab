/**
 * Keeps a worker in its run: when the link is lost (the coordinator is started again, a lid
 * was closed, the address has changed) it dials again, with growing pauses and jitter, and
 * joins as the same worker. A worker keeps nothing between rounds that the coordinator does
 * not bring again, so a new one takes over where the old one was; but where the old one goes on with its
 * neighbours, it does so until the new one has a plan.
 *
 * Invariants:
 * 1. At most one worker has a link to the coordinator at a time, and at most one trains.
 * 2. A worker that was told to end, was refused or has failed is not joined again.
 * 3. The end is reported to the owner exactly once.
 */
import type { Cancel, Done, Host, Link } from "../host.ts";
import type { SpanKind } from "../metrics/record.ts";
import type { RefusalReason } from "../wire/messages.ts";
import { Worker } from "./worker.ts";
import type { TensorTraffic, WorkerEnd, WorkerEvent, WorkerOptions } from "./worker-owner.ts";

/** What a rejoiner tells its owner while it lives, in order. */
export type RejoinerEvent =
  | WorkerEvent
  /** The link is gone; it dials again in so many milliseconds. */
  | { readonly type: "lost"; readonly text: string; readonly retryMs: number };

export interface RejoinerOwner {
  onEvent(event: RejoinerEvent): void;
  onEnd(end: WorkerEnd): void;
  /** See {@link WorkerOwner.onTensors}. */
  onTensors?(traffic: TensorTraffic): void;
  /** See {@link WorkerOwner.onWork}. */
  onWork?(kind: SpanKind, ms: number): void;
}

export interface RejoinerOptions extends Omit<WorkerOptions, "instance"> {
  /** See {@link WorkerOptions.instance}; drawn where absent. Who keeps it comes back as the same worker. */
  readonly instance?: string;
  /** How long it tries to come back before it gives up. */
  readonly patienceMs: number;
}

/** Pauses between two attempts: doubled from the first to the longest, of which a random half is taken off. */
const firstPauseMs = 500;
const longestPauseMs = 15_000;

/** Refusals that pass: the coordinator has not noticed yet that the old link is gone. */
export const passingRefusals: ReadonlySet<RefusalReason> = new Set([
  "token in use",
  "name in use",
  "fleet full",
]);

export class Rejoiner {
  readonly #host: Host;
  readonly #dial: (done: Done<Link>) => void;
  readonly #options: RejoinerOptions;
  readonly #owner: RejoinerOwner;
  readonly #instance: string;
  #worker: Worker | null = null;
  /** The worker before it, which goes on without the coordinator; null where that is not so. */
  #alone: Worker | null = null;
  #pause: Cancel | null = null;
  #wasMember = false;
  #attempts = 0;
  /** Since when the link is gone, and how it was lost. */
  #lostMs = 0;
  #lostText = "";
  #isOver = false;

  /**
   * @param first an open link to begin with
   * @param dial opens another one to the same coordinator
   */
  constructor(
    host: Host,
    first: Link,
    dial: (done: Done<Link>) => void,
    options: RejoinerOptions,
    owner: RejoinerOwner,
  ) {
    this.#host = host;
    this.#dial = dial;
    this.#options = options;
    this.#owner = owner;
    const word = (): string =>
      host.random
        .below(2 ** 32)
        .toString(16)
        .padStart(8, "0");
    this.#instance = options.instance ?? word() + word();
    this.#start(first);
  }

  /** Finishes the round under way, if there is one, and ends: see {@link Worker.giveNotice}. */
  giveNotice(text: string, withinMs: number): void {
    if (this.#worker === null) this.leave(text);
    else this.#worker.giveNotice(text, withinMs);
  }

  /** Says goodbye and ends at once. */
  leave(text: string): void {
    if (this.#worker === null) this.#finish({ reason: "interrupted", text });
    else this.#worker.leave(text);
  }

  /** Takes a link that another worker has dialled; while this one is away, nobody is there. */
  accept(link: Link): void {
    const isOver = this.#alone?.alone?.isOver ?? true;
    const worker = isOver ? this.#worker : this.#alone;
    if (worker === null) link.close();
    else worker.accept(link);
  }

  #start(link: Link): void {
    this.#worker = new Worker(
      this.#host,
      link,
      { ...this.#options, instance: this.#instance, before: this.#alone?.alone ?? null },
      {
        onEvent: (event) => this.#happened(event),
        onEnd: (end) => this.#ended(end),
        onTensors: (traffic) => this.#owner.onTensors?.(traffic),
        onWork: (kind, ms) => this.#owner.onWork?.(kind, ms),
      },
    );
  }

  #happened(event: WorkerEvent): void {
    if (event.type === "welcomed") {
      this.#wasMember = true;
      this.#attempts = 0;
    }
    // It has ended the one before.
    if (event.type === "planned") this.#alone = null;
    this.#owner.onEvent(event);
  }

  #ended(end: WorkerEnd): void {
    if (this.#worker?.alone) this.#alone = this.#worker;
    else this.#alone?.alone?.goOn();
    this.#worker = null;
    if (this.#attempts === 0) {
      this.#lostMs = this.#host.now();
      this.#lostText = end.text;
    }
    const isPassing = end.refusal !== undefined && passingRefusals.has(end.refusal);
    if (this.#wasMember && (end.reason === "lost" || isPassing)) this.#retry(end);
    else this.#finish(end);
  }

  #retry(end: WorkerEnd): void {
    if (this.#isOver) return;
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** this.#attempts);
    const retryMs = pauseMs * (0.5 + 0.5 * this.#host.random.uniform());
    if (this.#host.now() + retryMs - this.#lostMs > this.#options.patienceMs) {
      const seconds = (this.#options.patienceMs / 1000).toFixed(0);
      const text = `${this.#lostText}, and could not be reached again within ${seconds} s`;
      return this.#finish({ reason: "lost", text });
    }
    this.#attempts++;
    this.#owner.onEvent({ type: "lost", text: end.text, retryMs });
    this.#pause = this.#host.after(retryMs, () => {
      this.#dial((outcome) => {
        if (this.#isOver) {
          if (outcome.ok) outcome.value.close();
        } else if (outcome.ok) this.#start(outcome.value);
        else this.#retry({ reason: "lost", text: outcome.error });
      });
    });
  }

  #finish(end: WorkerEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#alone?.alone?.end();
    this.#pause?.();
    this.#owner.onEnd(end);
  }
}
