/**
 * The node's processor as the plan sees it: a duty cycle of one core. With a
 * duty below 1, every run takes at least its profiled time divided by the duty,
 * held by sleeping (what a late timer lost is made up for); runs then take turns.
 * With duty 1 nothing is held back and the engine keeps the order.
 */
import type { ProgramKind } from "../../compile/program.ts";
import type { Profile } from "../../plan/plan.ts";
import { heldMs, type TimedProgram } from "../../plan/program-time.ts";
import type { EngineAnswer, EngineRun, Host, Outcome } from "../host.ts";
import { Lateness } from "../lateness.ts";

/** What a run gave, and how long it held the processor, sleep included. */
export type ProcessorDone = (outcome: Outcome<EngineAnswer>, busyMs: number) => void;

interface Job {
  readonly program: TimedProgram;
  readonly run: EngineRun;
  readonly done: ProcessorDone;
}

export class Processor {
  readonly #host: Host;
  readonly #note: (kind: ProgramKind, fromMs: number, ms: number) => void;
  #duty = 1;
  #profile: Profile | null = null;
  readonly #waiting: Job[] = [];
  #isBusy = false;
  readonly #lateness = new Lateness();

  /** @param note told of each run when it is done: from when and for how long it held the processor */
  constructor(host: Host, note: (kind: ProgramKind, fromMs: number, ms: number) => void) {
    this.#host = host;
    this.#note = note;
  }

  /** Share of one core's time, above 0 and at most 1. Takes effect with the next run. */
  setDuty(duty: number): void {
    this.#duty = duty;
  }

  /** Takes over how fast the node is; before, nothing is held back. */
  setProfile(profile: Profile): void {
    this.#profile = profile;
  }

  run(program: TimedProgram, run: EngineRun, done: ProcessorDone): void {
    const job = { program, run, done };
    if (this.#duty === 1) this.#start(job, () => {});
    else {
      this.#waiting.push(job);
      this.#startNext();
    }
  }

  /** Forgets the runs whose turn has not come: nobody waits for what they give any more. */
  clear(): void {
    this.#waiting.length = 0;
  }

  #startNext(): void {
    if (this.#isBusy) return;
    const job = this.#waiting.shift();
    if (job === undefined) return;
    this.#isBusy = true;
    this.#start(job, () => {
      this.#isBusy = false;
      this.#startNext();
    });
  }

  #start(job: Job, after: () => void): void {
    const startedMs = this.#host.now();
    const leastMs =
      this.#duty === 1 || this.#profile === null
        ? 0
        : this.#lateness.shortened(heldMs(this.#profile, job.program, this.#duty));
    this.#host.engine.run(job.run, (outcome) => {
      const restMs = startedMs + leastMs - this.#host.now();
      const finish = (): void => {
        const now = this.#host.now();
        const computeMs = outcome.ok ? outcome.value.computeMs : 0;
        // With a whole core, runs wait in the engine's queue: only the computing is theirs.
        const busyMs = this.#duty === 1 ? computeMs : now - startedMs;
        this.#note(job.program.kind, now - busyMs, busyMs);
        job.done(outcome, busyMs);
        after();
      };
      if (restMs <= 0) return finish();
      this.#host.after(restMs, () => {
        this.#lateness.add(this.#host.now() - startedMs - leastMs);
        finish();
      });
    });
  }
}
