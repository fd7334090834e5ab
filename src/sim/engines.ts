/**
 * Engines that need no platform. The null engine answers with tensors that have
 * a type and no values: speed and bytes of ten thousand devices for the price of
 * none. The interpreter computes real numbers, slowly, for small models.
 */
import { present } from "../base/assert.ts";
import { EdgeloomError } from "../base/errors.ts";
import {
  cloneTensor,
  type DenseTensor,
  dense,
  formatType,
  hollow,
  sameType,
  type Tensor,
  zeros,
} from "../base/tensor.ts";
import { interpret } from "../compile/interpret.ts";
import type { Program } from "../compile/program.ts";
import type { Engine, EngineAnswer, EngineRun, Slot } from "../run/host.ts";

/** What a run gives, computed when somebody first asks for any of it. */
class Results {
  #compute: (() => ReadonlyMap<string, Tensor>) | null;
  #values: ReadonlyMap<string, Tensor> = new Map();

  constructor(compute: () => ReadonlyMap<string, Tensor>) {
    this.#compute = compute;
  }

  output(name: string): Tensor {
    if (this.#compute !== null) {
      this.#values = this.#compute();
      // It holds what the run was fed.
      this.#compute = null;
    }
    return present(this.#values.get(name), name);
  }
}

/** An output that a slot holds, and nobody has asked for. */
interface PutOff {
  readonly results: Results;
  readonly name: string;
}

/**
 * Slots and programs, which all engines keep alike. `compute` is all that differs. A run of which
 * nothing is fetched waits until a slot that keeps some of it is used: a probe's never is.
 */
class SlotEngine implements Engine {
  readonly description: string;
  readonly isHollow: boolean;
  readonly #compute: (
    program: Program,
    feeds: ReadonlyMap<string, Tensor>,
  ) => ReadonlyMap<string, Tensor>;
  readonly #programs = new Map<string, Program>();
  readonly #slots = new Map<Slot, Tensor | PutOff>();
  #isClosed = false;

  constructor(
    description: string,
    compute: (program: Program, feeds: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>,
    isHollow = false,
  ) {
    this.description = description;
    this.isHollow = isHollow;
    this.#compute = compute;
  }

  load(programs: readonly Program[]): Promise<void> {
    return this.#answer(() => {
      for (const program of programs) this.#programs.set(program.id, program);
    });
  }

  write(values: ReadonlyMap<Slot, Tensor>): Promise<void> {
    return this.#answer(() => {
      for (const [slot, value] of values) this.#slots.set(slot, value);
    });
  }

  read(slots: readonly Slot[]): Promise<ReadonlyMap<Slot, Tensor>> {
    return this.#answer(() => {
      const copies = new Map<Slot, Tensor>();
      for (const slot of slots) {
        const value = this.#slot(slot);
        copies.set(slot, ownCopy(value));
      }
      return copies;
    });
  }

  run(run: EngineRun): Promise<EngineAnswer> {
    return this.#answer(() => {
      const program = this.#programs.get(run.program);
      if (program === undefined) throw new EdgeloomError(`no program ${run.program} is loaded`);
      const feeds = new Map<string, Tensor>();
      for (const port of program.inputs) {
        const given = run.feeds.get(port.name);
        if (given === undefined) throw new EdgeloomError(`input "${port.name}" is not fed`);
        const value = typeof given === "string" ? this.#slot(given) : given;
        if (!sameType(value, port)) {
          throw new EdgeloomError(
            `input "${port.name}" is ${formatType(port)}, fed with ${formatType(value)}`,
          );
        }
        feeds.set(port.name, value);
      }
      for (const name of [...run.fetch, ...run.keep.keys()]) {
        if (program.outputs.some((port) => port.name === name)) continue;
        throw new EdgeloomError(`the program has no output "${name}"`);
      }
      const results = new Results(() => this.#compute(program, feeds));
      const outputs = new Map(run.fetch.map((name) => [name, ownCopy(results.output(name))]));
      const isPutOff = run.fetch.length === 0;
      const kept = [...run.keep].map(
        ([name, slot]) => [slot, isPutOff ? { results, name } : results.output(name)] as const,
      );
      for (const [slot, value] of kept) this.#slots.set(slot, value);
      return { outputs, computeMs: 0 };
    });
  }

  drop(prefix: string): Promise<void> {
    return this.#answer(() => {
      for (const slot of [...this.#slots.keys()]) {
        if (slot.startsWith(prefix)) this.#slots.delete(slot);
      }
    });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#slots.clear();
    this.#programs.clear();
    return Promise.resolve();
  }

  #slot(slot: Slot): Tensor {
    const held = this.#slots.get(slot);
    if (held === undefined) throw new EdgeloomError(`slot "${slot}" holds nothing`);
    if (!("results" in held)) return held;
    const value = held.results.output(held.name);
    this.#slots.set(slot, value);
    return value;
  }

  /** Does the work now, in order of the calls, and answers as a promise. */
  #answer<T>(work: () => T): Promise<T> {
    if (this.#isClosed) return Promise.reject(new EdgeloomError("the engine is closed"));
    try {
      return Promise.resolve(work());
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** What leaves an engine shares no memory with what stays in it. */
const ownCopy = (value: Tensor): Tensor =>
  value.data === null ? value : cloneTensor(dense(value));

/** Tensors without values, at once. */
export const nullEngine = (): Engine =>
  new SlotEngine(
    "null",
    (program) => new Map(program.outputs.map((port) => [port.name, hollow(port)])),
    true,
  );

/** Zeros at once: the null engine where tensors have to travel over real sockets. */
export const zeroEngine = (): Engine =>
  new SlotEngine(
    "zeros",
    (program) => new Map(program.outputs.map((port) => [port.name, zeros(port)])),
  );

/** The reference interpreter, for small models and tests. */
export const interpreterEngine = (): Engine =>
  new SlotEngine("interpreter", (program, feeds) => {
    const values = new Map<string, DenseTensor>();
    for (const [name, value] of feeds) values.set(name, dense(value));
    return interpret(program.graph, values);
  });
