import type { AddressInfo, Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { float32 } from "../../src/base/tensor.ts";
import { after } from "../../src/nodejs/host.ts";
import { dialOptions, linkOptions, localLinks, webSocketLink } from "../../src/nodejs/link.ts";
import type { Host, Link } from "../../src/run/host.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodeWorkerFrame } from "../../src/run/wire/frame.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { Relay } from "../../src/run/wire/relay.ts";
import { windowBytesMax } from "../../src/run/wire/sender.ts";
import { testLink } from "../contract/link.ts";

const patienceMs = 10_000;
const MiB = 1024 * 1024;
let server: WebSocketServer;

beforeAll(async () => {
  server = new WebSocketServer({ ...linkOptions, host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => server.once("listening", resolve));
});
afterAll(() => {
  for (const client of server.clients) client.terminate();
  server.close();
});

/** A client's socket and the server's. */
async function sockets(): Promise<[WebSocket, WebSocket]> {
  const { port } = server.address() as AddressInfo;
  const accepted = new Promise<WebSocket>((resolve) => server.once("connection", resolve));
  const near = new WebSocket(`ws://127.0.0.1:${port}`, dialOptions);
  await new Promise((resolve) => near.once("open", resolve));
  return [near, await accepted];
}

const moment = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(isSo: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + patienceMs;
  while (!isSo() && performance.now() < giveUpMs) await moment(2);
}

testLink({
  name: "over WebSockets, from the client",
  open: async () => {
    const [near, far] = await sockets();
    return [webSocketLink(near), webSocketLink(far)];
  },
  until,
  carriesHollow: false,
});

testLink({
  name: "over WebSockets, from the server",
  open: async () => {
    const [near, far] = await sockets();
    return [webSocketLink(far), webSocketLink(near)];
  },
  until,
  carriesHollow: false,
});

testLink({
  name: "within a process",
  open: () => Promise.resolve(localLinks()),
  until,
  carriesHollow: true,
});

const clock = { now: () => performance.now(), after } as Host;

function channelOn(link: Link, onMessage: (message: WorkerMessage) => void = () => {}) {
  return new Channel<WorkerMessage>(clock, link, {
    decode: decodeWorkerFrame,
    onMessage: ({ message }) => onMessage(message),
    onClose: () => {},
  });
}

describe("a channel over WebSockets", () => {
  test("W6: holds little in the socket of a receiver that never reads", async () => {
    const [near, far] = await sockets();
    // Nothing takes messages from this socket: what the system has no room for stays with the sender.
    (far as unknown as { _socket: Socket })._socket.pause();
    const channel = channelOn(webSocketLink(near));
    const tensor = new Map([["x", float32([2 * MiB], new Float32Array(2 * MiB))]]);
    let most = 0;
    for (let term = 0; term < 64; term++) {
      channel.send({ type: "ready", term }, tensor);
      await moment(10);
      most = Math.max(most, near.bufferedAmount);
    }
    expect(channel.bytesSent).toBeLessThanOrEqual(windowBytesMax + 10_000);
    expect(most).toBeLessThanOrEqual(windowBytesMax + 10_000);
    expect(channel.isFull).toBe(true);
    near.terminate();
    far.terminate();
  });

  test("W8: a slow receiver makes the sender wait, through a relay", async () => {
    const [[a, fromA], [toB, b]] = [await sockets(), await sockets()];
    const out = channelOn(webSocketLink(toB));
    const relay = new Relay<WorkerMessage>();
    let relayed = 0;
    const inward: Channel<WorkerMessage> = new Channel<WorkerMessage>(clock, webSocketLink(fromA), {
      decode: decodeWorkerFrame,
      onMessage: (_decoded, frame) => {
        relayed++;
        relay.pass(frame, inward, out);
      },
      onClose: () => {},
    });
    const heard: number[] = [];
    const receiving = (b as unknown as { _socket: Socket })._socket;
    channelOn(webSocketLink(b), (message) =>
      heard.push(message.type === "ready" ? message.term : -1),
    );
    receiving.pause();
    const channel = channelOn(webSocketLink(a));
    const tensor = new Map([["x", float32([MiB / 2], new Float32Array(MiB / 2))]]);
    const count = 60;
    for (let term = 0; term < count; term++) channel.send({ type: "ready", term }, tensor);
    let most = 0;
    for (let i = 0; i < 100; i++) {
      await moment(10);
      most = Math.max(most, out.queuedBytes + toB.bufferedAmount);
    }
    // A window and two frames in the relay, a window in the socket.
    expect(most).toBeLessThanOrEqual(2 * windowBytesMax + 4 * MiB + 10_000);
    expect(relayed).toBeLessThan(count / 2);
    expect(channel.isFull).toBe(true);
    receiving.resume();
    await until(() => heard.length === count);
    expect(heard).toEqual(Array.from({ length: count }, (_, i) => i));
    for (const socket of [a, fromA, toB, b]) socket.terminate();
  });
});
