/**
 * The world as peers see it (types only). Coordinator and worker are
 * synchronous state machines; everything that depends on the machine, on time
 * or on chance comes through {@link Host}. Node.js, the browser and the
 * virtual-time simulator each implement it.
 *
 * Callbacks given to a host are called on the peer's own thread, never before
 * the call that registered them has returned, and at most once.
 */
import type { Party } from "../base/party.ts";
import type { Random } from "../base/random.ts";
import type { Tensor } from "../base/tensor.ts";
import type { Program } from "../compile/program.ts";
import type { RunRecord } from "./metrics/record.ts";

/** The result of something asynchronous. A failure is a value: the peer decides what it means. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };

export type Done<T> = (outcome: Outcome<T>) => void;

/** Cancels a timer; does nothing once it has fired. */
export type Cancel = () => void;

/** Everything outside a peer. */
export interface Host {
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
  /** Calls `fire` once, no earlier than `delayMs` from now. */
  after(delayMs: number, fire: () => void): Cancel;
  /** The peer's own stream of chance: jitter and names, never anything that must agree between nodes. */
  readonly random: Random;
  readonly engine: HostEngine;
  /** Private training data of this node; null where it holds none. */
  readonly train: DataSource | null;
  /** Held-out data for evaluation; null where there is none. */
  readonly test: DataSource | null;
  readonly store: Store;
  /** Peak resident memory of this process so far, in bytes; null where it cannot be told. */
  peakMemoryBytes(): number | null;
  /** Emits a record; the host stamps nothing and keeps order. */
  record(record: RunRecord): void;
  /**
   * Opens a link to another worker; absent in worlds that cannot. The link is to whom the
   * address means: where it has a fingerprint, that has been compared.
   */
  dial?(address: PeerAddress, done: Done<Link>): void;
}

/** Where a worker is reached by others. */
export interface PeerAddress {
  /** What the world of both understands: in Node.js a URL of a WebSocket. */
  readonly url: string;
  /**
   * SHA-256 of the certificate that the worker shows there, in base64url; null where nothing is
   * encrypted, and then the address is for workers of the same machine alone.
   */
  readonly fingerprint: string | null;
}

/** A share of a node's samples: so many that are held out of training, or the others. Which those are follows from seed and node. */
export interface SampleShare {
  readonly heldOut: number;
  readonly isHeldOut: boolean;
}

/** Names a training batch: equal keys give equal batches. */
export interface BatchKey {
  readonly seed: number;
  /** Name of the node that holds the samples. */
  readonly node: string;
  /** Batches that the node has drawn before this one. */
  readonly step: number;
  readonly size: number;
  /** Which of the samples it is drawn from; from all where absent. */
  readonly among?: SampleShare;
}

export interface Batch {
  readonly features: Tensor;
  readonly labels: Tensor;
}

/** A batch that was drawn, and which of the node's samples are in it: the same numbers each time they come. */
export interface DrawnBatch extends Batch {
  readonly samples: readonly number[];
}

/** Samples that stay on the node. */
export interface DataSource {
  readonly samples: number;
  /** Shape of one sample's features, without the batch dimension. */
  readonly inputShape: readonly number[];
  /** Number of classes of the labels. */
  readonly classes: number;
  /** Their names in the order of their numbers; null where labels are numbers. */
  readonly classNames: readonly string[] | null;
  /** Which columns of the samples it has, where others have the rest; null where it has all. Its shape is that of those. */
  readonly party: Party | null;
  /**
   * The training batch of a step: features float32 [size, ...inputShape], labels
   * int64 [size]. A pure function of the key and the node's samples, so a replay
   * draws the same batch. In the null engine's world both come without values, and of samples without numbers.
   */
  batch(key: BatchKey, done: Done<DrawnBatch>): void;
  /** Samples [from, to) in their stored order, for evaluation. */
  slice(from: number, to: number, done: Done<Batch>): void;
}

/** A place for files of the run: checkpoints, plan, weights. Names are relative, with forward slashes. */
export interface Store {
  /** Replaces the file atomically: after a crash it holds the old or the new bytes, whole. */
  write(name: string, bytes: Uint8Array, done: Done<null>): void;
}

