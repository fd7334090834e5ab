import { describe, expect, it } from "vitest";
import { random } from "../../src/base/random.ts";
import { type DType, hollow, type Tensor, tensor } from "../../src/base/tensor.ts";
import { type Channel, leaseMs } from "../../src/run/wire/channel.ts";
import { chunkBytesMax, chunkBytesMin } from "../../src/run/wire/chunks.ts";
import {
  chunkMark,
  decodeWorkerFrame,
  encodeFrame,
  frameBytes,
  joinFrame,
} from "../../src/run/wire/frame.ts";
import { type Acknowledgement, nothingArrived } from "../../src/run/wire/intake.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { Relay } from "../../src/run/wire/relay.ts";
import { windowBytesMax } from "../../src/run/wire/sender.ts";
import { accessOf } from "../../src/sim/fleet.ts";
import { simLinks } from "../../src/sim/link.ts";
import { Network } from "../../src/sim/network.ts";
import { World } from "../../src/sim/world.ts";
import { channelPair, openChannel, timeOf } from "./wire.ts";

const ready = (term: number) => ({ type: "ready", term }) as const;
const bulk = (bytes: number) => new Map([["x", hollow({ dtype: "uint8", shape: [bytes] })]]);
const terms = (heard: readonly { message: WorkerMessage }[]) =>
  heard.map(({ message }) => (message.type === "ready" ? message.term : message.type));
const MiB = 1024 * 1024;

/** Answers heartbeats and never acknowledges anything: who looks alive and takes nothing in. */
const withoutAcks = (message: WorkerMessage): boolean => message.type === "ack";

