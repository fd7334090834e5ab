/**
 * The native engine: ONNX Runtime on the CPU, in a thread of its own, so that
 * the peer's thread goes on with heartbeats and pacing during a step. This side
 * numbers the commands and hands over memory; `engine-thread.ts` does the work.
 *
 * Only {@link Program} values enter: graphs that our compiler parsed, verified
 * and emitted. Bytes from outside never reach ONNX Runtime.
 */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { EdgeloomError, InputError, messageOf } from "../base/errors.ts";
import { type DenseTensor, elementCount, formatType, type Tensor } from "../base/tensor.ts";
import type { Program } from "../compile/program.ts";
import type { Engine, EngineAnswer, EngineRun, Slot } from "../run/host.ts";
import type {
  EngineCommand,
  EngineReply,
  EngineRequest,
  EngineThreadOptions,
  EngineValue,
} from "./engine-thread.ts";

/** How a native engine computes. */
export interface NativeEngineOptions {
  /** Threads that one operator may use, from 1; 1 where absent. Results depend on it in the last bits. */
  readonly threads?: number;
}

interface Waiting {
  resolve(value: EngineValue): void;
  reject(error: EdgeloomError): void;
}

/**
 * {@link Engine} on onnxruntime-node. It keeps the process alive only while an
 * answer is due. Where onnxruntime-node cannot be loaded, every call rejects and says so.
 * @example
 * const engine = new NativeEngine({ threads: 1 });
 * await engine.load([program]);
 * const { outputs, computeMs } = await engine.run({ program: program.id, feeds, keep, fetch });
 * await engine.close();
 */
export class NativeEngine implements Engine {
  readonly description: string;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #waiting = new Map<number, Waiting>();
  /** By program id: done when the program is loaded. */
  readonly #loads = new Map<string, Promise<EngineValue>>();
  #requests = 0;
  /** Why no further call is taken; null while the engine is open. */
  #refusal: string | null = null;
  #closing: Promise<void> | null = null;

  /** @throws InputError when `threads` is not a whole number from 1 */
  constructor({ threads = 1 }: NativeEngineOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1) {
      throw new InputError({
        what: "threads of the native engine",
        received: String(threads),
        allowed: "a whole number from 1",
      });
    }
    this.description = `onnxruntime-node${version()}, ${threads} thread${threads === 1 ? "" : "s"}`;
    const workerData: EngineThreadOptions = { threads };
    // The process's own flags are not the thread's business (--input-type would even end it).
    const options = { workerData, execArgv: [] };
    this.#worker = new Worker(new URL("./engine-thread.ts", import.meta.url), options);
    this.#worker.on("message", (reply: EngineReply) => this.#onReply(reply));
    let failure = "";
    this.#worker.on("error", (error) => {
      failure = `: ${messageOf(error)}`;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#onExit(`the engine's thread has ended${failure}`);
        resolve();
      });
    });
    // Listening to a worker holds the process as well, so this comes last.
    this.#worker.unref();
  }

  async load(programs: readonly Program[]): Promise<void> {
    await Promise.all(programs.map((program) => this.#load(program)));
  }

  async write(values: ReadonlyMap<Slot, Tensor>): Promise<void> {
    const moved = new Set<ArrayBuffer>();
    const given = new Map<Slot, DenseTensor>();
    for (const [slot, value] of values) given.set(slot, handOver(value, `slot "${slot}"`, moved));
    await this.#request({ type: "write", values: given }, moved);
  }

  async read(slots: readonly Slot[]): Promise<ReadonlyMap<Slot, Tensor>> {
    const values = await this.#request({ type: "read", slots });
    return values as ReadonlyMap<Slot, Tensor>;
  }

  /** Evaluates a loaded program once; the tensors that are fed are handed over. */
  async run({ program, feeds, keep, fetch }: EngineRun): Promise<EngineAnswer> {
    const moved = new Set<ArrayBuffer>();
    const given = new Map<string, Slot | Tensor>();
    for (const [name, value] of feeds) {
      given.set(
        name,
        typeof value === "string" ? value : handOver(value, `input "${name}"`, moved),
      );
    }
    const run: EngineRun = { program, feeds: given, keep, fetch };
    return (await this.#request({ type: "run", run }, moved)) as EngineAnswer;
  }

  async drop(prefix: string): Promise<void> {
    await this.#request({ type: "drop", prefix });
  }

  /** Lets calls already made finish, then ends the thread. Closing twice is closing once. */
  close(): Promise<void> {
    if (this.#closing === null) {
      const done = this.#request({ type: "close" }).catch(() => {});
      this.#refusal ??= "the engine is closed";
      this.#closing = done.then(() => {
        // The answer has let go of the process; whoever awaits the end needs it a little longer.
        this.#worker.ref();
        return this.#ended;
      });
    }
    return this.#closing;
  }

  #load(program: Program): Promise<EngineValue> {
    const known = this.#loads.get(program.id);
    if (known !== undefined && this.#refusal === null) return known;
    const loading = this.#request({ type: "load", program });
    this.#loads.set(program.id, loading);
    loading.catch(() => this.#loads.delete(program.id));
    return loading;
  }

  #request(command: EngineCommand, moved: Iterable<ArrayBuffer> = []): Promise<EngineValue> {
    if (this.#refusal !== null) return Promise.reject(new EdgeloomError(this.#refusal));
    return new Promise((resolve, reject) => {
      const request: EngineRequest = { id: this.#requests++, command };
      this.#worker.postMessage(request, [...moved]);
      this.#waiting.set(request.id, { resolve, reject });
      this.#worker.ref();
    });
  }

  #onReply({ id, outcome }: EngineReply): void {
    const waiting = this.#waiting.get(id);
    assert(waiting !== undefined, `the engine's thread answered request ${id}, which is not open`);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (outcome.ok) waiting.resolve(outcome.value);
    else waiting.reject(new EdgeloomError(outcome.error));
  }

  #onExit(reason: string): void {
    this.#refusal ??= reason;
    for (const { reject } of this.#waiting.values()) reject(new EdgeloomError(reason));
    this.#waiting.clear();
  }
}

/**
 * The tensor as it goes to the thread. A buffer that is the tensor's alone moves;
 * a part of a larger one (a frame holds many tensors) is copied, because moving it
 * would take the other tensors' memory away as well.
 */
function handOver(value: Tensor, what: string, moved: Set<ArrayBuffer>): DenseTensor {
  const { dtype, shape, data } = value;
  if (data === null || data.length !== elementCount(shape)) {
    const state = data === null ? "has no values" : "was handed over before";
    throw new EdgeloomError(`${what}: the tensor ${formatType(value)} ${state}`);
  }
  const isWhole = data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength;
  const own = isWhole ? data : data.slice();
  moved.add(own.buffer as ArrayBuffer);
  return { dtype, shape, data: own };
}

function version(): string {
  try {
    const require = createRequire(import.meta.url);
    return ` ${(require("onnxruntime-node/package.json") as { version: string }).version}`;
  } catch {
    // Not installed: the first call says so.
    return "";
  }
}
