/** `join` in Node.js: one worker on a WebSocket to a coordinator. Composition only. */
import { WebSocket } from "ws";
import { InputError } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import type { Engine } from "../run/host.ts";
import { Worker, type WorkerEnd, type WorkerEvent } from "../run/worker/worker.ts";
import { machineName, nodeHost, noStore } from "./host.ts";
import { dialOptions, webSocketLink } from "./link.ts";

/** Which run to join, as what, and with which data. */
export interface JoinOptions {
  readonly url: string;
  readonly token: string;
  readonly name: string;
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  readonly train: SampleSource;
  readonly engine: Engine;
  /** Told how the run goes from where this worker stands. */
  onEvent(event: WorkerEvent): void;
}

/** A worker that has connected. */
export interface Joined {
  readonly ended: Promise<WorkerEnd>;
  /** Says goodbye; the run goes on without this device. */
  leave(text: string): void;
}

/** Connects and starts a worker. @throws InputError when nobody answers at the URL. */
export function join(options: JoinOptions): Promise<Joined> {
  return connect(options.url, (socket) => startWorker(socket, options));
}

function startWorker(socket: WebSocket, options: JoinOptions): Joined {
  const { promise, resolve } = Promise.withResolvers<WorkerEnd>();
  const { engine, train, token, name, duty, memoryBytes, ceilingBytesPerMs } = options;
  const worker = new Worker(
    nodeHost({ engine, train, test: null, store: noStore, record: () => {} }),
    webSocketLink(socket),
    {
      name,
      kind: "device",
      token,
      machine: machineName(),
      duty,
      memoryBytes,
      ceilingBytesPerMs,
    },
    { onEvent: (event) => options.onEvent(event), onEnd: resolve },
  );
  return {
    ended: promise.finally(() => engine.close()),
    leave: (text) => worker.leave(text),
  };
}

/** Runs `start` as soon as the socket is open, before the first message can be missed. */
function connect<T>(url: string, start: (socket: WebSocket) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const refuse = (why: string): void =>
      reject(
        new InputError({
          what: "coordinator URL",
          received: `${url} (${why})`,
          allowed: "the ws:// address that serve printed, while it runs",
        }),
      );
    let socket: WebSocket;
    try {
      socket = new WebSocket(url, dialOptions);
    } catch (error) {
      return refuse(error instanceof Error ? error.message : String(error));
    }
    socket.once("open", () => {
      socket.removeAllListeners("error");
      resolve(start(socket));
    });
    socket.once("error", (error) => refuse(error.message));
  });
}