describe("chunks", () => {
  it("W3: a large frame travels in pieces of at most 1 MiB and arrives bit for bit", async () => {
    const { near, far, sent, runUntil } = channelPair();
    const draw = random(5);
    const tensors = new Map<string, Tensor>();
    for (const [name, dtype, length] of [
      ["a", "float32", 700_001],
      ["empty", "int64", 0],
      ["b", "uint8", 3_000_003],
      ["c", "int64", 5],
    ] as [string, DType, number][]) {
      const width = { float32: 4, uint8: 1, int64: 8 }[dtype as "float32"] ?? 1;
      const bytes = Uint8Array.from({ length: length * width }, () => draw.below(256));
      const type = { float32: Float32Array, uint8: Uint8Array, int64: BigInt64Array };
      tensors.set(name, tensor(dtype, [length], new type[dtype as "float32"](bytes.buffer)));
    }
    const frame = encodeFrame(ready(1), tensors);
    near.channel.setRate(1e6);
    near.channel.forward(frame);
    await runUntil(1000);
    const [heard] = far.heard;
    expect(heard?.message).toEqual(ready(1));
    const received = decodeWorkerFrame(heard?.frame ?? frame);
    expect([...received.tensors]).toEqual([...tensors]);
    expect(Buffer.compare(joinFrame(heard?.frame ?? frame), joinFrame(frame))).toBe(0);
    const pieces = sent.filter(({ head }) => isChunk(head));
    expect(pieces.length).toBeGreaterThan(1);
    expect(Math.max(...pieces.map(({ bytes }) => bytes))).toBeLessThanOrEqual(chunkBytesMax + 8);
  });

  it("W3: their size follows the rate: 60 ms of the link, from 16 KiB to 1 MiB", async () => {
    for (const [bytesPerMs, size] of [
      [10, chunkBytesMin],
      [1500, 90_000],
      [1e5, chunkBytesMax],
    ] as const) {
      const { near, sent, runUntil } = channelPair();
      near.channel.setRate(bytesPerMs);
      near.channel.send(ready(1), bulk(9 * MiB));
      await runUntil(3 * (size / bytesPerMs) + 1);
      expect(sent.find(({ head }) => isChunk(head))?.bytes).toBe(size + 8);
    }
  });

  it("W5: the last byte leaves when a link of the given rate would have carried it", async () => {
    const { near, far, sent, runUntil } = channelPair({ latencyMs: 20 });
    near.channel.setRate(1000);
    near.channel.send(ready(1), bulk(3_000_000));
    near.channel.send(ready(2));
    await runUntil(5000);
    const bytes = sent
      .filter(({ head }) => isChunk(head))
      .reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytes).toBeLessThan(3_000_000 * 1.001);
    expect(far.heard[0]?.atMs).toBeCloseTo(bytes / 1000 + 20, 6);
    expect(near.channel.paced.ms / (near.channel.paced.bytes / 1000)).toBeCloseTo(1, 6);
  });

  it("W5: a link that is as slow as the pace carries a frame while it leaves, and not once more", async () => {
    for (const bytes of [70_000, 400_000]) {
      const rate = 1000;
      const { world, near, far, runUntil } = channelPair({ latencyMs: 20, bytesPerMs: rate });
      near.channel.setRate(rate);
      world.at(2000, () => near.channel.send(ready(1), bulk(bytes)));
      await runUntil(6000);
      const ms = (far.heard[0]?.atMs ?? 0) - 2000 - 20;
      expect(ms).toBeGreaterThanOrEqual(bytes / rate);
      expect(ms).toBeLessThan((1.3 * bytes) / rate);
    }
  });

  it("W4: heartbeats and acknowledgements pass between them, everything else keeps its order", async () => {
    const { near, far, runUntil } = channelPair({ latencyMs: 5 });
    near.channel.setRate(100);
    near.channel.send(ready(1), bulk(2 * MiB));
    near.channel.send(ready(2));
    await runUntil(10_000);
    expect(far.heard).toEqual([]);
    expect(near.channel.smoothedRttMs).toBeCloseTo(10, 6);
    expect(far.channel.smoothedRttMs).toBeCloseTo(10, 6);
    await runUntil(30_000);
    expect(terms(far.heard)).toEqual([1, 2]);
  });

  it("W15: a frame in the background gives way to what is sent after it", async () => {
    const { near, far, runUntil } = channelPair({ latencyMs: 5 });
    near.channel.setRate(100);
    const inBackground = { isBackground: true };
    near.channel.forward(encodeFrame(ready(1), bulk(2 * MiB)), inBackground);
    near.channel.forward(encodeFrame(ready(2), bulk(MiB)), inBackground);
    near.channel.send(ready(3), bulk(MiB));
    await runUntil(12_000);
    near.channel.send(ready(4));
    await runUntil(15_000);
    expect(terms(far.heard)).toEqual([3, 4]);
    await runUntil(45_000);
    expect(terms(far.heard)).toEqual([3, 4, 1, 2]);
    expect(far.closed).toEqual([]);
  });

  it.each<[string, number, (near: Channel<WorkerMessage>) => void]>([
    ["for as long as it may", 60_000, () => {}],
    [
      "until another one waits behind it",
      10_000,
      (near) => near.forward(encodeFrame(ready(2), bulk(MiB)), { isBackground: true }),
    ],
    ["until the link is to close", 10_000, (near) => near.close("it is over")],
  ])("W15: a frame takes its time %s", async (_, byMs, happens) => {
    const { near, far, runUntil } = channelPair({ latencyMs: 5, bytesPerMs: 4000 });
    const overMs = { isBackground: true, overMs: 60_000 };
    near.channel.forward(encodeFrame(ready(1), bulk(4 * MiB)), overMs);
    await runUntil(5000);
    // Nothing else is held up.
    near.channel.send(ready(3));
    await runUntil(6500);
    expect(terms(far.heard)).toEqual([3]);
    happens(near.channel);
    await runUntil(byMs);
    expect(terms(far.heard).slice(0, 2)).toEqual([3, 1]);
    expect(far.heard[1]?.atMs).toBeGreaterThan(byMs / 2);
  });

  it("W10: a link on which a frame takes longer than the lease is not a dead one", async () => {
    // 4 KB/s: a frame of 200 kB takes 50 s, and the heartbeats of its sender wait behind it.
    const { near, far, runUntil } = channelPair({ latencyMs: 100, bytesPerMs: 4 });
    near.channel.send(ready(1), bulk(200_000));
    far.channel.send(ready(3), bulk(200_000));
    await runUntil(8 * leaseMs);
    expect([...near.closed, ...far.closed]).toEqual([]);
    expect(terms(far.heard)).toEqual([1]);
    expect(terms(near.heard)).toEqual([3]);
    expect(far.heard[0]?.atMs).toBeGreaterThan(leaseMs);
  });

  it.each<[string, (chunk: (size: number, rest: number) => void) => void, RegExp]>([
    ["smaller than allowed", (chunk) => chunk(8, 100_000), /a chunk of 8 bytes/],
    ["without bytes", (chunk) => chunk(0, 0), /a chunk of 0 bytes/],
    ["larger than allowed", (chunk) => chunk(chunkBytesMax + 8, 8), /a chunk of 1048584 bytes/],
    ["of a frame that has not begun", (chunk) => chunk(100, 0), /ends no frame/],
    ["of a frame too large", (chunk) => chunk(chunkBytesMin, 2 ** 32 - 1), /at most 1073741824/],
    [
      "that do not add up",
      (chunk) => {
        chunk(chunkBytesMin, 100);
        chunk(50, 0);
      },
      /a chunk of 50 bytes before 0, but 100 missing/,
    ],
  ])("W3: chunks %s close the channel", async (_what, script, reason) => {
    const { far, nearLink, runUntil } = channelPair();
    script((size, rest) => {
      const head = new Uint8Array(8);
      new DataView(head.buffer).setUint32(0, chunkMark, true);
      new DataView(head.buffer).setUint32(4, rest, true);
      nearLink.send({ head, body: [{ byteLength: size, bytes: null }] });
    });
    await runUntil(10);
    expect(far.closed).toEqual([expect.stringMatching(reason)]);
  });

  it("W4: another message among the chunks of a frame closes the channel", async () => {
    const { near, far, nearLink, runUntil } = channelPair();
    near.channel.setRate(100);
    near.channel.send(ready(1), bulk(MiB));
    await runUntil(1000);
    nearLink.send(encodeFrame(ready(2)));
    await runUntil(1500);
    expect(far.closed).toEqual([expect.stringMatching(/"ready" among the chunks/)]);
  });

  it("W13: a frame above the receiver's limit closes the channel, whole or in chunks", async () => {
    for (const bytes of [80_000, 4 * MiB]) {
      const { near, far, runUntil } = channelPair();
      far.channel.limitFrames(64 * 1024);
      near.channel.setRate(1e6);
      near.channel.send(ready(1), bulk(bytes));
      await runUntil(100);
      expect(far.heard).toEqual([]);
      expect(far.closed).toEqual([expect.stringMatching(/at most 65536 allowed/)]);
    }
  });
});

