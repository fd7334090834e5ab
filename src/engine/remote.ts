/**
 * The engine's side that peers hold: numbers the commands, hands over memory and
 * tells who waits. The thread behind it does the work, see `sessions.ts`; which
 * kind of thread that is, the engines of each world say.
 *
 * Only {@link Program} values enter: graphs that our compiler parsed, verified
 * and emitted. Bytes from outside never reach ONNX Runtime.
 */
import { assert } from "../base/assert.ts";
import { EdgeloomError } from "../base/errors.ts";
import { type DenseTensor, elementCount, formatType, type Tensor } from "../base/tensor.ts";
import type { Program } from "../compile/program.ts";
import type { Engine, EngineAnswer, EngineRun, Slot } from "../run/host.ts";
import type { EngineCommand, EngineReply, EngineRequest, EngineValue } from "./messages.ts";

/** The thread that computes, as the engine sees it. */
export interface EngineThread {
  /** Hands a request over; the buffers move with it. */
  post(request: EngineRequest, moved: readonly ArrayBuffer[]): void;
  /** Whether an answer is due: only then may the thread keep the process alive. */
  setWaiting(isWaiting: boolean): void;
  /** Done when the thread has ended; called once, after it answered `close` or ended by itself. */
  end(): Promise<void>;
}

/** What a thread tells. */
export interface ThreadEvents {
  reply(reply: EngineReply): void;
  /** It has ended, or never started: every open and later call is refused with the reason. */
  ended(reason: string): void;
}

interface Waiting {
  resolve(value: EngineValue): void;
  reject(error: EdgeloomError): void;
}

/** {@link Engine} whose work is done in a thread. */
export class RemoteEngine implements Engine {
  readonly description: string;
  readonly #thread: EngineThread;
  readonly #waiting = new Map<number, Waiting>();
  /** By program id: done when the program is loaded. */
  readonly #loads = new Map<string, Promise<EngineValue>>();
  #requests = 0;
  /** Why no further call is taken; null while the engine is open. */
  #refusal: string | null = null;
  #closing: Promise<void> | null = null;

  /** @param open starts the thread */
  constructor(description: string, open: (events: ThreadEvents) => EngineThread) {
    this.description = description;
    this.#thread = open({
      reply: (reply) => this.#onReply(reply),
      ended: (reason) => this.#onEnd(reason),
    });
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
      this.#closing = done.then(() => this.#thread.end());
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
      this.#thread.post(request, [...moved]);
      this.#waiting.set(request.id, { resolve, reject });
      this.#thread.setWaiting(true);
    });
  }

  #onReply({ id, outcome }: EngineReply): void {
    const waiting = this.#waiting.get(id);
    assert(waiting !== undefined, `the engine's thread answered request ${id}, which is not open`);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#thread.setWaiting(false);
    if (outcome.ok) waiting.resolve(outcome.value);
    else waiting.reject(new EdgeloomError(outcome.error));
  }

  #onEnd(reason: string): void {
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
