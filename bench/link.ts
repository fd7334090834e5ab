/**
 * The full link stack (tensors, frames, chunks, credit, heartbeats over a WebSocket) against a
 * bare WebSocket and a bare TCP socket, between two processes on the loopback device, in turns.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { type ClientOptions, WebSocket } from "ws";
import { dialOptions } from "../src/nodejs/link.ts";
import { type Bench, type Goal, optionsOf, type Row, tell } from "./bench.ts";
import { channelWire, encodeOrder, give, tcpWire, type Wire, webSocketWire } from "./link-wire.ts";
import { median } from "./statistics.ts";

const KiB = 1024;
/** Sizes of tensors, how many are sent at a time, and how many go to and fro. */
const sizes = [
  { name: "4 KiB", size: 4 * KiB, count: 4000, trips: 300 },
  { name: "256 KiB", size: 256 * KiB, count: 400, trips: 60 },
  { name: "4 MiB", size: 4 * KiB * KiB, count: 32, trips: 12 },
  { name: "64 MiB", size: 64 * KiB * KiB, count: 3, trips: 3 },
] as const;
const turns = 5;
const warmUps = 1;
/** Share of a bare WebSocket's throughput that the full stack is to reach. */
const shareMin = 0.8;

const stacks = ["tcp", "ws", "full"] as const;
type Stack = (typeof stacks)[number];
const ways = ["to the server", "from the server"] as const;

export const link: Bench = {
  summary: "MB/s and round trip of links against bare TCP and bare WebSockets",
  async run(args) {
    optionsOf(args, {});
    const script = path.join(import.meta.dirname, "link-child.ts");
    const child = spawn(process.execPath, ["--no-warnings", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      const [line] = await once(child.stdout, "data");
      return await compare(await openWires(JSON.parse(String(line)) as number[]));
    } finally {
      child.stdin.end();
    }
  },
};

async function openWires([tcp, ws, full]: readonly number[]): Promise<Record<Stack, Wire>> {
  const socket = connect(tcp ?? 0, "127.0.0.1");
  await once(socket, "connect");
  const dial = async (port: number | undefined, options: ClientOptions): Promise<WebSocket> => {
    const dialled = new WebSocket(`ws://127.0.0.1:${port}`, options);
    await once(dialled, "open");
    return dialled;
  };
  return {
    tcp: tcpWire(socket),
    ws: webSocketWire(await dial(ws, { perMessageDeflate: false, maxPayload: 2 ** 30 })),
    full: channelWire(await dial(full, dialOptions)),
  };
}

async function compare(wires: Record<Stack, Wire>): Promise<Awaited<ReturnType<Bench["run"]>>> {
  const rows: Row[] = [];
  const goals: Goal[] = [];
  for (const { name, size, count, trips } of sizes) {
    for (const way of ways) {
      tell(`${name}, ${way} ...`);
      const rates = await inTurns(wires, (wire) => rate(wire, way, size, count));
      rows.push(rowOf(name, `MB/s ${way}`, rates, median));
      // Each turn is compared with itself: what else the machine does hits both.
      const value = median(rates.full.map((own, i) => own / (rates.ws[i] ?? Number.NaN)));
      goals.push({
        name: `${name}, ${way}: the full stack's throughput over a bare WebSocket's`,
        value,
        goal: shareMin,
        unit: "x, at least",
        met: value >= shareMin,
      });
    }
    const times = await inTurns(wires, (wire) => roundTripMs(wire, size, trips));
    rows.push(rowOf(name, "ms to the server and an answer", times, median));
  }
  for (const wire of Object.values(wires)) wire.close();
  const notes = [
    `medians of ${turns} turns; each turn measures all three, one after the other`,
    "to the server, the bare WebSocket masks every byte, as is its default; ours sends a mask of zero",
  ];
  return { rows, goals, versions: { "Node.js": process.versions.node }, seed: 1, notes };
}

const rowOf = (
  tensor: string,
  figure: string,
  values: Record<Stack, readonly number[]>,
  of: (values: readonly number[]) => number,
): Row => ({
  tensor,
  figure,
  "bare TCP": of(values.tcp),
  "bare WebSocket": of(values.ws),
  "full stack": of(values.full),
});

/** Measures every stack in each turn, after a few turns that do not count. */
async function inTurns(
  wires: Record<Stack, Wire>,
  measure: (wire: Wire) => Promise<number>,
): Promise<Record<Stack, number[]>> {
  const values: Record<Stack, number[]> = { tcp: [], ws: [], full: [] };
  for (let turn = -warmUps; turn < turns; turn++) {
    for (const stack of stacks) {
      const value = await measure(wires[stack]);
      if (turn >= 0) values[stack].push(value);
    }
  }
  return values;
}

/** MB/s until the last byte is there. */
async function rate(
  wire: Wire,
  way: (typeof ways)[number],
  size: number,
  count: number,
): Promise<number> {
  const payload = new Uint8Array(size).fill(7);
  const startedMs = performance.now();
  if (way === "to the server") {
    wire.send(encodeOrder({ kind: "take", size, count, answerEvery: count }));
    const answered = received(wire, 1);
    await give(wire, payload, count);
    await answered;
  } else {
    const all = received(wire, size * count);
    wire.send(encodeOrder({ kind: "give", size, count, answerEvery: 0 }));
    await all;
  }
  return (size * count) / 1e3 / (performance.now() - startedMs);
}

/** Milliseconds from sending a message to the answer that it has come. */
async function roundTripMs(wire: Wire, size: number, trips: number): Promise<number> {
  const payload = new Uint8Array(size).fill(7);
  wire.send(encodeOrder({ kind: "take", size, count: trips, answerEvery: 1 }));
  const times: number[] = [];
  for (let i = 0; i < trips; i++) {
    const startedMs = performance.now();
    const answered = received(wire, 1);
    wire.send(payload);
    await answered;
    times.push(performance.now() - startedMs);
  }
  return median(times);
}

/** Resolves when at least so many bytes have arrived. */
function received(wire: Wire, bytes: number): Promise<void> {
  let got = 0;
  return new Promise((resolve) => {
    wire.onPayload = (payload) => {
      got += payload.length;
      if (got >= bytes) resolve();
    };
  });
}
