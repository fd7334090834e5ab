import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { float32, hollow } from "../../src/base/tensor.ts";
import type { Host, Link } from "../../src/run/host.ts";
import { Channel, leaseMs } from "../../src/run/wire/channel.ts";
import {
  chunkHeadBytes,
  decodeWorkerFrame,
  encodeFrame,
  frameBytes,
} from "../../src/run/wire/frame.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";

interface Heard {
  readonly atMs: number;
  readonly message: WorkerMessage;
}

/** Two channels over a simulated link; what arrives at the far one is noted with its time. */
function channels(latencyMs = 0, timersLateMs = 0) {
  const world = new World();
  const host = {
    now: () => world.now(),
    after: (delayMs: number, fire: () => void) =>
      world.at(world.now() + delayMs + timersLateMs, fire),
  } as Host;
  const [nearLink, farLink] = simLinks(world, { latencyMs, bytesPerMs: null });
  const heard: Heard[] = [];
  const closed: string[] = [];
  const open = (link: Link, name: string) =>
    new Channel<WorkerMessage>(host, link, {
      decode: decodeWorkerFrame,
      onMessage: ({ message }) => heard.push({ atMs: world.now(), message }),
      onClose: (reason) => closed.push(`${name}: ${reason}`),
    });
  const near = open(nearLink, "near");
  const far = open(farLink, "far");
  const runUntil = (ms: number) => world.run(() => world.now() >= ms);
  return { world, near, far, nearLink, farLink, heard, closed, runUntil };
}

const ready = { type: "ready", term: 1 } as const;
const payload = new Map([["x", hollow({ dtype: "float32", shape: [25_000] })]]);
/** What a frame with it comes to on a link with a pace: four pieces, each with its head. */
const pacedBytes = frameBytes(encodeFrame(ready, payload)) + 4 * chunkHeadBytes;

describe("a channel", () => {
  it("reaches its share on average where timers fire late, and never much more", async () => {
    const { near, heard, runUntil, world } = channels(0, 1.5);
    const frame = encodeFrame(ready, payload);
    const bytesPerMs = frameBytes(frame) / 8;
    near.setRate(bytesPerMs);
    const count = 50;
    for (let i = 0; i < count; i++) world.at(20 * i, () => near.forward(frame));
    await runUntil(20 * count + 100);
    expect(heard).toHaveLength(count);
    const { bytes, ms } = near.paced;
    expect(bytes).toBe(count * pacedBytes);
    expect(bytes / ms / bytesPerMs).toBeGreaterThan(0.95);
    expect(bytes / ms / bytesPerMs).toBeLessThan(1.05);
  });

  it("W5: delivers a frame when a link of the given rate would have carried its last byte", async () => {
    const { near, heard, runUntil } = channels();
    near.setRate(1000);
    near.send(ready, payload);
    await runUntil(500);
    expect(heard).toHaveLength(1);
    expect(heard[0]?.atMs).toBeCloseTo(pacedBytes / 1000, 6);
  });

  it("keeps the pace over a queue of frames and their order", async () => {
    const { near, heard, runUntil } = channels(5);
    near.setRate(1000);
    for (let term = 1; term <= 4; term++) near.send({ type: "ready", term }, payload);
    await runUntil(1000);
    expect(heard.map(({ message }) => (message as { term: number }).term)).toEqual([1, 2, 3, 4]);
    heard.forEach(({ atMs }, i) => {
      expect(atMs).toBeCloseTo(((i + 1) * pacedBytes) / 1000 + 5, 6);
    });
  });

  it("W12: estimates the round trip from its heartbeats", async () => {
    const { near, runUntil } = channels(7);
    await runUntil(3000);
    expect(near.rttMs).toBeCloseTo(14, 6);
  });

  it("W10: stays open as long as the other side's heart beats, whatever it sends", async () => {
    const { near, closed, runUntil } = channels();
    await runUntil(5 * leaseMs);
    expect(near.isOpen).toBe(true);
    expect(closed).toEqual([]);
  });

  it("W10: closes with the reason when the other side has been silent for its lease", async () => {
    const { near, farLink, closed, runUntil } = channels();
    farLink.send = () => {};
    await runUntil(3 * leaseMs);
    expect(near.isOpen).toBe(false);
    expect(closed.some((text) => text.startsWith("near: silent for"))).toBe(true);
  });

  it("W14: sends what is queued before it closes", async () => {
    const { near, heard, closed, runUntil } = channels();
    near.setRate(1000);
    near.send(ready, payload);
    near.close("done here");
    await runUntil(500);
    expect(heard).toHaveLength(1);
    expect(closed).toContain("near: done here");
    expect(closed).toContain("far: the other side closed");
  });

  it("W13: closes on a frame that breaks the protocol and says what was wrong", async () => {
    const { near, farLink, closed, runUntil } = channels();
    farLink.send({ head: new TextEncoder().encode("not a frame at all"), body: [] });
    await runUntil(100);
    expect(near.isOpen).toBe(false);
    expect(closed.find((text) => text.startsWith("near"))).toMatch(/broke the protocol/);
  });

  it("shares no memory between the two ends", async () => {
    const { near, farLink, runUntil } = channels();
    let received: Uint8Array | null = null;
    farLink.onFrame = (frame) => {
      received = frame.body[0]?.bytes ?? received;
    };
    const value = float32([2], [1, 2]);
    near.send(ready, new Map([["x", value]]));
    (value.data as Float32Array)[0] = 99;
    await runUntil(10);
    const bytes = present<Uint8Array>(received, "the tensor's bytes");
    expect(new Float32Array(bytes.slice().buffer)[0]).toBe(1);
  });
});
