/**
 * Keeps a run: its decisions in the journal, the tensors they speak of beside it, and
 * the files that people use (plan, weights, model) in the store. What it keeps is always a
 * committed state.
 */
import { safetensorsParts, writeSafetensors } from "../../base/safetensors.ts";
import type { DenseTensor, Tensor } from "../../base/tensor.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Done, Journal, Store } from "../host.ts";
import type { RoundCommitted } from "../metrics/record.ts";
import type { CompiledJob } from "./compiled-job.ts";
import { type Checkpoint, checkpointsKept, type Decision, entryText } from "./journal.ts";
import type { TrainingState } from "./training-state.ts";

export interface KeeperParts {
  readonly store: Store;
  readonly journal: Journal;
  readonly compiled: CompiledJob;
  readonly state: TrainingState;
  /** Where the tensors are that the run begins with; null for a run that begins anew. */
  readonly checkpoint: Checkpoint | null;
  /** Called after every write to the store, so that whoever waits can look again. */
  onDone(): void;
}

export class Keeper {
  readonly #parts: KeeperParts;
  #writing = 0;
  /** By file: why its newest write failed. */
  readonly #failures = new Map<string, string>();
  /** Newest last. */
  #checkpoints: Checkpoint[];

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#checkpoints = parts.checkpoint === null ? [] : [parts.checkpoint];
  }

  get isBusy(): boolean {
    return this.#writing > 0;
  }

  /** A file that could not be written, and why; null where all is well. */
  get failure(): string | null {
    const [first] = this.#failures;
    return first === undefined ? null : `${first[0]}: ${first[1]}`;
  }

  /** Writes a decision down. @param done called once it may be acted upon */
  decide(decision: Decision, done: Done<null>): void {
    this.#parts.journal.append(entryText(decision), done);
  }

  /**
   * Keeps the segments that a round has changed, and what codecs remember, and writes the round down.
   * @param merged the trained tensors after the round
   * @param done called once the round may be acted upon
   */
  commit(record: RoundCommitted, merged: ReadonlyMap<string, Tensor>, done: Done<null>): void {
    const { journal, state } = this.#parts;
    const changed = state.changedBy(merged);
    const checkpoint: Record<string, string> = { ...this.#checkpoints.at(-1) };
    let missing = changed.length;
    let problem: string | null = null;
    const append = (): void => {
      if (problem !== null) return done({ ok: false, error: problem });
      journal.append(entryText(record, checkpoint), (outcome) => {
        if (outcome.ok) this.#adopt(checkpoint);
        done(outcome);
      });
    };
    if (missing === 0) return append();
    for (const { what, tensors } of changed) {
      journal.keep(safetensorsParts(tensors), (outcome) => {
        if (outcome.ok) checkpoint[what] = outcome.value;
        else problem = outcome.error;
        if (--missing === 0) append();
      });
    }
  }

  /** Frees what only older checkpoints speak of. */
  #adopt(checkpoint: Checkpoint): void {
    const all = [...this.#checkpoints, checkpoint];
    this.#checkpoints = all.slice(-checkpointsKept);
    const kept = new Set(this.#checkpoints.flatMap((held) => Object.values(held)));
    const freed = all.slice(0, -checkpointsKept).flatMap((old) => Object.values(old));
    const names = freed.filter((name) => !kept.has(name));
    if (names.length > 0) this.#parts.journal.release(names);
  }

  /** The inference model with the current weights. */
  saveModel(): void {
    const weights = this.#weights();
    if (weights !== null) this.#write("model.onnx", this.#parts.compiled.inferenceModel(weights));
  }

  /**
   * The current weights. Unless `must` be, they are skipped while a write is under
   * way: a slow disk skips rounds, not time.
   */
  saveWeights(rounds: number, must: boolean): void {
    const weights = this.#weights();
    if (weights === null || (this.isBusy && !must)) return;
    this.#write("weights.safetensors", writeSafetensors(weights, { rounds: String(rounds) }));
  }

  savePlan(plan: Plan): void {
    this.#write("plan.json", new TextEncoder().encode(`${JSON.stringify(plan, null, 2)}\n`));
  }

  #weights(): Map<string, DenseTensor> | null {
    return this.#parts.state.weights();
  }

  #write(name: string, bytes: Uint8Array): void {
    this.#writing++;
    this.#parts.store.write(name, bytes, (outcome) => {
      this.#writing--;
      if (outcome.ok) this.#failures.delete(name);
      else this.#failures.set(name, outcome.error);
      this.#parts.onDone();
    });
  }
}
