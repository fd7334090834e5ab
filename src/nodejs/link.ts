/** Links over WebSockets (ws), and a pair within one process for the server's own worker. */
import type { WebSocket } from "ws";
import { ProtocolError } from "../base/errors.ts";
import type { Frame, Link, Payload } from "../run/host.ts";
import type { TextLink } from "../run/observe/observer.ts";
import { linkMessageBytesMax } from "../run/wire/chunks.ts";
import { frameOfParts, joinFrame } from "../run/wire/frame.ts";
import { memoryLinks } from "../run/wire/memory-link.ts";

/** Time for the other side to take leave, after what was sent has gone. */
const farewellMs = 3_000;

/** Time for a server to take a connection; who listens and never answers is not waited for. */
export const handshakeTimeout = 20_000;

/** What both sides of a worker's WebSocket are opened with. Tensors do not compress. */
export const linkOptions = { perMessageDeflate: false, maxPayload: linkMessageBytesMax } as const;

/**
 * What a worker's side is opened with. Masks keep what a page sends from looking like requests to
 * proxies in between (RFC 6455, section 10.3). A worker is no page, and goes through proxies under TLS
 * alone: its mask is zero, which spares both sides a pass over every byte.
 */
export const dialOptions = {
  ...linkOptions,
  handshakeTimeout,
  generateMask: (mask: Buffer): void => void mask.fill(0),
} as const;

/** Parts of a message below this size are joined: a header of their own would cost more. */
const joinedBytesMax = 16 * 1024;

/** Bytes that say how long the head of a message is. */
const headBytesMin = 8;

/** An open WebSocket as a link. */
export function webSocketLink(socket: WebSocket): Link {
  let isClosing = false;
  const link: Link = {
    send(message) {
      if (isClosing || socket.readyState !== socket.OPEN) return;
      // A message leaves in fragments, so that large tensors are not copied to be sent.
      const fragments = fragmentsOf(message);
      fragments.forEach((part, i) => {
        socket.send(part, { binary: true, fin: i === fragments.length - 1 });
      });
    },
    close() {
      if (!isClosing) closeSoon(socket);
      isClosing = true;
    },
    onFrame: () => {},
    onClose: () => {},
  };
  socket.binaryType = "fragments";
  socket.on("message", (data: Buffer[], isBinary: boolean) => {
    if (isClosing) return;
    if (isBinary) link.onFrame(receivedMessage(data));
    else socket.close(1003, "binary frames only");
  });
  // An error is always followed by "close", which says all that a peer needs to know.
  let failure: string | null = null;
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("close", (_code, reason) => {
    link.onClose(failure ?? (reason.length > 0 ? reason.toString() : "the connection closed"));
  });
  return link;
}

/** The bytes of a message in as few pieces as it takes without copying large ones. */
function fragmentsOf({ head, body }: Frame): Uint8Array[] {
  const fragments: Uint8Array[] = [];
  let small: Payload[] = [];
  const flush = (): void => {
    const [first, ...rest] = small;
    small = [];
    if (first?.bytes != null) fragments.push(joinFrame({ head: first.bytes, body: rest }));
  };
  for (const part of [{ byteLength: head.length, bytes: head }, ...body]) {
    if (part.bytes === null) {
      throw new ProtocolError("a tensor without values cannot leave the process");
    }
    if (part.byteLength <= joinedBytesMax) small.push(part);
    else {
      flush();
      fragments.push(part.bytes);
    }
  }
  flush();
  return fragments;
}

/** Closes politely; a peer that does not answer within a moment is cut off. */
function closeSoon(socket: WebSocket): void {
  socket.close();
  setTimeout(() => socket.terminate(), farewellMs).unref();
}

/** A message from the fragments in which it came, however it was cut on its way. */
function receivedMessage(fragments: readonly Buffer[]): Frame {
  const isCutEarly = (fragments[0]?.length ?? 0) < headBytesMin;
  const parts = isCutEarly ? [ownBytes(Buffer.concat(fragments))] : fragments.map(ownBytes);
  const first = parts[0] ?? new Uint8Array(0);
  try {
    return frameOfParts(parts.map((bytes) => ({ byteLength: bytes.length, bytes })));
  } catch {
    // Too short or too damaged to be a frame: the decoder refuses it with its own words.
    return { head: first, body: [] };
  }
}

/** ws may hand over a slice of what it has read; tensors need memory that is aligned and theirs alone. */
function ownBytes(data: Buffer): Uint8Array {
  const isAlone = data.byteLength === data.buffer.byteLength;
  return isAlone ? new Uint8Array(data.buffer, 0, data.byteLength) : new Uint8Array(data);
}

/** A WebSocket to an observer, or to the server that it observes, as a link for texts. */
export function observerLink(socket: WebSocket): TextLink {
  const link: TextLink = {
    send(text) {
      if (socket.readyState === socket.OPEN) socket.send(text);
    },
    close: () => closeSoon(socket),
    get pendingBytes() {
      return socket.bufferedAmount;
    },
    onText: () => {},
    onClose: () => {},
  };
  socket.on("message", (data, isBinary) => link.onText(isBinary ? "" : String(data)));
  // An error is always followed by "close", which says all that is needed.
  socket.on("error", () => {});
  socket.on("close", () => link.onClose());
  return link;
}

/** Two ends of a link within this process. */
export const localLinks = (): [Link, Link] =>
  memoryLinks(() => ({
    carry: (_bytes, arrive) => setImmediate(arrive),
    soon: (fire) => setImmediate(fire),
  }));
