/**
 * The web side of a server: the page and its files, the list of runs, and
 * connections of workers (at `/`) and observers (at `/observe`). The page's own
 * files are public; everything about a run needs a token. It listens on the loopback
 * address alone unless it is told otherwise, and then speaks TLS (`reach.ts`).
 */
import { X509Certificate } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import sirv from "sirv";
import { type WebSocket, WebSocketServer } from "ws";
import { InputError } from "../base/errors.ts";
import type { ObserverHub } from "../run/observe/hub.ts";
import { say } from "./answers.ts";
import { Api, type ApiOptions, isReading } from "./api.ts";
import { defaultPort } from "./default-port.ts";
import { isJoinPath, joinPage } from "./join-page.ts";
import { AddressCount, type EdgeLimits } from "./limits.ts";
import { linkOptions, observerLink } from "./link.ts";
import { pageFolder } from "./page-folder.ts";
import { bareHost, inUrl, type Reach } from "./reach.ts";
import { servingFile } from "./run-folder.ts";

const portsTried = 100;
const renewalCheckMs = 86_400_000;
/** Between two looks whether this machine has other addresses. */
const lookMs = 5_000;

export interface WebOptions extends ApiOptions {
  /** Told where the server is while it is there; null where there is no run. */
  readonly folder: string | null;
  /** Exactly this port, or null for the first free one from {@link defaultPort}. */
  readonly port: number | null;
  /** Stands in the page's address; everything that it shows is asked for with it. */
  readonly pageToken: string;
  /** The same for who may let devices in. */
  readonly adminToken: string;
  readonly reach: Reach;
  readonly limits: EdgeLimits;
  readonly hub: ObserverHub;
  /** Takes the connection of a worker; null where there is no coordinator. */
  onWorker: ((socket: WebSocket) => void) | null;
}

/** A listening server. */
export interface Web {
  readonly port: number;
  /** Address that it listens on; 0.0.0.0 or :: for all. */
  readonly listensOn: string;
  /** Where workers connect. */
  readonly url: string;
  /** The page with its token, and the CA's fingerprint where `watch` needs it. */
  readonly pageUrl: string;
  /** The page with which a browser joins. */
  joinUrl(token: string): string;
  /** The page for who may let devices in, and end the run. */
  readonly adminUrl: string;
  close(): void;
}

/** Starts listening. @throws InputError when the port is taken, or the address is not this machine's */
export async function openWeb(options: WebOptions): Promise<Web> {
  const { reach, limits } = options;
  const answer = answering(options);
  const server: Server | TlsServer =
    reach.identity === null
      ? createServer(httpLimits, answer)
      : createTlsServer(
          {
            ...httpLimits,
            cert: reach.identity.cert,
            key: reach.identity.key,
            handshakeTimeout: limits.silenceMs,
          },
          answer,
        );
  const addresses = new AddressCount(limits.perAddress);
  server.on("connection", (socket: Socket) => addresses.isTooMany(socket));
  const closeSockets = takeSockets(server, options);
  const { port, address: listensOn } = await listen(server, reach.host, options.port);
  const renewal = renewing(server, reach);
  const secure = reach.identity === null ? "" : "s";
  const place = `${inUrl(reach.shown)}:${port}`;
  const withdraw = announce(options, `http${secure}://`, port);
  const ca = reach.fingerprint === null ? "" : `&ca=${reach.fingerprint}`;
  return {
    port,
    listensOn,
    url: `ws${secure}://${place}`,
    pageUrl: `http${secure}://${place}/#token=${options.pageToken}${ca}`,
    joinUrl: (token) => `http${secure}://${place}/join#token=${token}`,
    adminUrl: `http${secure}://${place}/#token=${options.adminToken}${ca}`,
    close() {
      clearInterval(renewal);
      withdraw();
      closeSockets();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Writes into the run's folder where it is served. @returns what takes it back */
function announce({ folder, reach }: WebOptions, scheme: string, port: number): () => void {
  if (folder === null) return () => {};
  const path = join(folder, servingFile);
  const isAny = reach.host === "0.0.0.0" || reach.host === "::";
  const own = `${scheme}${inUrl(isAny ? "127.0.0.1" : reach.host)}:${port}`;
  const shown = `${scheme}${inUrl(reach.shown)}:${port}`;
  writeFileSync(path, `${JSON.stringify({ own, shown, fingerprint: reach.fingerprint })}\n`);
  return () => rmSync(path, { force: true });
}

/** Slow and oversized requests are cut off: they come from nobody who means well. */
const httpLimits: ServerOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 2_000,
};

/** Takes WebSockets of workers and observers. @returns what closes them */
function takeSockets(server: Server, options: WebOptions): () => void {
  const { hub, gate, onWorker, reach } = options;
  const workers = new WebSocketServer({ noServer: true, ...linkOptions });
  const observers = new WebSocketServer({ noServer: true, ...linkOptions, maxPayload: 4096 });
  server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    // The client may be gone, or go while it is answered.
    stream.on("error", () => stream.destroy());
    const path = (request.url ?? "").split("?")[0];
    const refusal = refusalOf(request, reach);
    const socket = stream as Socket;
    if (refusal !== null) return refuseUpgrade(stream, refusal.status, refusal.text);
    if (path === "/observe") {
      observers.handleUpgrade(request, stream, head, (client) =>
        gate.greetObserver(client, socket, (known) => hub.accept(observerLink(known))),
      );
    } else if (path === "/" && onWorker !== null) {
      workers.handleUpgrade(request, stream, head, (client) =>
        gate.greetWorker(client, socket, onWorker),
      );
    } else refuseUpgrade(stream, "404 Not Found", "nothing here");
  });
  return () => {
    // Observers are to read the end of the run: their links close when all has been sent.
    hub.close();
    for (const client of workers.clients) client.terminate();
  };
}

