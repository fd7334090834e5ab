/**
 * What passes between an engine and the thread in which it computes. Both sides
 * run in Node.js and in browsers: a thread there is a worker thread or a Web Worker.
 */
import type { DenseTensor } from "../base/tensor.ts";
import type { Program } from "../compile/program.ts";
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