/**
 * What a coordinator must not lose: its decisions in order, and the tensors that they
 * speak of. Only coordinators have one. Nothing is acted upon before it is `done`.
 */
export interface Journal {
  /** Adds an entry; `done` once it survives a crash. Entries come to be in the order of the calls. */
  append(entry: string, done: Done<null>): void;
  /**
   * Keeps the bytes, given in parts, under a name that is made of their content, so that a
   * damaged file is known by its name; `done` once they survive a crash. Keeping the same bytes
   * again costs nothing.
   */
  keep(parts: readonly Uint8Array[], done: Done<string>): void;
  /** Frees what is kept under these names, sooner or later. */
  release(names: readonly string[]): void;
}

/** Name of a tensor that lives inside an engine between runs. */
export type Slot = string;

/** One evaluation of a loaded program. */
export interface EngineRun {
  /** {@link Program.id} of a loaded program. */
  readonly program: string;
  /** Input port name to the slot that holds it (string) or the tensor itself, whose memory is handed over. */
  readonly feeds: ReadonlyMap<string, Slot | Tensor>;
  /**
   * Output port name to the slot that keeps it. A slot that is also fed may be
   * updated in place; afterwards it holds the output.
   */
  readonly keep: ReadonlyMap<string, Slot>;
  /** Output port names to hand back. */
  readonly fetch: readonly string[];
}

/** What a run of a program gave. */
export interface EngineAnswer {
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Milliseconds the computation itself took, without queueing and hand-over. */
  readonly computeMs: number;
}

/**
 * Runs programs. Calls take effect in the order in which they are made, also
 * without waiting for earlier ones, so a `read` is a snapshot between steps.
 * The caller's thread is never blocked for the time of a computation
 * (interpreter and null engine excepted: they are for tests and simulation).
 * A failing call rejects with an `EdgeloomError` and leaves other slots as they were.
 */
export interface Engine {
  /** What runs underneath, for records: "onnxruntime-node 1.30.0, 1 thread". */
  readonly description: string;
  /** It computes nothing: tensors without values will do. */
  readonly isHollow?: boolean;
  /** Compiles programs; a program that is loaded already costs nothing. */
  load(programs: readonly Program[]): Promise<void>;
  /** Puts tensors into slots; their memory is handed over. */
  write(values: ReadonlyMap<Slot, Tensor>): Promise<void>;
  /** Copies slots out. */
  read(slots: readonly Slot[]): Promise<ReadonlyMap<Slot, Tensor>>;
  /** Evaluates a loaded program once. */
  run(run: EngineRun): Promise<EngineAnswer>;
  /** Frees every slot whose name starts with `prefix`. */
  drop(prefix: string): Promise<void>;
  /** Ends the engine and frees everything; later calls reject. */
  close(): Promise<void>;
}

/** {@link Engine} as peers see it: the same calls, answered by callback. */
export interface HostEngine {
  readonly description: string;
  /** See {@link Engine.isHollow}. */
  readonly isHollow?: boolean;
  load(programs: readonly Program[], done: Done<null>): void;
  write(values: ReadonlyMap<Slot, Tensor>, done: Done<null>): void;
  read(slots: readonly Slot[], done: Done<ReadonlyMap<Slot, Tensor>>): void;
  run(run: EngineRun, done: Done<EngineAnswer>): void;
  drop(prefix: string, done: Done<null>): void;
}

/** Bytes on a link; `bytes` is null for tensors that do not exist (null engine). */
export interface Payload {
  readonly byteLength: number;
  readonly bytes: Uint8Array | null;
}

/** One message as it travels: encoded header, then the tensors' bytes in parts. */
export interface Frame {
  /** u32 length, JSON, padding: see `wire/frame.ts`. */
  readonly head: Uint8Array;
  /** The body is the concatenation of these. */
  readonly body: readonly Payload[];
}

/**
 * A two-way connection. Frames arrive whole and in order, or the link closes.
 * The memory of what arrives is the receiver's own; what is sent stays as it is until it has left.
 * `onFrame` and `onClose` are set by the owner before control returns to the
 * host's loop; `onClose` is called exactly once, also after `close()`.
 */
export interface Link {
  send(frame: Frame): void;
  close(): void;
  onFrame: (frame: Frame) => void;
  onClose: (reason: string) => void;
}
