/**
 * The side of an engine that computes: holds ONNX Runtime's sessions and the
 * named slots, and carries out commands one after the other, in the order they
 * came. It lives in a thread of its own because `session.run` may block the
 * thread that calls it. Which build of ONNX Runtime it drives, its caller says.
 *
 * No tensor is ever changed in place. ONNX Runtime orders a graph's nodes as it
 * likes, so a weight written over its own input could reach a gradient that
 * still needs the old value; and its bindings copy every output into a fresh
 * buffer anyway, so there is nothing to gain. A slot that is fed and kept simply
 * gets the new tensor when the run has succeeded.
 */
import { assert, present, unreachable } from "../base/assert.ts";
import { EdgeloomError, messageOf } from "../base/errors.ts";
import { type DenseTensor, formatType, sameType, type TensorType, tensor } from "../base/tensor.ts";
import { writeOnnx } from "../compile/onnx/write.ts";
import type { Port, Program } from "../compile/program.ts";
import type { EngineAnswer, EngineRun, Slot } from "../run/host.ts";
import type { EngineCommand, EngineReply, EngineRequest, EngineValue } from "./messages.ts";

/** What is used of ONNX Runtime's tensors; its builds for Node.js and browsers share them. */
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  /** "cpu", or a place from which `getData` must fetch the values first. */
  readonly location: string;
  /** Its values. A tensor that was elsewhere is on the CPU from then on; `release` frees its place. */
  getData(release?: boolean): Promise<unknown>;
  /** Its values where it is on the CPU; elsewhere this throws. */
  readonly data: unknown;
  /** Frees what the tensor holds outside JavaScript's memory. */
  dispose(): void;
}

/** What is used of ONNX Runtime's sessions. */
export interface OrtSession {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  run(
    feeds: Record<string, OrtTensor>,
    fetches: readonly string[],
  ): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** A build of ONNX Runtime, ready to compute. */
export interface OrtRuntime {
  createSession(bytes: Uint8Array, program: Program): Promise<OrtSession>;
  createTensor(value: DenseTensor): OrtTensor;
  /** Done when all that was asked for is computed: `run` of a GPU may end before its work does. */
  settle(): Promise<void>;
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
}

/** Settings of sessions that are the same in every build. */
export const sessionOptions = {
  // Plans of memory come on top of what the first run has taken, and are no faster.
  enableMemPattern: false,
  // Beyond this come memory layouts for constant weights, which ours are not.
  graphOptimizationLevel: "extended",
  // Failures come as exceptions; the log would only repeat them.
  logSeverityLevel: 4,
  // Many engines share a machine: threads wait actively during a run only, never between runs.
  extra: { session: { force_spinning_stop: "1" } },
} as const;

interface Loaded {
  readonly program: Program;
  readonly session: OrtSession;
}

/** A tensor in a slot: as ONNX Runtime sees it, and its type as we check it. */
interface Held {
  readonly type: TensorType;
  readonly value: OrtTensor;
}

/** Sessions and slots. Each method finishes before the next one starts. */
class Sessions {
  readonly #runtime: OrtRuntime;
  readonly #loaded = new Map<string, Loaded>();
  readonly #slots = new Map<Slot, Held>();
  /** How many slots hold a buffer: one tensor may have been written to several. */
  readonly #holders = new Map<ArrayBuffer, number>();

  constructor(runtime: OrtRuntime) {
    this.#runtime = runtime;
  }

  async execute(command: EngineCommand): Promise<EngineValue> {
    switch (command.type) {
      case "load":
        return this.#load(command.program);
      case "write":
        return this.#write(command.values);
      case "read":
        return this.#read(command.slots);
      case "run":
        return this.#run(command.run);
      case "drop":
        return this.#drop(command.prefix);
      case "close":
        return this.#close();
      default:
        return unreachable(command);
    }
  }

  async #load(program: Program): Promise<null> {
    const bytes = writeOnnx(program.graph);
    try {
      const session = await this.#runtime.createSession(bytes, program);
      this.#loaded.set(program.id, { program, session });
    } catch (error) {
      throw new EdgeloomError(`ONNX Runtime refuses ${nameOf(program)}: ${messageOf(error)}`);
    }
    return null;
  }

