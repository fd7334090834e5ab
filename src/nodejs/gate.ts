/**
 * The gate: where connections wait until their token has been checked. Signatures
 * are checked asynchronously, and peers are synchronous; so the gate reads the token
 * out of a connection's first message, checks it, and hands the connection over with
 * that message in front. Whoever shows no token in time, or says too much before, is
 * sent away here and costs the coordinator nothing.
 *
 * Invariants:
 * 1. Nothing but one first message of a stranger is kept, and it is small.
 * 2. What a member sent while its token was checked reaches its reader whole and in order.
 * 3. A revoked token's connections are closed, and it opens no others.
 */
import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import { ProtocolError } from "../base/errors.ts";
import type { Ticket, Tickets, VoidTicket } from "../run/coordinator/admission.ts";
import { readObserveMessage } from "../run/observe/messages.ts";
import { decodeWorkerFrame, splitFrame } from "../run/wire/frame.ts";
import { type EdgeLimits, readAtMost } from "./limits.ts";
import type { RunTokens, TokenCheck, TokenRole } from "./tokens.ts";

/** Why the gate closes a connection: WebSocket close codes (RFC 6455) and words. */
const closings = {
  silent: [1008, "no token came in time"],
  loud: [1009, "too much came before a token"],
  revoked: [1008, "its token has been revoked"],
  crowded: [1013, "too many connections wait here: try again later"],
} as const satisfies Record<string, readonly [number, string]>;

/** Time for a client to answer a close before it is cut off. */
const farewellMs = 3_000;
/** Messages kept while a token is checked: the greeting and a heartbeat or two. */
const waitingMax = 16;

/** Which role may open which kind of connection. */
const mayJoin = (role: TokenRole): role is "device" | "edge" =>
  role === "device" || role === "edge";
const mayObserve = (role: TokenRole): boolean => role === "observer" || role === "admin";

export class Gate implements Tickets {
  readonly #tokens: RunTokens;
  readonly #limits: EdgeLimits;
  /** Tokens that are being used right now, and what the check of each gave. */
  readonly #checked = new Map<string, TokenCheck>();
  /** Connections by the id of the token that opened them. */
  readonly #open = new Map<string, Set<WebSocket>>();
  #strangers = 0;

  constructor(tokens: RunTokens, limits: EdgeLimits) {
    this.#tokens = tokens;
    this.#limits = limits;
  }

  /** What a join token allows; asked when its connection is handed over. */
  get(token: string): Ticket | VoidTicket | undefined {
    const check = this.#checked.get(token);
    if (check === undefined) return undefined;
    if (!check.ok) return { void: check.text };
    if (mayJoin(check.role)) return { kind: check.role };
    return { void: `it lets its holder look on as ${check.role}, not join` };
  }

  /** Whether a token lets its holder look on; asked when its connection is handed over. */
  accepts(token: string): boolean {
    const check = this.#checked.get(token);
    return check?.ok === true && mayObserve(check.role);
  }

  /** Worker connections: the token is in the hello. `take` gets each when its token has been checked. */
  greetWorker(socket: WebSocket, raw: Socket, take: (socket: WebSocket) => void): void {
    this.#greet(socket, raw, tokenOfHello, take);
    readAtMost(socket, this.#limits);
  }

  /** Observer connections: the token is in their only message. */
  greetObserver(socket: WebSocket, raw: Socket, take: (socket: WebSocket) => void): void {
    this.#greet(socket, raw, (data) => readObserveMessage(String(data))?.token ?? "", take);
  }

  /** Closes what a token has opened, which has just been revoked. */
  expel(id: string): void {
    for (const socket of this.#open.get(id) ?? []) close(socket, "revoked");
  }

  #greet(
    socket: WebSocket,
    raw: Socket,
    tokenOf: (data: Buffer) => string,
    take: (socket: WebSocket) => void,
  ): void {
    // From the first moment on: an error that nobody listens to would end the server.
    const onError = (): void => {};
    socket.on("error", onError);
    if (this.#strangers >= this.#limits.strangers) return close(socket, "crowded");
    this.#strangers++;
    const fromBytes = raw.bytesRead;
    const waiting: [RawData, boolean][] = [];
    const timer = setTimeout(() => close(socket, "silent"), this.#limits.silenceMs);
    const onBytes = (): void => {
      if (raw.bytesRead - fromBytes > this.#limits.greetingBytes) close(socket, "loud");
    };
    let isStranger = true;
    const greeted = (): void => {
      if (!isStranger) return;
      isStranger = false;
      this.#strangers--;
      clearTimeout(timer);
      raw.off("data", onBytes);
    };
    const onMessage = (data: RawData, isBinary: boolean): void => {
      if (waiting.push([data, isBinary]) > waitingMax) return close(socket, "loud");
      if (waiting.length > 1) return;
      const token = tokenOf(data as Buffer);
      void this.#tokens.check(token).then((check) => {
        greeted();
        if (socket.readyState !== socket.OPEN) return;
        socket.off("message", onMessage);
        socket.off("error", onError);
        if (check.ok) this.#keep(check.id, socket);
        this.#checked.set(token, check);
        take(socket);
        // Whoever reads from now on may have asked for another form of messages.
        const isCut = socket.binaryType === "fragments";
        for (const [message, wasBinary] of waiting) {
          socket.emit("message", isCut && wasBinary ? [message] : message, wasBinary);
        }
        this.#checked.delete(token);
      });
    };
    raw.on("data", onBytes);
    socket.on("message", onMessage);
    socket.on("close", greeted);
  }

  #keep(id: string, socket: WebSocket): void {
    const sockets = this.#open.get(id) ?? new Set();
    this.#open.set(id, sockets.add(socket));
    socket.on("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0) this.#open.delete(id);
    });
  }
}

function close(socket: WebSocket, why: keyof typeof closings): void {
  const [code, words] = closings[why];
  socket.close(code, words);
  // What else a loud one sends is left in the network's buffers.
  if (why === "loud") socket.pause();
  setTimeout(() => socket.terminate(), farewellMs).unref();
}

/** The token that a first message shows; empty where it is no hello, which the coordinator then says. */
function tokenOfHello(data: Buffer): string {
  try {
    const { message } = decodeWorkerFrame(splitFrame(new Uint8Array(data)));
    return message.type === "hello" ? message.token : "";
  } catch (error) {
    if (error instanceof ProtocolError) return "";
    throw error;
  }
}
