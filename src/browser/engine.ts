/**
 * The browser's engine: ONNX Runtime in WebAssembly or on WebGPU, in a Web
 * Worker of its own, so that the page goes on drawing and a peer goes on with
 * heartbeats and pacing during a step.
 */
import { EdgeloomError, InputError } from "../base/errors.ts";
import type { EngineReply } from "../engine/messages.ts";
import { type EngineThread, RemoteEngine, type ThreadEvents } from "../engine/remote.ts";
import type { EngineWorkerMessage } from "./engine-worker.ts";
import type { WebRuntimeOptions } from "./runtime.ts";

/** The version of onnxruntime-web that is a dependency; it can be asked only once it is loaded. */
const version = "1.30.0";

/** How a browser's engine computes. */
export interface WebEngineOptions {
  /**
   * `"wasm"` runs everywhere. `"webgpu"` needs a browser with WebGPU; operators
   * that have no WebGPU kernel are computed in WebAssembly.
   */
  readonly backend: "wasm" | "webgpu";
  /**
   * Threads that one operator may use in WebAssembly, from 1; 1 where absent. More than 1 needs a
   * page that is cross-origin isolated, else it is 1; `description` says which it is.
   */
  readonly threads?: number;
  /**
   * Folder (a URL that ends in a slash) from which ONNX Runtime's `.wasm` and `.mjs` files are
   * loaded. Where absent, they are looked for where the bundler has put them.
   */
  readonly wasmPaths?: string;
}

/**
 * {@link Engine} on onnxruntime-web. Where onnxruntime-web cannot be loaded, or
 * the browser has no WebGPU, every call rejects and says so.
 * @example
 * const engine = new WebEngine({ backend: "wasm", threads: 2 });
 * await engine.load([program]);
 * const { outputs, computeMs } = await engine.run({ program: program.id, feeds, keep, fetch });
 * await engine.close();
 */
export class WebEngine extends RemoteEngine {
  /** @throws InputError when an option has a value that is not allowed */
  constructor({ backend, threads = 1, wasmPaths }: WebEngineOptions) {
    if (backend !== "wasm" && backend !== "webgpu") {
      throw new InputError({
        what: "backend of the browser's engine",
        received: String(backend),
        allowed: '"wasm" or "webgpu"',
      });
    }
    if (!Number.isInteger(threads) || threads < 1) {
      throw new InputError({
        what: "threads of the browser's engine",
        received: String(threads),
        allowed: "a whole number from 1",
      });
    }
    // Threads share memory, which browsers give only to isolated pages.
    const isIsolated = typeof crossOriginIsolated === "undefined" || crossOriginIsolated;
    const options: WebRuntimeOptions = {
      backend,
      threads: isIsolated ? threads : 1,
      wasmPaths: wasmPaths ?? null,
    };
    super(describe(options), (events) => openThread(options, events));
  }
}

const describe = ({ backend, threads }: WebRuntimeOptions): string =>
  `onnxruntime-web ${version}, ` +
  (backend === "webgpu" ? "WebGPU" : `WASM, ${threads} thread${threads === 1 ? "" : "s"}`);

// What is used of browsers: this file is also type-checked where there are none, by tests.
declare const crossOriginIsolated: boolean | undefined;

interface WebWorker {
  postMessage(message: EngineWorkerMessage, moved: readonly ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "error", listener: (event: { message?: string }) => void): void;
  terminate(): void;
}
declare const Worker: new (url: URL, options: { readonly type: "module" }) => WebWorker;

function openThread(options: WebRuntimeOptions, events: ThreadEvents): EngineThread {
  if (typeof Worker === "undefined") {
    throw new EdgeloomError("the browser's engine needs Web Workers, and there are none here");
  }
  // Bundlers find the worker's file by this very form.
  const worker = new Worker(new URL("./engine-worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => events.reply(data as EngineReply));
  worker.addEventListener("error", ({ message }) => {
    events.ended(`the engine's worker has failed${message === undefined ? "" : `: ${message}`}`);
  });
  worker.postMessage({ options }, []);
  return {
    post: (request, moved) => worker.postMessage(request, moved),
    setWaiting() {},
    end: async () => worker.terminate(),
  };
}
