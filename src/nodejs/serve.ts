/**
 * `serve` in Node.js: a WebSocket server whose connections go to a coordinator,
 * the coordinator's run folder, and an edge server's worker in the same process.
 * Composition only; every decision is in `run/`.
 */
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { InputError } from "../base/errors.ts";
import type { RunId } from "../base/ids.ts";
import type { Model } from "../compile/graph.ts";
import type { SampleSource } from "../data/source.ts";
import type { Ticket } from "../run/coordinator/admission.ts";
import { Coordinator, type CoordinatorEnd } from "../run/coordinator/coordinator.ts";
import type { Engine } from "../run/host.ts";
import type { Job } from "../run/job.ts";
import type { RunRecord } from "../run/metrics/record.ts";
import { nodeHost } from "./host.ts";
import { frameBytesMax, webSocketLink } from "./link.ts";
import { startOwnWorker } from "./own-worker.ts";
import { folderStore } from "./store.ts";

/** First port tried when none is asked for. */
export const defaultPort = 7070;
const portsTried = 100;
const host = "127.0.0.1";

export interface ServeOptions {
  readonly run: RunId;
  readonly job: Job;
  readonly model: Model;
  /** Folder of the run; it exists. */
  readonly folder: string;
  /** Held-out data for the edge server's evaluations; null leaves them out. */
  readonly test: SampleSource | null;
  readonly engine: Engine;
  /** Exactly this port, or null for the first free one from {@link defaultPort}. */
  readonly port: number | null;
  record(record: RunRecord): void;
}

/** A run that is being served. */
export interface Serving {
  readonly url: string;
  readonly port: number;
  /** One join token per expected device. */
  readonly tokens: readonly string[];
  readonly ended: Promise<CoordinatorEnd>;
  /** Ends the run after what is committed. */
  interrupt(text: string): void;
}

/** Starts a coordinator with its edge server. @throws InputError when the port is taken. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { job } = options;
  const server = createServer((_request, response) => {
    response.writeHead(426, { "content-type": "text/plain" });
    response.end("This is an Edgeloom coordinator; workers connect by WebSocket.\n");
  });
  const port = await listen(server, options.port);
  const tokens = job.fleet.devices.map(newToken);
  const edgeToken = newToken();
  const tickets = new Map<string, Ticket>(tokens.map((token) => [token, { kind: "device" }]));
  tickets.set(edgeToken, { kind: "edge" });
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<CoordinatorEnd>();
  const coordinator = new Coordinator(
    nodeHost({
      engine: options.engine,
      train: null,
      test: null,
      store: folderStore(options.folder),
      record: options.record,
    }),
    { run: options.run, job, model: options.model, tickets, edges: 1 },
    resolve,
  );
  sockets.on("connection", (socket) => coordinator.accept(webSocketLink(socket)));
  const { engine, test } = options;
  startOwnWorker(
    coordinator,
    { name: "edge", kind: "edge", token: edgeToken, engine, train: null, test },
    reject,
  );
  const closed = ended.finally(() => {
    sockets.close();
    for (const socket of sockets.clients) socket.terminate();
    server.close();
    return options.engine.close();
  });
  return {
    url: `ws://${host}:${port}`,
    port,
    tokens,
    ended: closed,
    interrupt: (text) => coordinator.interrupt(text),
  };
}

/** 128 random bits, in characters that survive any shell. */
const newToken = (): string => randomBytes(16).toString("base64url").replace(/^-/, "_");

/** Listens on the port asked for, or on the first free one from the default on. */
async function listen(server: Server, port: number | null): Promise<number> {
  const first = port ?? defaultPort;
  const last = port ?? defaultPort + portsTried - 1;
  for (let candidate = first; candidate <= last; candidate++) {
    if (await tryListen(server, candidate)) return (server.address() as AddressInfo).port;
  }
  throw new InputError({
    what: port === null ? "port" : "--port",
    received: port === null ? `${first} to ${last}, all in use` : `${port}, which is in use`,
    allowed:
      port === null ? "one free port" : "a free port, or no --port to take the next free one",
  });
}

function tryListen(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      server.off("listening", onListening);
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    };
    const onListening = (): void => {
      server.off("error", onError);
      resolve(true);
    };
    server.once("error", onError);
    server.once("listening", onListening);
    server.listen(port, host);
  });
}
