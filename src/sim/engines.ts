/**
 * Engines that need no platform. The null engine answers with tensors that have
 * a type and no values: speed and bytes of ten thousand devices for the price of
 * none. The interpreter computes real numbers, slowly, for small models.
 */
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

/** Slots and programs, which both engines keep alike. `compute` is all that differs. */
class SlotEngine implements Engine {
  readonly description: string;
  readonly isHollow: boolean;
  readonly #compute: (
    program: Program,
    feeds: ReadonlyMap<string, Tensor>,
  ) => ReadonlyMap<string, Tensor>;
  readonly #programs = new Map<string, Program>();
  readonly #slots = new Map<Slot, Tensor>();
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
      const results = this.#compute(program, feeds);
      const output = (name: string): Tensor => {
        const value = results.get(name);
        if (value === undefined) throw new EdgeloomError(`the program has no output "${name}"`);
        return value;
      };
      const outputs = new Map(run.fetch.map((name) => [name, ownCopy(output(name))]));
      const kept = [...run.keep].map(([name, slot]) => [slot, output(name)] as const);
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
    const value = this.#slots.get(slot);
    if (value === undefined) throw new EdgeloomError(`slot "${slot}" holds nothing`);
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
