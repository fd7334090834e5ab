/**
 * The native engine: ONNX Runtime on the CPU, in a thread of its own, so that
 * the peer's thread goes on with heartbeats and pacing during a step.
 */
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { InputError, messageOf } from "../base/errors.ts";
import { type EngineThread, RemoteEngine, type ThreadEvents } from "../engine/remote.ts";
import type { EngineThreadOptions } from "./engine-thread.ts";

/** How a native engine computes. */
export interface NativeEngineOptions {
  /** Threads that one operator may use, from 1; 1 where absent. Results depend on it in the last bits. */
  readonly threads?: number;
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
export class NativeEngine extends RemoteEngine {
  /** @throws InputError when `threads` is not a whole number from 1 */
  constructor({ threads = 1 }: NativeEngineOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1) {
      throw new InputError({
        what: "threads of the native engine",
        received: String(threads),
        allowed: "a whole number from 1",
      });
    }
    super(`onnxruntime-node${version()}, ${threads} thread${threads === 1 ? "" : "s"}`, (events) =>
      openThread({ threads }, events),
    );
  }
}

function openThread(workerData: EngineThreadOptions, events: ThreadEvents): EngineThread {
  // The process's own flags are not the thread's business (--input-type would even end it).
  const options = { workerData, execArgv: [] };
  const worker = new Worker(new URL("./engine-thread.ts", import.meta.url), options);
  worker.on("message", events.reply);
  let failure = "";
  worker.on("error", (error) => {
    failure = `: ${messageOf(error)}`;
  });
  const ended = new Promise<void>((resolve) => {
    worker.on("exit", () => {
      events.ended(`the engine's thread has ended${failure}`);
      resolve();
    });
  });
  // Listening to a worker holds the process as well, so this comes last.
  worker.unref();
  return {
    post: (request, moved) => worker.postMessage(request, moved),
    setWaiting: (isWaiting) => (isWaiting ? worker.ref() : worker.unref()),
    end() {
      // The last answer has let go of the process; whoever awaits the end needs it a little longer.
      worker.ref();
      return ended;
    },
  };
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
