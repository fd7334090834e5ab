/**
 * Many devices in one process, for the coordinator's benchmark: each on a WebSocket of its own,
 * with an engine that computes nothing. They leave at random and come again. What they send and
 * hear is read off the sockets: contributions, and the round trips of heartbeats.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrayDataset, type Joined, join, SampleSource } from "edgeloom";
import { zeroEngine } from "edgeloom/sim";
import { WebSocket } from "ws";
import {
  deviceShape,
  type FleetMessage,
  type FleetOrder,
  type FleetReport,
  type FleetTask,
} from "./coordinator-fleet.ts";

const { features, classes } = deviceShape;
const sampleCount = 8;
const samples = new SampleSource(
  arrayDataset(
    Array.from({ length: features * sampleCount }, (_, i) => i % 7),
    Array.from({ length: sampleCount }, (_, i) => i % classes),
    { inputShape: [features], classes },
  ),
);
/** Connections that are being opened at a time. */
const dialling = 16;

const report: FleetReport = { rttMs: [], contributions: [], left: 0, rejoined: 0, ends: {} };
let isOver = false;
/** Nobody leaves before the run has begun: it waits for all of them. */
const begun = Promise.withResolvers<void>();

/** The header of a message, where it is short enough to be one of control. */
function messageIn(data: unknown): Record<string, unknown> | null {
  const first = Array.isArray(data) ? data[0] : data;
  if (!(first instanceof Uint8Array) || first.length < 8) return null;
  const length = new DataView(first.buffer, first.byteOffset).getUint32(0, true);
  if (length > 2000 || 4 + length > first.length) return null;
  const text = Buffer.from(first.buffer, first.byteOffset + 4, length).toString();
  return (JSON.parse(text) as { message: Record<string, unknown> }).message;
}

/** Listens in on what this process's sockets carry. */
function listenIn(): void {
  const sent = new WeakMap<WebSocket, Map<number, number>>();
  const { send, emit } = WebSocket.prototype;
  WebSocket.prototype.send = function (this: WebSocket, ...args: unknown[]) {
    const message = messageIn(args[0]);
    if (message?.type === "ping") {
      const pings = sent.get(this) ?? new Map<number, number>();
      sent.set(this, pings.set(message.sentMs as number, performance.now()));
    } else if (message?.type === "contribution") {
      const { term, round, chain } = message as { term: number; round: number; chain: string };
      report.contributions.push([term, round, chain]);
    }
    return Reflect.apply(send, this, args);
  } as typeof send;
  WebSocket.prototype.emit = function (this: WebSocket, ...args: unknown[]) {
    const message = args[0] === "message" ? messageIn(args[1]) : null;
    if (message?.type === "pong") {
      const pings = sent.get(this);
      const fromMs = pings?.get(message.sentMs as number);
      pings?.delete(message.sentMs as number);
      if (fromMs !== undefined) report.rttMs.push(performance.now() - fromMs);
    }
    return Reflect.apply(emit, this, args);
  } as typeof emit;
}

/** A device until the run ends: it joins, stays for a while, leaves, and joins again. */
async function live(task: FleetTask, index: number, onJoined: () => void): Promise<void> {
  const { name = "", token = "" } = task.devices[index] ?? {};
  const draw = chance(task.seed + index);
  for (let stay = 0; !isOver; stay++) {
    let onWelcome: () => void = () => {};
    const welcomed = new Promise<void>((resolve) => {
      onWelcome = resolve;
    });
    const joined: Joined = await join({
      url: task.url,
      token,
      name,
      duty: 1,
      memoryBytes: null,
      ceilingBytesPerMs: null,
      train: samples,
      engine: zeroEngine(),
      onEvent: ({ type }) => {
        if (type === "welcomed") onWelcome();
      },
    });
    await Promise.race([welcomed, joined.ended]);
    if (stay === 0) onJoined();
    else report.rejoined++;
    const leavesInMs = (60_000 / task.leaving) * -Math.log(1 - draw());
    const leaving = new AbortController();
    const departure = begun.promise
      .then(() => sleep(leavesInMs, undefined, { signal: leaving.signal, ref: false }))
      .then(
        () => {
          report.left++;
          joined.leave("out for a moment");
        },
        () => {},
      );
    const end = await joined.ended;
    leaving.abort();
    await departure;
    const key = `${end.reason}: ${end.text.replaceAll(name, "NAME")}`;
    report.ends[key] = (report.ends[key] ?? 0) + 1;
    if (end.reason !== "interrupted" || end.text !== "out for a moment") return;
    await sleep(1000 + 4000 * draw());
  }
}

/** A stream of numbers from 0 to 1 (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

process.once("message", async (task: FleetTask) => {
  listenIn();
  process.once("disconnect", () => process.exit());
  const say = (message: FleetMessage): void => void process.send?.(message);
  const lives: Promise<void>[] = [];
  let next = 0;
  let waiting = task.devices.length;
  await new Promise<void>((allJoined) => {
    const startNext = (): void => {
      if (next >= task.devices.length) return;
      lives.push(
        live(task, next++, () => {
          if (--waiting === 0) allJoined();
          startNext();
        }),
      );
    };
    for (let i = 0; i < dialling; i++) startNext();
  });
  say({ type: "joined" });
  process.on("message", (order: FleetOrder) => {
    // Round trips count from here on: until now everybody joined at once.
    if (order === "measure") {
      report.rttMs.length = 0;
      begun.resolve();
    } else isOver = true;
  });
  await Promise.allSettled(lives);
  say({ type: "report", report });
});
