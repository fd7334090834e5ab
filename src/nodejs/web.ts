/**
 * The web side of a server: the page and its files, the list of runs, and
 * connections of workers (at `/`) and observers (at `/observe`). The page's own
 * files are public; everything about a run needs the page's token. It listens on
 * the loopback address alone.
 */
import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import sirv from "sirv";
import { type WebSocket, WebSocketServer } from "ws";
import { InputError } from "../base/errors.ts";
import type { ObserverHub } from "../run/observe/hub.ts";
import { say, sayJson } from "./answers.ts";
import { RunArchive } from "./archive.ts";
import { defaultPort } from "./default-port.ts";
import { answerAtDesk, type JoinDesk } from "./join-desk.ts";
import { isJoinPath, joinPage } from "./join-page.ts";
import { frameBytesMax, observerLink } from "./link.ts";
import { pageFolder } from "./page-folder.ts";

const portsTried = 100;
const host = "127.0.0.1";

export interface WebOptions {
  /** Exactly this port, or null for the first free one from {@link defaultPort}. */
  readonly port: number | null;
  /** Folder of all runs. */
  readonly runs: string;
  readonly token: string;
  /** The run under way; null where only past ones are shown. */
  readonly live: string | null;
  readonly hub: ObserverHub;
  /** Tells devices that want to join about the run; null where there is none to join. */
  readonly joining: Joining | null;
  /** Takes the connection of a worker; null where there is no coordinator. */
  onWorker: ((socket: WebSocket) => void) | null;
}

/** What a server that devices may join says to them. */
export interface Joining {
  readonly desk: JoinDesk;
  /** Position of the device that a token admits; null where it admits none. */
  deviceOf(token: string): number | null;
  /** The join token of each device, for those who may see the page. */
  readonly tokens: readonly { readonly name: string; readonly token: string }[];
}

/** A listening server. */
export interface Web {
  readonly port: number;
  /** Where workers connect. */
  readonly url: string;
  /** The page with its token. */
  readonly pageUrl: string;
  /** The page with which a browser joins. */
  joinUrl(token: string): string;
  close(): void;
}

/** 128 random bits, in characters that survive any shell. */
export const newToken = (): string => randomBytes(16).toString("base64url").replace(/^-/, "_");

/** Starts listening. @throws InputError when the port is taken. */
export async function openWeb(options: WebOptions): Promise<Web> {
  const server = createServer(answering(options));
  const port = await listen(server, options.port);
  const workers = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
  });
  const observers = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: 4096,
  });
  const { hub, onWorker, token } = options;
  server.on("upgrade", (request, socket, head) => {
    const path = (request.url ?? "").split("?")[0];
    if (isForeign(request)) {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
    } else if (path === "/observe") {
      observers.handleUpgrade(request, socket, head, (client) => hub.accept(observerLink(client)));
    } else if (path === "/" && onWorker !== null) {
      workers.handleUpgrade(request, socket, head, (client) => onWorker(client));
    } else {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    }
  });
  return {
    port,
    url: `ws://${host}:${port}`,
    pageUrl: `http://${host}:${port}/#token=${token}`,
    joinUrl: (joinToken) => `http://${host}:${port}/join#token=${joinToken}`,
    close() {
      // Observers are to read the end of the run: their links close when all has been sent.
      hub.close();
      for (const client of workers.clients) client.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A browser says which page connects; only our own may, since any page may try to. */
function isForeign({ headers: { origin, host: asked } }: IncomingMessage): boolean {
  return origin !== undefined && URL.parse(origin)?.host !== asked;
}

const headers = {
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function answering({ runs, token, live, joining }: WebOptions): Handler {
  const archive = new RunArchive(runs);
  const join = joinPage();
  const page = pageFolder();
  const files = page === null ? null : sirv(page, { etag: true });
  const isAllowed = (request: IncomingMessage): boolean => bearerOf(request) === token;
  return (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const path = decode((request.url ?? "/").split("?")[0] ?? "/");
    if (request.method !== "GET" && request.method !== "HEAD") {
      return say(response, 405, "only GET is answered here");
    }
    if (path !== null && /^\/api\/join(\/|$)/.test(path)) {
      const device = joining?.deviceOf(bearerOf(request)) ?? null;
      if (joining === null || device === null) {
        return say(response, 401, "the join token is missing or not one of this run");
      }
      return answerAtDesk(joining.desk, device, path, response);
    }
    if (path?.startsWith("/api/")) {
      if (!isAllowed(request)) return say(response, 401, "the token is missing or wrong");
      if (path === "/api/devices") return sayJson(response, { devices: joining?.tokens ?? [] });
      return void answerApi(archive, live, path, response).catch(() => {
        if (response.headersSent) response.destroy();
        else say(response, 404, "no such run or file");
      });
    }
    if (path !== null && isJoinPath(path)) {
      return join(path, request, response, (why) => say(response, 404, why));
    }
    if (files === null)
      return say(response, 503, "The page is not built: npm run setup builds it.");
    files(request, response, () => say(response, 404, "nothing here"));
  };
}

async function answerApi(
  archive: RunArchive,
  live: string | null,
  path: string,
  response: ServerResponse,
): Promise<void> {
  const [, , what, run = "", kind, name = ""] = path.split("/");
  if (what === "runs" && run === "") {
    sayJson(response, { live, runs: await archive.list() });
  } else if (what === "runs" && kind === "records") {
    const text = await archive.records(run);
    response.writeHead(200, { "content-type": "application/x-ndjson; charset=utf-8" });
    response.end(text);
  } else if (what === "runs" && kind === "files") {
    const file = archive.file(run, name);
    if (file === null) return say(response, 404, "no such run or file");
    response.writeHead(200, {
      "content-type": "application/octet-stream",
      "content-disposition": `attachment; filename="${name}"`,
    });
    createReadStream(file)
      .on("error", () => response.destroy())
      .pipe(response);
  } else say(response, 404, "nothing here");
}

/** The token that a request shows; empty where it shows none. */
const bearerOf = ({ headers }: IncomingMessage): string =>
  /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1] ?? "";

/** Null for a path that is no valid encoding. */
function decode(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    return null;
  }
}

/** Listens on the port asked for, or on the first free one from the default on. */
async function listen(server: Server, port: number | null): Promise<number> {
  const first = port ?? defaultPort;
  const last = port ?? defaultPort + portsTried - 1;
  for (let candidate = first; candidate <= last; candidate++) {
    if (await tryListen(server, candidate)) return (server.address() as AddressInfo).port;
  }
  throw portError(port === null ? `${first} to ${last}, all in use` : `${port}, which is in use`);
}

const portError = (received: string): InputError =>
  new InputError({
    what: "--port",
    received,
    allowed: "a free port above 1023, or no --port to take the next free one from 7070",
  });

function tryListen(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      server.off("listening", onListening);
      if (error.code === "EADDRINUSE") resolve(false);
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
