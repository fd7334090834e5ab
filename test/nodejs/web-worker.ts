/**
 * Web Workers for tests in Node.js: the part of them that the browser's engine
 * uses, on a worker thread.
 */
import { registerHooks } from "node:module";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

type Listener = (event: { data?: unknown; message?: string }) => void;

/** Stands in for the browser's `Worker`. */
export class WebWorker {
  readonly #worker: Worker;

  constructor(url: URL) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: url.href, execArgv: [] });
  }

  postMessage(message: unknown, moved: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, moved);
  }

  addEventListener(type: "message" | "error", listener: Listener): void {
    if (type === "message") this.#worker.on("message", (data) => listener({ data }));
    else this.#worker.on("error", (error) => listener({ message: String(error) }));
  }

  terminate(): void {
    void this.#worker.terminate();
  }
}

// The thread: a global scope with the names of a Web Worker's, then the script itself.
if (!isMainThread && parentPort !== null && typeof workerData === "string") {
  const port = parentPort;
  const scope = {
    postMessage: (message: unknown, moved: readonly ArrayBuffer[]) =>
      port.postMessage(message, moved),
    addEventListener: (_type: string, listener: Listener) =>
      port.on("message", (data) => listener({ data })),
  };
  Object.assign(globalThis, { self: scope });
  // The build for browsers starts threads from the page's own origin, which is none here; the
  // package's build for Node.js drives the same WebAssembly.
  registerHooks({
    resolve: (name, context, next) =>
      next(name === "onnxruntime-web/wasm" ? "onnxruntime-web" : name, context),
  });
  await import(workerData);
}
