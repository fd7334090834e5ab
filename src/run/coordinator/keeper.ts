/** Keeps a run's files in the store: plan, weights, model. What it writes is always a committed state. */
import { writeSafetensors } from "../../base/safetensors.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Store } from "../host.ts";
import type { CompiledJob } from "./compiled-job.ts";
import type { TrainingState } from "./training-state.ts";

export class Keeper {
  readonly #store: Store;
  readonly #compiled: CompiledJob;
  readonly #state: TrainingState;
  readonly #onDone: () => void;
  #writing = 0;
  /** By file: why its newest write failed. */
  readonly #failures = new Map<string, string>();

  /** @param onDone called after every write, so that whoever waits can look again */
  constructor(store: Store, compiled: CompiledJob, state: TrainingState, onDone: () => void) {
    this.#store = store;
    this.#compiled = compiled;
    this.#state = state;
    this.#onDone = onDone;
  }

  get isBusy(): boolean {
    return this.#writing > 0;
  }

  /** A file that could not be written, and why; null where all is well. */
  get failure(): string | null {
    const [first] = this.#failures;
    return first === undefined ? null : `${first[0]}: ${first[1]}`;
  }

  /** The inference model with the current weights. */
  saveModel(): void {
    const weights = this.#state.weights();
    if (weights !== null) this.#write("model.onnx", this.#compiled.inferenceModel(weights));
  }

  /**
   * The current weights. Unless `must` be, they are skipped while a write is under
   * way: a slow disk skips rounds, not time.
   */
  saveWeights(rounds: number, must: boolean): void {
    const weights = this.#state.weights();
    if (weights === null || (this.isBusy && !must)) return;
    this.#write("weights.safetensors", writeSafetensors(weights, { rounds: String(rounds) }));
  }

  savePlan(plan: Plan): void {
    this.#write("plan.json", new TextEncoder().encode(`${JSON.stringify(plan, null, 2)}\n`));
  }

  #write(name: string, bytes: Uint8Array): void {
    this.#writing++;
    this.#store.write(name, bytes, (outcome) => {
      this.#writing--;
      if (outcome.ok) this.#failures.delete(name);
      else this.#failures.set(name, outcome.error);
      this.#onDone();
    });
  }
}