  #write(values: ReadonlyMap<Slot, DenseTensor>): null {
    for (const [slot, value] of values) this.#keep(slot, this.#hold(value));
    return null;
  }

  async #read(slots: readonly Slot[]): Promise<Map<Slot, DenseTensor>> {
    const copies = new Map<Slot, DenseTensor>();
    for (const slot of slots) copies.set(slot, await copyOf(this.#slot(slot)));
    return copies;
  }

  async #run({ program: id, feeds, keep, fetch }: EngineRun): Promise<EngineAnswer> {
    const loaded = this.#loaded.get(id);
    if (loaded === undefined) throw new EdgeloomError(`no program ${id} is loaded`);
    const { program, session } = loaded;
    const values: Record<string, OrtTensor> = {};
    for (const port of program.inputs) values[port.name] = this.#fed(program, port, feeds);
    const ports = new Map(program.outputs.map((port) => [port.name, port]));
    // Each output costs a copy, so only those that someone wants are asked for.
    const wanted = [...new Set([...keep.keys(), ...fetch])];
    for (const name of wanted) {
      if (!ports.has(name)) throw new EdgeloomError(`${nameOf(program)} has no output "${name}"`);
    }
    const startedMs = this.#runtime.now();
    let results: Record<string, OrtTensor>;
    try {
      results = await (wanted.length === 0 ? session.run(values) : session.run(values, wanted));
      await this.#runtime.settle();
    } catch (error) {
      throw new EdgeloomError(`${nameOf(program)} failed: ${messageOf(error)}`);
    }
    const computeMs = this.#runtime.now() - startedMs;
    const held = (name: string): Held =>
      heldOutput(present(ports.get(name), name), present(results[name], name));
    const outputs = new Map<string, DenseTensor>();
    for (const name of fetch) {
      const output = held(name);
      outputs.set(name, await (keep.has(name) ? copyOf(output) : viewOf(output)));
    }
    for (const [name, slot] of keep) this.#keep(slot, held(name));
    for (const name of Object.keys(results)) if (!keep.has(name)) free(results[name]);
    return { outputs, computeMs };
  }

  #drop(prefix: string): null {
    for (const slot of [...this.#slots.keys()]) {
      if (!slot.startsWith(prefix)) continue;
      this.#release(slot);
      this.#slots.delete(slot);
    }
    return null;
  }

  async #close(): Promise<null> {
    this.#drop("");
    for (const { session } of this.#loaded.values()) await session.release();
    this.#loaded.clear();
    return null;
  }

  /** The value for one input, of exactly the type that the port says. */
  #fed(program: Program, port: Port, feeds: EngineRun["feeds"]): OrtTensor {
    const given = feeds.get(port.name);
    if (given === undefined) {
      throw new EdgeloomError(`${nameOf(program)}: input "${port.name}" is not fed`);
    }
    const held = typeof given === "string" ? this.#slot(given) : this.#hold(given as DenseTensor);
    if (!sameType(held.type, port)) {
      throw new EdgeloomError(
        `${nameOf(program)}: input "${port.name}" is ${formatType(port)}, ` +
          `fed with ${formatType(held.type)}`,
      );
    }
    return held.value;
  }

  #keep(slot: Slot, held: Held): void {
    const buffer = ownBuffer(held.value);
    if (buffer !== null) this.#holders.set(buffer, (this.#holders.get(buffer) ?? 0) + 1);
    this.#release(slot);
    this.#slots.set(slot, held);
  }

  /** Frees what a slot holds at once, not when it is collected, unless another slot holds it too. */
  #release(slot: Slot): void {
    const value = this.#slots.get(slot)?.value;
    if (value === undefined) return;
    free(value);
    const buffer = ownBuffer(value);
    if (buffer === null) return;
    const others = (this.#holders.get(buffer) ?? 1) - 1;
    if (others > 0) return void this.#holders.set(buffer, others);
    this.#holders.delete(buffer);
    buffer.transfer(0);
  }

  #slot(slot: Slot): Held {
    const held = this.#slots.get(slot);
    if (held === undefined) throw new EdgeloomError(`slot "${slot}" holds nothing`);
    return held;
  }

  #hold(value: DenseTensor): Held {
    const { dtype, shape } = value;
    return { type: { dtype, shape }, value: this.#runtime.createTensor(value) };
  }
}

const nameOf = ({ kind, from, to, id }: Program): string =>
  `the ${kind} program of segments ${from} to ${to} (${id})`;

/** Wraps what a session gave; that it has the port's type is the compiler's promise. */
function heldOutput(port: Port, value: OrtTensor): Held {
  const type = { dtype: port.dtype, shape: value.dims };
  assert(
    value.type === port.dtype && sameType(type, port),
    `output "${port.name}" is ${value.type}[${value.dims}], promised was ${formatType(port)}`,
  );
  return { type: { dtype: port.dtype, shape: port.shape }, value };
}

const viewOf = async ({ type, value }: Held): Promise<DenseTensor> =>
  tensor(type.dtype, type.shape, (await value.getData(true)) as DenseTensor["data"]);

async function copyOf(held: Held): Promise<DenseTensor> {
  const view = await viewOf(held);
  return { ...view, data: view.data.slice() };
}

/** JavaScript frees tensors on the CPU itself, and their memory may be in use elsewhere by now. */
function free(value: OrtTensor | undefined): void {
  if (value !== undefined && value.location !== "cpu") value.dispose();
}

/** The memory that is a tensor's alone, on the CPU; null where it is elsewhere or part of more. */
function ownBuffer(value: OrtTensor): ArrayBuffer | null {
  if (value.location !== "cpu") return null;
  const { data } = value;
  if (!ArrayBuffer.isView(data) || !(data.buffer instanceof ArrayBuffer)) return null;
  return data.byteLength === data.buffer.byteLength ? data.buffer : null;
}

/** Buffers of the tensors in a value, which move to the other side with it. */
function buffersOf(value: EngineValue): ArrayBuffer[] {
  if (value === null) return [];
  const tensors = "outputs" in value ? value.outputs : value;
  return [...tensors.values()].map(({ data }) => data?.buffer as ArrayBuffer);
}

async function outcomeOf(start: () => Promise<EngineValue>): Promise<EngineReply["outcome"]> {
  try {
    return { ok: true, value: await start() };
  } catch (error) {
    return { ok: false, error: messageOf(error) };
  }
}

/**
 * Answers requests in their order, once the runtime is there; where it never is,
 * every answer says why.
 * @param post sends an answer; the buffers move with it
 * @returns what to call with each request; done when it is answered
 */
export function serveSessions(
  runtime: Promise<OrtRuntime>,
  post: (reply: EngineReply, moved: ArrayBuffer[]) => void,
): (request: EngineRequest) => Promise<void> {
  const sessions = runtime.then((ready) => new Sessions(ready));
  // The failure is told with every answer; it must not end the thread before.
  sessions.catch(() => {});
  let earlier = Promise.resolve();
  return ({ id, command }) => {
    earlier = earlier.then(async () => {
      const outcome = await outcomeOf(async () => (await sessions).execute(command));
      post({ id, outcome }, outcome.ok ? buffersOf(outcome.value) : []);
    });
    return earlier;
  };
}
