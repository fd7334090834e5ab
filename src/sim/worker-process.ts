/**
 * A worker's process on a simulated machine, and whoever looks after it: where the worker ends
 * and it may help, it is started again, as a person or a service manager would.
 */
import type { Done, Host, Link } from "../run/host.ts";
import type { SpanKind } from "../run/metrics/record.ts";
import { passingRefusals, Rejoiner, type RejoinerOptions } from "../run/worker/rejoiner.ts";
import type { WorkerEnd } from "../run/worker/worker-owner.ts";
import type { Clock } from "./world.ts";

/** Until a worker that could not join is started again. */
const againMs = 1000;

export interface WorkerProcessParts {
  readonly clock: Clock;
  readonly host: Host;
  readonly options: Omit<RejoinerOptions, "instance">;
  /** Names the process; a worker that is started again is another one. */
  instance(): string;
  /** Connects to the coordinator. */
  dial(done: Done<Link>): void;
  /** Whether a worker that has ended so is not started again. */
  isForGood(end: WorkerEnd): boolean;
  onEnd(end: WorkerEnd): void;
  onWork(kind: SpanKind, ms: number): void;
}

export class WorkerProcess {
  readonly #parts: WorkerProcessParts;
  #instance: string;
  #worker: Rejoiner | null = null;
  #notice: string | null = null;
  #failingMs: number | null = null;
  #isOver = false;

  constructor(parts: WorkerProcessParts) {
    this.#parts = parts;
    this.#instance = parts.instance();
  }

  /** What it is known by to the coordinator. */
  get instance(): string {
    return this.#instance;
  }

  /** See {@link Rejoiner.giveNotice}; where no worker runs at the moment, it ends at once. */
  giveNotice(text: string, withinMs: number): void {
    this.#notice = text;
    if (this.#worker === null) this.#end({ reason: "interrupted", text });
    else this.#worker.giveNotice(text, withinMs);
  }

  /** Takes a link that another machine's worker has dialled. */
  accept(link: Link): void {
    if (this.#worker === null) link.close();
    else this.#worker.accept(link);
  }

  /** Starts the worker. */
  join(): void {
    const { host, dial, options } = this.#parts;
    dial((answer) => {
      if (this.#isOver) {
        if (answer.ok) answer.value.close();
        return;
      }
      if (!answer.ok) return this.#ended({ reason: "lost", text: answer.error });
      const named = { ...options, instance: this.#instance };
      this.#worker = new Rejoiner(host, answer.value, dial, named, {
        onEvent: ({ type }) => {
          if (type === "welcomed") this.#failingMs = null;
        },
        onEnd: (end) => this.#ended(end),
        onWork: (kind, ms) => this.#parts.onWork(kind, ms),
      });
    });
  }

  #ended(end: WorkerEnd): void {
    const { clock, options, isForGood } = this.#parts;
    this.#worker = null;
    this.#failingMs ??= clock.elapsed();
    const isTooLate = clock.elapsed() - this.#failingMs >= options.patienceMs;
    if (this.#notice !== null || isTooLate || isForGood(end)) return this.#end(end);
    clock.after(againMs, () => {
      if (this.#isOver) return;
      this.#instance = this.#parts.instance();
      this.join();
    });
  }

  #end(end: WorkerEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#parts.onEnd(end);
  }
}

/** Whether a worker was refused for a reason that will not pass. */
export const isRefusedForGood = ({ reason, refusal }: WorkerEnd): boolean =>
  reason === "refused" && (refusal === undefined || !passingRefusals.has(refusal));
