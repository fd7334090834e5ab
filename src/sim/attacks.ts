/**
 * Simulated machines that mean harm: an engine between the worker and its numbers, which lies about what was computed.
 * The worker is the honest one; it sends on what its engine says. So attacks need no word in the protocol and no
 * line in a peer, and whatever the worker sends (gradients, changes of weights, contributions, losses) is lied about
 * alike.
 */
import { present } from "../base/assert.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { Port, Program } from "../compile/program.ts";
import type { Engine, EngineAnswer, EngineRun, Slot } from "../run/host.ts";

/**
 * - `sign-flip`: what was computed, times -`factor`.
 * - `scaled`: what was computed, times `factor`.
 * - `lying-loss`: as `scaled`, and batches have lost nothing: the best of all, by its own account.
 */
export interface SimAttack {
  readonly kind: "sign-flip" | "scaled" | "lying-loss";
  readonly factor: number;
}

/** Wraps an engine in an attack, which begins with what the engine computes, not with what is written into it. */
export function attacking(engine: Engine, attack: SimAttack): Engine {
  return new LyingEngine(engine, attack);
}

class LyingEngine implements Engine {
  readonly description: string;
  readonly isHollow: boolean;
  readonly #engine: Engine;
  readonly #factor: number;
  readonly #saysNoLoss: boolean;
  readonly #programs = new Map<string, Program>();
  /** What slots are for, as programs have used them. */
  readonly #roles = new Map<Slot, Port["role"]>();
  /** What was written last: what is in a slot now differs from it by what was computed. */
  readonly #written = new Map<Slot, Tensor>();

  constructor(engine: Engine, { kind, factor }: SimAttack) {
    this.#engine = engine;
    this.description = engine.description;
    this.isHollow = engine.isHollow ?? false;
    this.#factor = kind === "sign-flip" ? -factor : factor;
    this.#saysNoLoss = kind === "lying-loss";
  }

  load(programs: readonly Program[]): Promise<void> {
    for (const program of programs) this.#programs.set(program.id, program);
    return this.#engine.load(programs);
  }

  write(values: ReadonlyMap<Slot, Tensor>): Promise<void> {
    for (const [slot, value] of values) {
      // The engine takes over the memory.
      const { dtype, shape, data } = value;
      if (data !== null) this.#written.set(slot, tensor(dtype, shape, data.slice()));
    }
    return this.#engine.write(values);
  }

  read(slots: readonly Slot[]): Promise<ReadonlyMap<Slot, Tensor>> {
    return this.#engine.read(slots).then((values) => {
      return new Map([...values].map(([slot, value]) => [slot, this.#lie(slot, value)]));
    });
  }

  run(run: EngineRun): Promise<EngineAnswer> {
    const { inputs, outputs } = present(this.#programs.get(run.program), run.program);
    for (const { name, role } of inputs) {
      const fed = run.feeds.get(name);
      if (typeof fed === "string") this.#roles.set(fed, role);
    }
    for (const { name, role } of outputs) {
      const kept = run.keep.get(name);
      if (kept !== undefined) this.#roles.set(kept, role);
    }
    const lost = outputs.find(({ role }) => role === "loss");
    return this.#engine.run(run).then((answer) => {
      const loss = lost === undefined ? undefined : answer.outputs.get(lost.name);
      if (lost === undefined || !this.#saysNoLoss || !loss?.data) return answer;
      const nothing = tensor("float32", loss.shape, new Float32Array(loss.data.length));
      return { ...answer, outputs: new Map([...answer.outputs, [lost.name, nothing]]) };
    });
  }

  drop(prefix: string): Promise<void> {
    for (const slot of [...this.#written.keys()]) {
      if (slot.startsWith(prefix)) this.#written.delete(slot);
    }
    return this.#engine.drop(prefix);
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  /** Gradients are all computed; of what is trained, what has changed since it was written. */
  #lie(slot: Slot, value: Tensor): Tensor {
    const { dtype, shape, data } = value;
    const role = this.#roles.get(slot);
    const isTrained = role === "parameter" || role === "state";
    if (data === null || dtype !== "float32") return value;
    if (!isTrained && role !== "parameterGradient") return value;
    const base = isTrained ? this.#written.get(slot)?.data : undefined;
    const lied = Float32Array.from(data as Float32Array, (own, i) => {
      const from = Number(base?.[i] ?? 0);
      return from + this.#factor * (own - from);
    });
    return tensor(dtype, shape, lied);
  }
}