const isChunk = (head: Uint8Array): boolean =>
  new DataView(head.buffer, head.byteOffset).getUint32(0, true) === chunkMark;

describe("back-pressure", () => {
  it("W6: never more than a window is under way to who consumes nothing", async () => {
    const { near, farLink, sent, runUntil } = channelPair();
    const { send } = farLink;
    farLink.send = (frame) => {
      if (!withoutAcks(decodeWorkerFrame(frame).message)) send.call(farLink, frame);
    };
    near.channel.setRate(1e6);
    for (let term = 0; term < 40; term++) near.channel.send(ready(term), bulk(4 * MiB));
    await runUntil(5 * leaseMs);
    // Its heart beats, so it is not taken for dead; it is sent nothing more either.
    expect(near.closed).toEqual([]);
    const bytes = sent
      .filter(({ head }) => isChunk(head))
      .reduce((sum, { bytes }) => sum + bytes, 0);
    expect(bytes).toBeLessThanOrEqual(windowBytesMax);
    expect(near.channel.isFull).toBe(true);
  });

  it("W7: what is consumed is acknowledged, so everything arrives in order", async () => {
    const { near, far, runUntil } = channelPair({ latencyMs: 3 });
    for (let term = 0; term < 40; term++) near.channel.send(ready(term), bulk(term * 50_000));
    await runUntil(10_000);
    expect(terms(far.heard)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(near.channel.queuedBytes).toBe(0);
    expect(near.channel.isFull).toBe(false);
  });

  it.each<[string, Partial<Acknowledgement>]>([
    ["more than was sent", { received: 1e9 }],
    ["more consumed than received", { consumed: 8 }],
    ["a first message after the last one", { first: { received: 8, arrivedMs: 0 } }],
    ["arrivals against their order", { first: { received: 0, arrivedMs: 1 } }],
  ])("W7: who acknowledges %s breaks the protocol", async (_what, change) => {
    const { near, farLink, runUntil } = channelPair();
    farLink.send(encodeFrame({ type: "ack", ...nothingArrived, ...change }));
    await runUntil(1);
    expect(near.closed).toEqual([expect.stringMatching(/broke the protocol: acknowledged/)]);
  });

  it("W7: who takes back what was acknowledged, counts or times, breaks the protocol", async () => {
    for (const change of [
      { received: 100, consumed: 0, arrivedMs: 5 },
      { received: 200, consumed: 0, arrivedMs: 4 },
    ]) {
      const { near, farLink, runUntil } = channelPair();
      const first = { received: change.received, arrivedMs: change.arrivedMs };
      farLink.send = () => {};
      near.channel.send(ready(1), bulk(1000));
      const send = Object.getPrototypeOf(farLink).send as typeof farLink.send;
      const say = (ack: Acknowledgement) =>
        send.call(farLink, encodeFrame({ type: "ack", ...ack }));
      say({ received: 150, consumed: 0, arrivedMs: 5, first: { received: 150, arrivedMs: 5 } });
      await runUntil(500);
      expect(near.closed).toEqual([]);
      say({ ...change, first });
      await runUntil(1000);
      expect(near.closed).toEqual([expect.stringMatching(/broke the protocol: acknowledged/)]);
    }
  });

  it("W9: who looks alive and consumes nothing is let go where nothing may be held back", async () => {
    const { near, farLink, runUntil } = channelPair({}, { near: { consumesWithinMs: 30_000 } });
    const { send } = farLink;
    farLink.send = (frame) => {
      if (!withoutAcks(decodeWorkerFrame(frame).message)) send.call(farLink, frame);
    };
    await runUntil(60_000);
    expect(near.closed).toEqual([]);
    near.channel.send(ready(1));
    await runUntil(80_000);
    expect(near.closed).toEqual([]);
    await runUntil(100_000);
    expect(near.closed).toEqual([expect.stringMatching(/took nothing in for 3\d s/)]);
  });

  it("W14: closing waits for what is queued, but no longer than a lease for who takes nothing", async () => {
    const { near, far, farLink, runUntil } = channelPair();
    farLink.send = () => {};
    for (let term = 0; term < 9; term++) near.channel.send(ready(term), bulk(MiB));
    near.channel.close("enough");
    await runUntil(leaseMs / 2);
    expect(near.closed).toEqual([]);
    await runUntil(2 * leaseMs);
    expect(near.closed).toEqual(["enough"]);
    expect(far.closed).toEqual(["the other side closed"]);
  });
});

/** a -> relay -> b in one world; b takes nothing in until it is told to. */
function relayed() {
  const world = new World();
  const host = timeOf(world);
  const relay = new Relay<WorkerMessage>();
  const [aLink, fromA] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
  const [toB, bLink] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
  const a = openChannel(host, aLink);
  const out = openChannel(host, toB);
  const passed: number[] = [];
  const inward = openChannel(host, fromA, {
    onMessage: (_decoded, frame) => {
      passed.push(frameBytes(frame));
      relay.pass(frame, inward.channel, out.channel);
    },
  });
  let isTaking = false;
  const late: (() => void)[] = [];
  const { send } = bLink;
  bLink.send = (frame) => {
    const isAck = withoutAcks(decodeWorkerFrame(frame).message);
    if (isTaking || !isAck) send.call(bLink, frame);
    else late.push(() => send.call(bLink, frame));
  };
  const b = openChannel(host, bLink);
  const take = (): void => {
    isTaking = true;
    for (const fire of late) fire();
  };
  return {
    world,
    a,
    b,
    out,
    inward,
    passed,
    take,
    runUntil: (ms: number) => world.run(() => world.now() >= ms),
  };
}

describe("a relay", () => {
  it.each([
    ["small", 40_000],
    ["large", 12 * MiB],
  ])(
    "W8: holds a window and two frames at most, whatever its target takes in: %s frames",
    async (_size, bytes) => {
      const { a, b, out, passed, take, runUntil } = relayed();
      const count = Math.ceil((100 * MiB) / bytes);
      for (let term = 0; term < count; term++) a.channel.send(ready(term), bulk(bytes));
      let most = 0;
      for (let ms = 100; ms <= 60_000; ms += 100) {
        await runUntil(ms);
        most = Math.max(most, out.channel.queuedBytes);
      }
      // The target holds one window; the relay waits with no more than its bound.
      expect(most).toBeLessThanOrEqual(windowBytesMax + 2 * bytes + 100);
      expect(passed.length).toBeLessThan(count);
      // So the sender waits, and everybody is alive.
      expect(a.channel.isFull).toBe(true);
      expect([...a.closed, ...b.closed]).toEqual([]);
      take();
      await runUntil(120_000);
      expect(terms(b.heard)).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(a.channel.queuedBytes + out.channel.queuedBytes).toBe(0);
    },
  );

  it("W8: a target that takes little holds up nothing that goes to others", async () => {
    const world = new World();
    const host = timeOf(world);
    const [aLink, fromA] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    const a = openChannel(host, aLink);
    // Each alone is as large as the window, and each target gets it at its own pace.
    const bytes = windowBytesMax;
    const targets = [100, 1000, 1000, 1000].map((bytesPerMs) => {
      const [near, far] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
      const { channel } = openChannel(host, near);
      channel.setRate(bytesPerMs);
      return { channel, heard: openChannel(host, far).heard, bytesPerMs };
    });
    const relay = new Relay<WorkerMessage>();
    const inward = openChannel(host, fromA, {
      onMessage: ({ message }, frame) => {
        const to = message.type === "ready" ? targets[message.term] : undefined;
        if (to !== undefined) relay.pass(frame, inward.channel, to.channel);
      },
    });
    for (const term of targets.keys()) a.channel.send(ready(term), bulk(bytes));
    await world.run(() => world.now() >= 60_000);
    for (const { heard, bytesPerMs } of targets) {
      expect((heard[0]?.atMs ?? Infinity) / (bytes / bytesPerMs)).toBeCloseTo(1, 1);
    }
  });

  it("W8: gives the credit back when its target is gone", async () => {
    const { a, out, passed, runUntil } = relayed();
    for (let term = 0; term < 30; term++) a.channel.send(ready(term), bulk(MiB));
    await runUntil(5_000);
    expect(passed.length).toBeLessThan(30);
    out.channel.close("gone");
    await runUntil(60_000);
    expect(passed).toHaveLength(30);
    expect(a.channel.queuedBytes).toBe(0);
  });
});

describe("estimates", () => {
  it("W12: tell round trip and rate of a link from its own traffic", async () => {
    const { near, runUntil } = channelPair({ latencyMs: 30, bytesPerMs: 700 });
    expect(near.channel.achievedBytesPerMs).toBe(null);
    await runUntil(1000);
    near.channel.send(ready(1), bulk(3 * MiB));
    await runUntil(20_000);
    expect(near.channel.rttMs).toBeCloseTo(60, 0);
    expect((near.channel.achievedBytesPerMs ?? 0) / 700).toBeCloseTo(1, 1);
  });

  it("W12: a sender that pauses does not make its link look slow", async () => {
    const { world, near, runUntil } = channelPair({ latencyMs: 30, bytesPerMs: 700 });
    near.channel.send(ready(1), bulk(3 * MiB));
    for (let i = 1; i < 50; i++) {
      world.at(20_000 + 500 * i, () => near.channel.send(ready(1), bulk(20_000)));
    }
    await runUntil(60_000);
    expect((near.channel.achievedBytesPerMs ?? 0) / 700).toBeCloseTo(1, 1);
  });

  it("W12: frames that a link carries in one chunk tell its rate as well, and soon that it has changed", async () => {
    // 200 ms of the link are more than a frame, and there are pauses between frames.
    const world = new World();
    const network = new Network(world, 0);
    const wire = { upBytesPerMs: 1000, downBytesPerMs: 1000, jitterMs: 0, loss: 0, cell: null };
    const access = accessOf({ name: "near", latencyMs: 10, wire }, new Map());
    const ends = network.connect(access, accessOf({ name: "far", latencyMs: 0 }, new Map()));
    const near = openChannel(timeOf(world), ends.near);
    openChannel(timeOf(world), ends.far);
    const runUntil = (ms: number) => world.run(() => world.now() >= ms);
    for (let i = 0; i < 40; i++) {
      world.at(500 * i, () => near.channel.send(ready(1), bulk(100_000)));
    }
    await runUntil(9_900);
    expect((near.channel.achievedBytesPerMs ?? 0) / 1000).toBeCloseTo(1, 1);
    network.setRate(access.line.up, 400);
    await runUntil(13_000);
    expect((near.channel.achievedBytesPerMs ?? 0) / 400).toBeCloseTo(1, 1);
  });

  it("W12: a share of the bandwidth is achieved as such", async () => {
    const { near, runUntil } = channelPair({ latencyMs: 10 });
    near.channel.setRate(300);
    near.channel.send(ready(1), bulk(3 * MiB));
    await runUntil(20_000);
    expect((near.channel.achievedBytesPerMs ?? 0) / 300).toBeCloseTo(1, 1);
  });

  it("W11: pings beyond reason break the protocol", async () => {
    const { near, farLink, runUntil } = channelPair();
    await runUntil(5_000);
    for (let sentMs = 0; sentMs < 1000; sentMs++)
      farLink.send(encodeFrame({ type: "ping", sentMs }));
    await runUntil(7_000);
    expect(near.closed).toEqual([expect.stringMatching(/too many pings/)]);
  });
});
