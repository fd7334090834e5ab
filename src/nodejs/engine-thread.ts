/**
 * The thread of the native engine: holds ONNX Runtime's sessions and the named
 * slots, and carries out commands one after the other, in the order they came.
 * It exists because `session.run` blocks the thread that calls it.
 *
 * No tensor is ever changed in place. ONNX Runtime orders a graph's nodes as it
 * likes, so a weight written over its own input could reach a gradient that
 * still needs the old value; and its Node.js binding copies every output into a
 * fresh buffer anyway, so there is nothing to gain. A slot that is fed and kept
 * simply gets the new tensor when the run has succeeded.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { assert, present, unreachable } from "../base/assert.ts";
import { EdgeloomError, messageOf } from "../base/errors.ts";
import { type DenseTensor, formatType, sameType, type TensorType, tensor } from "../base/tensor.ts";
import { writeOnnx } from "../compile/onnx/write.ts";
import type { Port, Program } from "../compile/program.ts";
import type { EngineAnswer, EngineRun, Outcome, Slot } from "../run/host.ts";

/** What the engine asks of its thread. Tensors in it are the thread's own from here on. */
export type EngineCommand =
  | { readonly type: "load"; readonly program: Program }
  | { readonly type: "write"; readonly values: ReadonlyMap<Slot, DenseTensor> }
  | { readonly type: "read"; readonly slots: readonly Slot[] }
  | { readonly type: "run"; readonly run: EngineRun }
  | { readonly type: "drop"; readonly prefix: string }
  | { readonly type: "close" };

/** A command under the number by which its answer is known. */
export interface EngineRequest {
  readonly id: number;
  readonly command: EngineCommand;
}

/** What came of a command: null, the tensors read, or an {@link EngineAnswer}. */
export interface EngineReply {
  readonly id: number;
  readonly outcome: Outcome<EngineValue>;
}

export type EngineValue = null | ReadonlyMap<Slot, DenseTensor> | EngineAnswer;

/** `workerData` of the thread. */
export interface EngineThreadOptions {
  readonly threads: number;
}

type Runtime = typeof import("onnxruntime-node");

interface Loaded {
  readonly program: Program;
  readonly session: InferenceSession;
}

/** A tensor in a slot: as ONNX Runtime sees it, and its type as we check it. */
interface Held {
  readonly type: TensorType;
  readonly value: OrtTensor;
}

/** The state of the thread. Each method finishes before the next one starts. */
class EngineThread {
  readonly #runtime: Runtime;
  readonly #sessionOptions: InferenceSession.SessionOptions;
  readonly #loaded = new Map<string, Loaded>();
  readonly #slots = new Map<Slot, Held>();

  constructor(runtime: Runtime, { threads }: EngineThreadOptions) {
    this.#runtime = runtime;
    this.#sessionOptions = {
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      // Plans of memory come on top of what the first run has taken, and are no faster.
      enableMemPattern: false,
      // Beyond this come memory layouts for constant weights, which ours are not.
      graphOptimizationLevel: "extended",
      // Failures come as exceptions; the log on stderr would only repeat them.
      logSeverityLevel: 4,
      // Many engines share a machine: a waiting thread must leave its core to the others.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    };
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
      const session = await this.#runtime.InferenceSession.create(bytes, this.#sessionOptions);
      this.#loaded.set(program.id, { program, session });
    } catch (error) {
      throw new EdgeloomError(`ONNX Runtime refuses ${nameOf(program)}: ${messageOf(error)}`);
    }
    return null;
  }

  #write(values: ReadonlyMap<Slot, DenseTensor>): null {
    for (const [slot, value] of values) this.#replace(slot, this.#hold(value));
    return null;
  }

  /** Puts a tensor into a slot; the memory of the one before is free at once, not when it is collected. */
  #replace(slot: Slot, held: Held | null): void {
    const data = this.#slots.get(slot)?.value.data;
    if (data !== undefined && ArrayBuffer.isView(data)) (data.buffer as ArrayBuffer).transfer(0);
    if (held === null) this.#slots.delete(slot);
    else this.#slots.set(slot, held);
  }

  #read(slots: readonly Slot[]): Map<Slot, DenseTensor> {
    return new Map(slots.map((slot) => [slot, copyOf(this.#slot(slot))]));
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
    const startedMs = performance.now();
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await (wanted.length === 0 ? session.run(values) : session.run(values, wanted));
    } catch (error) {
      throw new EdgeloomError(`${nameOf(program)} failed: ${messageOf(error)}`);
    }
    const computeMs = performance.now() - startedMs;
    const held = (name: string): Held =>
      heldOutput(present(ports.get(name), name), present(results[name], name));
    for (const [name, slot] of keep) this.#replace(slot, held(name));
    const outputs = new Map<string, DenseTensor>();
    for (const name of fetch) {
      const output = held(name);
      outputs.set(name, keep.has(name) ? copyOf(output) : viewOf(output));
    }
    return { outputs, computeMs };
  }

  #drop(prefix: string): null {
    for (const slot of [...this.#slots.keys()]) {
      if (slot.startsWith(prefix)) this.#replace(slot, null);
    }
    return null;
  }

  async #close(): Promise<null> {
    this.#slots.clear();
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

  #slot(slot: Slot): Held {
    const held = this.#slots.get(slot);
    if (held === undefined) throw new EdgeloomError(`slot "${slot}" holds nothing`);
    return held;
  }

  #hold({ dtype, shape, data }: DenseTensor): Held {
    return {
      type: { dtype, shape },
      value: new this.#runtime.Tensor(dtype, data as OrtTensor.DataType, shape),
    };
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

const viewOf = ({ type, value }: Held): DenseTensor =>
  tensor(type.dtype, type.shape, value.data as DenseTensor["data"]);

function copyOf(held: Held): DenseTensor {
  const view = viewOf(held);
  return { ...view, data: view.data.slice() };
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

/** Answers requests until one says `close`, which lets the thread end. */
function serve(port: MessagePort, options: EngineThreadOptions): void {
  const engine = import("onnxruntime-node").then(
    (runtime) => new EngineThread(runtime, options),
    (error: unknown) => {
      throw new EdgeloomError(`onnxruntime-node cannot be loaded: ${messageOf(error)}`);
    },
  );
  // The failure is told with every answer; it must not end the thread before.
  engine.catch(() => {});
  let earlier = Promise.resolve();
  port.on("message", ({ id, command }: EngineRequest) => {
    earlier = earlier.then(async () => {
      const outcome = await outcomeOf(async () => (await engine).execute(command));
      const reply: EngineReply = { id, outcome };
      port.postMessage(reply, outcome.ok ? buffersOf(outcome.value) : []);
      if (command.type === "close") port.close();
    });
  });
}

serve(present(parentPort, "the port to the engine"), workerData as EngineThreadOptions);