function refuseUpgrade(stream: Duplex, status: string, text: string): void {
  stream.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text) + 1}\r\n\r\n${text}\n`,
  );
}

/**
 * Why a request is for nobody here: its Host is not ours (another site's name that was
 * made to lead here), or a page of another origin connects, which any page may try.
 */
function refusalOf(
  { headers: { origin, host = "" } }: IncomingMessage,
  { isOwnName }: Reach,
): { status: "421 Misdirected Request" | "403 Forbidden"; text: string } | null {
  const hostname = URL.parse(`http://${host}`)?.hostname;
  const name = hostname === undefined ? undefined : bareHost(hostname);
  if (name === undefined || !isOwnName(name)) {
    return { status: "421 Misdirected Request", text: `this server is not known as ${name}` };
  }
  if (origin !== undefined && URL.parse(origin)?.host !== host) {
    return { status: "403 Forbidden", text: "pages of other sites may not connect" };
  }
  return null;
}

/**
 * Puts a renewed certificate in place of one that ends, or that does not cover an address which this
 * machine has got meanwhile, in another network; a failure is tried again the next day.
 */
function renewing(server: Server | TlsServer, { renew }: Reach): NodeJS.Timeout | undefined {
  if (renew === null || !("setSecureContext" in server)) return undefined;
  let addresses = ownAddresses();
  let checkedMs = performance.now();
  const timer = setInterval(() => {
    const current = ownAddresses();
    if (current === addresses && performance.now() < checkedMs + renewalCheckMs) return;
    addresses = current;
    checkedMs = performance.now();
    renew().then(
      ({ cert, key }) => server.setSecureContext({ cert, key }),
      () => {},
    );
  }, lookMs);
  return timer.unref();
}

/** This machine's addresses of the moment, as one text. */
const ownAddresses = (): string =>
  Object.values(networkInterfaces())
    .flatMap((all) => (all ?? []).map(({ address }) => address))
    .join(" ");

const headers = {
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function answering(options: WebOptions): Handler {
  const { reach } = options;
  const api = new Api(options);
  const join = joinPage();
  const page = pageFolder();
  const files = page === null ? null : sirv(page, { etag: true });
  const ca = reach.identity?.ca ?? null;
  return (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const refusal = refusalOf(request, reach);
    if (refusal !== null) return say(response, Number.parseInt(refusal.status, 10), refusal.text);
    const path = decode((request.url ?? "/").split("?")[0] ?? "/");
    if (path !== null && api.owns(path)) return void api.answer(path, request, response);
    if (!isReading(request)) return say(response, 405, "only GET is answered here");
    if (path !== null && isJoinPath(path)) {
      return join(path, request, response, (why) => say(response, 404, why));
    }
    if (path === "/ca.crt" && ca !== null) return sendAuthority(response, ca);
    if (files === null)
      return say(response, 503, "The page is not built: npm run setup builds it.");
    files(request, response, () => say(response, 404, "nothing here"));
  };
}

/** The CA's certificate in the form that phones install. */
function sendAuthority(response: ServerResponse, pem: string): void {
  response.writeHead(200, {
    "content-type": "application/x-x509-ca-cert",
    "content-disposition": 'attachment; filename="edgeloom-ca.crt"',
  });
  response.end(new X509Certificate(pem).raw);
}

/** Null for a path that is no valid encoding. */
function decode(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}

/** Listens on the port asked for, or on the first free one from the default on. */
async function listen(server: Server, host: string, port: number | null): Promise<AddressInfo> {
  const first = port ?? defaultPort;
  const last = port ?? defaultPort + portsTried - 1;
  for (let candidate = first; candidate <= last; candidate++) {
    if (await tryListen(server, host, candidate)) return server.address() as AddressInfo;
  }
  throw portError(port === null ? `${first} to ${last}, all in use` : `${port}, which is in use`);
}

const portError = (received: string): InputError =>
  new InputError({
    what: "--port",
    received,
    allowed: "a free port above 1023, or no --port to take the next free one from 7070",
  });

const hostError = (received: string): InputError =>
  new InputError({
    what: "--host",
    received,
    allowed: "an address of this machine, or 0.0.0.0 for all of them",
  });

function tryListen(server: Server, host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      server.off("listening", onListening);
      if (error.code === "EADDRINUSE") resolve(false);
      else if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND")
        reject(hostError(`${host} (${error.code})`));
      else reject(portError(`${port}, which cannot be listened on (${error.code})`));
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
