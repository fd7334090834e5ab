/**
 * Links straight between workers, over WebSockets: a worker that others may reach listens at
 * `/peer`, the others dial. On the loopback address nothing is encrypted; anywhere else there is
 * TLS, with a certificate that the listener makes for itself as it starts. No authority vouches for it:
 * its fingerprint goes to the coordinator in the hello, from there to whoever is introduced, and
 * is compared before a word is said. Who may talk is decided by the worker (`run/worker/neighbours.ts`).
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { WebSocket, WebSocketServer } from "ws";
import { InputError } from "../base/errors.ts";
import type { Done, Link, PeerAddress } from "../run/host.ts";
import { AddressCount, readAtMost } from "./limits.ts";
import { dialOptions, linkOptions, webSocketLink } from "./link.ts";
import { misfitOf, peerPath, printOf } from "./peer-address.ts";
import { answerAtDoor } from "./peer-door.ts";
import { inUrl, isLoopback, shownHost } from "./reach.ts";
import type { KnownCoordinator } from "./through-peer.ts";

const handshakeMs = 10_000;
/** Connections from one address: a whole fleet may sit behind one router. */
const perAddress = 1_024;
/** Messages a second over a longer time, and at once; who sends more is read more slowly. */
const messages = { messagesPerSecond: 2_000, messagesAtOnce: 10_000 } as const;

/** Requests that are slow or large come from nobody who means well. */
const httpLimits = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: handshakeMs,
  requestTimeout: handshakeMs,
  connectionsCheckingInterval: 2_000,
} as const;

/** A worker's door. */
export interface PeerListener {
  /** What others are told. */
  readonly address: PeerAddress;
  /** Takes each link that is opened; set by the owner before control returns to the loop. */
  onLink: (link: Link) => void;
  /** What is told to who asks where the run's coordinator is; nothing as long as it is null. */
  coordinator: KnownCoordinator | null;
  close(): void;
}

/**
 * Starts to listen for other workers.
 * @param place "HOST:PORT": an address of this machine, or 0.0.0.0 for all of them; port 0 for a free one
 * @throws InputError where that is none, or the port is taken
 */
export async function listenForPeers(place: string): Promise<PeerListener> {
  const { host, port } = readPlace(place);
  const identity = isLoopback(host) ? null : await ownCertificate(host);
  const answer: Parameters<typeof createServer>[1] = (request, response) =>
    answerAtDoor(request, response, listener.coordinator, identity === null);
  const server: Server =
    identity === null
      ? createServer(httpLimits, answer)
      : createTlsServer(
          {
            ...httpLimits,
            cert: identity.cert,
            key: identity.key,
            handshakeTimeout: handshakeMs,
          },
          answer,
        );
  const addresses = new AddressCount(perAddress);
  server.on("connection", (socket: Socket) => addresses.isTooMany(socket));
  const sockets = new WebSocketServer({ noServer: true, ...linkOptions });
  server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    // Who connects may be gone, or go while it is answered.
    stream.on("error", () => stream.destroy());
    // A page of any site may try; workers send no origin.
    if (request.url !== peerPath || request.headers.origin !== undefined) {
      return void stream.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
    }
    sockets.handleUpgrade(request, stream, head, (socket) => {
      readAtMost(socket, messages);
      listener.onLink(webSocketLink(socket));
    });
  });
  await listening(server, place, { host, port });
  const scheme = identity === null ? "ws" : "wss";
  const { port: taken } = server.address() as AddressInfo;
  const listener: PeerListener = {
    address: {
      url: `${scheme}://${inUrl(shownHost(host))}:${taken}${peerPath}`,
      fingerprint: identity?.fingerprint ?? null,
    },
    onLink: (link) => link.close(),
    coordinator: null,
    close() {
      for (const client of sockets.clients) client.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
  return listener;
}

/** Only now: most workers need no certificate. */
async function ownCertificate(host: string) {
  const { selfSigned } = await import("./certificates.ts");
  return selfSigned(host);
}

const placeError = (received: string): InputError =>
  new InputError({
    what: "--listen",
    received,
    allowed: "HOST:PORT with an address of this machine and a free port, such as 0.0.0.0:7171",
  });

function readPlace(place: string): { host: string; port: number } {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(place);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || port > 65_535) throw placeError(place);
  return { host, port };
}

function listening(
  server: Server,
  place: string,
  { host, port }: { host: string; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(placeError(`${place} (${error.code ?? error.message})`));
    });
    server.listen(port, host, resolve);
  });
}

/** Opens a link to another worker: what {@link Host.dial} is in Node.js. */
export function dialPeer(address: PeerAddress, done: Done<Link>): void {
  // The coordinator names addresses: a worker dials no others than those where workers can be.
  const problem = misfitOf(address);
  if (problem !== null) return void setImmediate(() => done({ ok: false, error: problem }));
  const { url, fingerprint } = address;
  // The one certificate with this fingerprint is right, whoever signed it, and any other is wrong.
  const socket = new WebSocket(url, {
    ...dialOptions,
    handshakeTimeout: handshakeMs,
    rejectUnauthorized: false,
  });
  let isOver = false;
  const end: Done<Link> = (outcome) => {
    if (isOver) return;
    isOver = true;
    done(outcome);
  };
  // Before the socket is open, so nothing is said to anybody else.
  socket.once("upgrade", ({ socket: stream }) => {
    if (fingerprint === null || printOf((stream as TLSSocket).getPeerCertificate()) === fingerprint)
      return;
    end({ ok: false, error: `${url} shows a certificate with another fingerprint` });
    socket.terminate();
  });
  socket.once("open", () => {
    socket.off("error", onError);
    end({ ok: true, value: webSocketLink(socket) });
  });
  const onError = (error: Error): void => {
    end({ ok: false, error: `${url}: ${error.message}` });
  };
  socket.on("error", onError);
}
