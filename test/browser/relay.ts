/** Passes messages on between two WebSockets that ask for the same path, and ends one with the other. */
import type { Server } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";

export function relay(server: Server): void {
  const waiting = new Map<string, WebSocket>();
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on("connection", (socket, { url = "" }) => {
    const other = waiting.get(url);
    // What the first one says waits in the network until the second one is there.
    if (other === undefined) {
      waiting.set(url, socket);
      socket.pause();
      return;
    }
    waiting.delete(url);
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      from.on("message", (data, isBinary) => to.send(data, { binary: isBinary }));
      from.on("close", () => to.close(1000, "the other side has closed"));
    }
    other.resume();
  });
}
