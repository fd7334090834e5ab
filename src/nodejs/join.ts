/** `join` in Node.js: a worker on a WebSocket to a coordinator, which comes back when the link is lost. Composition only. */
import { WebSocket } from "ws";
import { InputError, messageOf } from "../base/errors.ts";
import type { SampleSource } from "../data/source.ts";
import type { Done, Engine, Link } from "../run/host.ts";
import { Rejoiner, type RejoinerEvent } from "../run/worker/rejoiner.ts";
import type { WorkerEnd } from "../run/worker/worker.ts";
import { readAddress, type ServerAddress, socketUrl, type Trust, trustOf } from "./address.ts";
import { machineName, nodeHost, noStore } from "./host.ts";
import { dialOptions, webSocketLink } from "./link.ts";

const defaultPatienceMs = 600_000;
/** Time that a round under way is given to come to its end: less than machines give that are taken away. */
const noticeMs = 25_000;

/** Which run to join, as what, and with which data. */
export interface JoinOptions {
  /** What serve printed: ws://host:port or wss://host:port, also with #token=...&ca=... behind it. */
  readonly url: string;
  /** The join token, where the URL has none. */
  readonly token?: string;
  /** For a server with a CA of its own: the CA's fingerprint, or the path of its certificate (PEM). */
  readonly ca?: string;
  readonly name: string;
  readonly duty: number;
  readonly memoryBytes: number | null;
  readonly ceilingBytesPerMs: number | null;
  readonly train: SampleSource;
  readonly engine: Engine;
  /** How long it tries to come back where the link is lost; ten minutes where absent. */
  readonly patienceMs?: number;
  /** Told how the run goes from where this worker stands. */
  onEvent(event: RejoinerEvent): void;
}

/** A worker that has connected. */
export interface Joined {
  readonly ended: Promise<WorkerEnd>;
  /** Finishes the round under way and ends, within 25 s; the run goes on without this device. */
  giveNotice(text: string): void;
  /** Says goodbye and ends at once. */
  leave(text: string): void;
}

/**
 * Connects and starts a worker.
 * @throws InputError when the URL is none, or nobody answers there whom it makes trustworthy
 */
export async function join(options: JoinOptions): Promise<Joined> {
  const { url, token, ca } = options;
  const address = readAddress("coordinator URL", url, { token, ca });
  const trust = await trustOf(address);
  return connect(address, trust, (socket) => startWorker(socket, address, trust, options));
}

function startWorker(
  socket: WebSocket,
  address: ServerAddress,
  trust: Trust,
  options: JoinOptions,
): Joined {
  const { promise, resolve } = Promise.withResolvers<WorkerEnd>();
  const { token } = address;
  const { engine, train, name, duty, memoryBytes, ceilingBytesPerMs } = options;
  const dial = (done: Done<Link>): void => {
    connect(address, trust, webSocketLink).then(
      (value) => done({ ok: true, value }),
      (error: unknown) => done({ ok: false, error: messageOf(error) }),
    );
  };
  const worker = new Rejoiner(
    nodeHost({ engine, train, test: null, store: noStore, record: () => {} }),
    webSocketLink(socket),
    dial,
    {
      name,
      kind: "device",
      token,
      machine: machineName(),
      duty,
      memoryBytes,
      ceilingBytesPerMs,
      patienceMs: options.patienceMs ?? defaultPatienceMs,
    },
    { onEvent: (event) => options.onEvent(event), onEnd: resolve },
  );
  return {
    ended: promise.finally(() => engine.close()),
    giveNotice: (text) => worker.giveNotice(text, noticeMs),
    leave: (text) => worker.leave(text),
  };
}

/** Runs `start` as soon as the socket is open, before the first message can be missed. */
function connect<T>(
  address: ServerAddress,
  trust: Trust,
  start: (socket: WebSocket) => T,
): Promise<T> {
  const url = socketUrl(address);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { ...dialOptions, ...trust });
    socket.once("open", () => {
      socket.removeAllListeners("error");
      resolve(start(socket));
    });
    socket.once("error", (error) =>
      reject(
        new InputError({
          what: "coordinator URL",
          received: `${url} (${error.message})`,
          allowed: "the address that serve printed, while it runs",
        }),
      ),
    );
  });
}
