/**
 * W12 under load: how well a sender knows the rate of a link that changes, while data go both ways
 * and acknowledgements wait behind them. Rates and their pace of change are those of a
 * walk past access points (`bench/pipeline-mobility.yaml`), frames those of a pipeline's borders.
 */
import { describe, expect, it } from "vitest";
import { type Random, random } from "../../src/base/random.ts";
import { hollow } from "../../src/base/tensor.ts";
import type { Channel } from "../../src/run/wire/channel.ts";
import { encodeFrame } from "../../src/run/wire/frame.ts";
import type { WorkerMessage } from "../../src/run/wire/messages.ts";
import { sendPayload } from "../../src/run/wire/payload.ts";
import { accessOf } from "../../src/sim/fleet.ts";
import { Network } from "../../src/sim/network.ts";
import { World } from "../../src/sim/world.ts";
import { channelPair, openChannel, timeOf } from "./wire.ts";

/** Rates of 802.11n that TCP gets one way, in Mbit/s. */
const radioMbit = [3.9, 7.8, 11.7, 15.6, 23.4, 31.2, 35.1, 39];
const bytesPerMsOf = (mbit: number): number => (mbit * 1e6) / 8 / 1000;
const durationMs = 100_000;
/** A walk changes the rate so often, on the average. */
const changeMs = 10_000;
const sampledMs = 100;

interface Traffic {
  /** Share of what the link carries at the moment. */
  readonly load: number;
  readonly frameBytes: number;
  readonly jitterMs?: number;
}

/** Sends frames one after the other, so that they take up a share of the link as it is at the time. */
function offer(
  world: World,
  channel: Channel<WorkerMessage>,
  { load, frameBytes }: Traffic,
  { rate, draw }: { readonly rate: () => number; readonly draw: Random },
): void {
  const next = (): void => {
    const bytes = Math.round(frameBytes * (0.5 + draw.uniform()));
    // At full load a link has as much to do as a window of batches; more would only wait longer.
    if (channel.queuedBytes < frameBytes) {
      const x = hollow({ dtype: "uint8", shape: [bytes] });
      channel.forward(encodeFrame({ type: "ready", term: 1 }, new Map([["x", x]])));
    }
    world.at(world.now() + bytes / (load * rate()), next);
  };
  next();
}

/** Shares of the time in which each end is right within a tenth about its own direction. */
async function accuracy(seed: number, traffic: Traffic): Promise<number[]> {
  const world = new World();
  const network = new Network(world, seed);
  const draw = random(seed);
  const { jitterMs = 0 } = traffic;
  const wire = { upBytesPerMs: 1000, downBytesPerMs: 1000, jitterMs, loss: 0, cell: null };
  const access = accessOf({ name: "phone", latencyMs: 23, wire }, new Map());
  const ends = network.connect(access, accessOf({ name: "server", latencyMs: 0.5 }, new Map()));
  const [near, far] = [ends.near, ends.far].map((link) => openChannel(timeOf(world), link).channel);
  const { line } = access;
  const change = (): void => {
    const rate = bytesPerMsOf(radioMbit[draw.below(radioMbit.length)] as number);
    for (const pipe of [line.up, line.down]) network.setRate(pipe, rate);
    world.at(world.now() + 2 * changeMs * draw.uniform(), change);
  };
  change();
  const ways = [
    { channel: near as Channel<WorkerMessage>, pipe: line.up, right: 0 },
    { channel: far as Channel<WorkerMessage>, pipe: line.down, right: 0 },
  ];
  for (const { channel, pipe } of ways) {
    offer(world, channel, traffic, { rate: () => pipe.bytesPerMs, draw });
  }
  let samples = 0;
  for (let ms = 10_000; ms <= durationMs; ms += sampledMs) {
    await world.run(() => world.now() >= ms);
    samples++;
    for (const way of ways) {
      const told = way.channel.achievedBytesPerMs ?? 0;
      if (Math.abs(told / way.pipe.bytesPerMs - 1) <= 0.1) way.right++;
    }
  }
  return ways.map(({ right }) => right / samples);
}

it("W7: a payload tells the rate of its link, though little before it has not been acknowledged", async () => {
  const { world, near, far } = channelPair({ latencyMs: 5, bytesPerMs: 5000 });
  await world.run(() => world.now() >= 3_400);
  const before = far.heard.length;
  near.channel.send({ type: "ready", term: 1 });
  await world.run(() => far.heard.length > before && world.now() >= 3_600);
  const told: (number | null)[] = [];
  sendPayload(near.channel, { bytes: 32 * 1024, isHollow: true }, ({ bytesPerMs }) => {
    told.push(bytesPerMs);
  });
  await world.run(() => told.length > 0);
  expect(told[0]).toBeCloseTo(5000, -1);
});

it("W6: a link that breaks down from a hundred megabits to less than one stays open", async () => {
  const world = new World();
  const network = new Network(world, 1);
  const rate = bytesPerMsOf(100);
  const wire = { upBytesPerMs: rate, downBytesPerMs: rate, jitterMs: 0, loss: 0, cell: null };
  const access = accessOf({ name: "phone", latencyMs: 10, wire }, new Map());
  const ends = network.connect(access, accessOf({ name: "server", latencyMs: 0 }, new Map()));
  const opened = [ends.near, ends.far].map((link) => openChannel(timeOf(world), link));
  const traffic = { load: 1, frameBytes: 4_000_000 };
  for (const { channel } of opened) {
    const mine = channel as Channel<WorkerMessage>;
    offer(world, mine, traffic, { rate: () => access.line.up.bytesPerMs, draw: random(2) });
  }
  await world.run(() => world.now() >= 5_000);
  for (const pipe of [access.line.up, access.line.down]) network.setRate(pipe, bytesPerMsOf(0.7));
  const received = opened.map(({ channel }) => channel.bytesReceived);
  await world.run(() => world.now() >= 90_000);
  for (const [i, { channel }] of opened.entries()) {
    expect(channel.isOpen).toBe(true);
    expect(channel.bytesReceived - (received[i] ?? 0)).toBeGreaterThan(0.9 * 85_000 * 87.5);
  }
});

describe("W12: the rate of a link with traffic both ways", () => {
  it.each<Traffic & { readonly atLeast: number }>([
    { load: 0.8, frameBytes: 40_000, atLeast: 0.9 },
    { load: 0.8, frameBytes: 200_000, atLeast: 0.9 },
    { load: 0.9, frameBytes: 200_000, jitterMs: 5, atLeast: 0.9 },
    { load: 1, frameBytes: 200_000, atLeast: 0.9 },
    // They fill the window: acknowledgements wait behind half a second of the other way's data, and
    // several, where the rate has fallen.
    { load: 1, frameBytes: 2_000_000, atLeast: 0.85 },
  ])("is right within a tenth nearly always: %o", async ({ atLeast, ...traffic }) => {
    for (const seed of [1, 2]) {
      for (const share of await accuracy(seed, traffic)) expect(share).toBeGreaterThan(atLeast);
    }
  });
});
