/** Links over the browser's WebSockets. */
import type { Frame, Link } from "../run/host.ts";
import { joinFrame, splitFrame } from "../run/wire/frame.ts";
import type { Socket } from "./platform.ts";

/** `WebSocket.OPEN`. */
const isOpen = 1;

/** Why a connection was closed, where the other side gave no reason (RFC 6455, section 7.4). */
const codes: Readonly<Record<number, string>> = {
  1001: "the server is going away",
  1006: "the connection was cut",
  1009: "a message was too large",
};

/** An open WebSocket as a link. */
export function webSocketLink(socket: Socket): Link {
  let isClosing = false;
  const link: Link = {
    send(frame) {
      if (isClosing || socket.readyState !== isOpen) return;
      socket.send(joinFrame(frame) as Uint8Array<ArrayBuffer>);
    },
    close() {
      isClosing = true;
      socket.close();
    },
    onFrame: () => {},
    onClose: () => {},
  };
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", ({ data }) => {
    if (isClosing) return;
    if (data instanceof ArrayBuffer) link.onFrame(receivedFrame(new Uint8Array(data)));
    else socket.close(4003, "binary frames only");
  });
  // An error says nothing and is always followed by "close".
  socket.addEventListener("close", ({ code, reason }) => {
    link.onClose(reason !== "" ? reason : (codes[code] ?? "the connection closed"));
  });
  return link;
}

function receivedFrame(bytes: Uint8Array): Frame {
  try {
    return splitFrame(bytes);
  } catch {
    // Too short to be a frame: the decoder above refuses it with its own words.
    return { head: bytes, body: [] };
  }
}
