/** Links over WebSockets (ws), and a pair within one process for the server's own worker. */
import type { WebSocket } from "ws";
import type { Frame, Link } from "../run/host.ts";
import type { TextLink } from "../run/observe/observer.ts";
import { joinFrame, splitFrame } from "../run/wire/frame.ts";
import { memoryLinks } from "../run/wire/memory-link.ts";

/** Time for the other side to take leave, after what was sent has gone. */
const farewellMs = 3_000;

/** An open WebSocket as a link. */
export function webSocketLink(socket: WebSocket): Link {
  const link: Link = {
    send(frame) {
      if (socket.readyState === socket.OPEN) socket.send(joinFrame(frame), { binary: true });
    },
    close: () => closeSoon(socket),
    onFrame: () => {},
    onClose: () => {},
  };
  socket.binaryType = "nodebuffer";
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (isBinary) link.onFrame(receivedFrame(data));
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

/** Closes politely; a peer that does not answer within a moment is cut off. */
function closeSoon(socket: WebSocket): void {
  socket.close();
  setTimeout(() => socket.terminate(), farewellMs).unref();
}

/** ws may hand over a slice of its pool; tensors need memory that is aligned and theirs alone. */
function receivedFrame(data: Buffer): Frame {
  const bytes =
    data.byteOffset % 8 === 0
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
  try {
    return splitFrame(bytes);
  } catch {
    // Too short to be a frame: the decoder above refuses it with its own words.
    return { head: bytes, body: [] };
  }
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
