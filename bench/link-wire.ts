/**
 * Three ways to carry bytes between two processes, behind one interface: a bare TCP
 * socket, a bare WebSocket, and the full stack (channel, frames, chunks, credit) over a
 * WebSocket. Both ends of `bench link` are built of it.
 */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { after } from "../src/nodejs/host.ts";
import { webSocketLink } from "../src/nodejs/link.ts";
import type { Host } from "../src/run/host.ts";
import { Channel } from "../src/run/wire/channel.ts";
import { decodeWorkerFrame } from "../src/run/wire/frame.ts";
import type { WorkerMessage } from "../src/run/wire/messages.ts";

/** So much may wait in a bare socket before its sender waits: as much as a channel's window. */
const waitingMax = 4 * 1024 * 1024;

export interface Wire {
  send(payload: Uint8Array): void;
  /** Resolves when there is room for more. */
  room(): Promise<void>;
  /** Told of everything that arrives; a bare socket knows no messages. */
  onPayload: (payload: Uint8Array) => void;
  close(): void;
}

export function tcpWire(socket: Socket): Wire {
  socket.setNoDelay(true);
  const wire: Wire = {
    send: (payload) => void socket.write(payload),
    async room() {
      if (socket.writableLength > waitingMax) {
        await new Promise((resolve) => socket.once("drain", resolve));
      }
    },
    onPayload: () => {},
    close: () => socket.destroy(),
  };
  socket.on("data", (data) => wire.onPayload(data as Buffer));
  socket.on("error", () => {});
  return wire;
}

export function webSocketWire(socket: WebSocket): Wire {
  let wake = (): void => {};
  const wire: Wire = {
    send: (payload) => socket.send(payload, { binary: true }, () => wake()),
    async room() {
      while (socket.bufferedAmount > waitingMax) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    onPayload: () => {},
    close: () => socket.terminate(),
  };
  socket.binaryType = "nodebuffer";
  socket.on("message", (data) => wire.onPayload(data as Buffer));
  socket.on("error", () => {});
  return wire;
}

const clock = { now: () => performance.now(), after } as Host;
const message = {
  type: "feature",
  to: "far",
  term: 1,
  round: 0,
  step: 0,
  chain: "c",
  stage: 1,
} as const;

export function channelWire(socket: WebSocket): Wire {
  const channel = new Channel<WorkerMessage>(clock, webSocketLink(socket), {
    decode: decodeWorkerFrame,
    onMessage: ({ tensors }) => {
      const data = tensors.get("x")?.data;
      if (data instanceof Uint8Array) wire.onPayload(data);
    },
    onClose: () => {},
  });
  const wire: Wire = {
    send(payload) {
      const tensor = { dtype: "uint8", shape: [payload.length], data: payload } as const;
      channel.send(message, new Map([["x", tensor]]));
    },
    async room() {
      while (channel.isFull && channel.isOpen)
        await new Promise((resolve) => setTimeout(resolve, 1));
    },
    onPayload: () => {},
    close: () => socket.terminate(),
  };
  return wire;
}

/** What one end asks of the other: to take bytes and answer, or to give them. */
export interface Order {
  readonly kind: "take" | "give";
  readonly size: number;
  readonly count: number;
  /** To take: an answer after so many messages. */
  readonly answerEvery: number;
}

const orderBytes = 128;

export const encodeOrder = (order: Order): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(order).padEnd(orderBytes));

const answer = new Uint8Array(8);

/** Sends so many messages, as fast as there is room. */
export async function give(wire: Wire, payload: Uint8Array, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await wire.room();
    wire.send(payload);
  }
}

/** The end that does as it is told, order after order. */
export function serve(wire: Wire): void {
  let order: Order | null = null;
  let got = 0;
  let answered = 0;
  wire.onPayload = (payload) => {
    if (order === null) {
      order = JSON.parse(new TextDecoder().decode(payload.subarray(0, orderBytes))) as Order;
      got = -orderBytes;
      answered = 0;
    }
    if (order.kind === "give") {
      const { size, count } = order;
      order = null;
      void give(wire, new Uint8Array(size).fill(7), count);
      return;
    }
    got += payload.length;
    const due = Math.floor(got / (order.size * order.answerEvery));
    for (; answered < due; answered++) wire.send(answer);
    if (got === order.size * order.count) order = null;
  };
}
