/** Two workers' neighbours over a simulated link: who is let in, what is taken, what is sent again. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import type { Frame } from "../../src/run/host.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodePeerFrame } from "../../src/run/wire/frame.ts";
import type { DataMessage, PeerMessage } from "../../src/run/wire/messages.ts";
import { simLinks } from "../../src/sim/link.ts";
import {
  a,
  address,
  edge,
  feature,
  gradient,
  pair,
  runUntil,
  Side,
  secret,
  standing,
  stepsOf,
  tensors,
  toA,
  toEdge,
  work,
  world,
} from "./two-neighbours.ts";
import { timeOf } from "./wire.ts";

describe("a link between neighbours", () => {
  it("D1, D4: stands after a greeting, and is used from the next round on", async () => {
    const { near, far } = pair();
    far.adopt([toA]);
    near.adopt([toEdge]);
    near.neighbours.begin(0);
    const settled: number[] = [];
    near.neighbours.whenSettled(() => settled.push(world.now()));
    await runUntil(100);
    expect(settled).toEqual([21]);
    expect([near.ways, far.ways]).toEqual([["edge straight at 21"], ["a straight at 11"]]);
    near.neighbours.send(feature(0), tensors());
    expect(stepsOf(near.relayed)).toEqual([0]);
    near.neighbours.begin(1);
    far.neighbours.begin(1);
    near.neighbours.send(feature(0, 1), tensors());
    await runUntil(200);
    expect(near.relayed).toHaveLength(1);
    expect(far.taken).toEqual([feature(0, 1)]);
  });

  it("D2: waits for who has not heard of the plan yet", async () => {
    const { near, far } = pair();
    near.adopt([toEdge]);
    await runUntil(3000);
    expect(near.ways).toEqual([]);
    far.adopt([toA]);
    await runUntil(3100);
    expect(near.ways).toEqual(["edge straight at 3010"]);
  });

  it("D4: holds up nobody for longer than two seconds", async () => {
    const { near } = pair();
    near.adopt([toEdge]);
    const settled: number[] = [];
    near.neighbours.whenSettled(() => settled.push(world.now()));
    await runUntil(5000);
    expect(settled).toEqual([2000]);
  });

  it("D7: is dialled again after growing pauses while the term lasts, and no longer", async () => {
    const dials: number[] = [];
    const near = new Side(a, (_address, done) => {
      dials.push(world.now());
      world.after(0, () => done({ ok: false, error: "nobody there" }));
    });
    near.adopt([toEdge]);
    await runUntil(60_000);
    const pauses = dials.slice(1).map((ms, i) => ms - (dials[i] ?? 0));
    pauses.forEach((pause, i) => {
      const most = Math.min(15_000, 500 * 2 ** i);
      expect(pause).toBeGreaterThanOrEqual(most / 2);
      expect(pause).toBeLessThanOrEqual(most);
    });
    expect(pauses.length).toBeGreaterThan(6);
    const before = dials.length;
    near.adopt([], 2);
    await runUntil(120_000);
    expect(dials).toHaveLength(before);
  });

  it("D5: ends with its term", async () => {
    const { near, far } = await standing();
    near.adopt([], 2);
    await runUntil(200);
    expect(far.ways).toEqual(["a straight at 11", "a relayed at 110"]);
  });

  it.each([
    ["the dialler", ["near", "far"]],
    ["the listener", ["far", "near"]],
  ] as const)(
    "D5: goes on under the next plan, greeted anew, if %s hears of it first",
    async (_who, order) => {
      const both = await standing();
      const { near, far, dials } = both;
      const next = { secret: "another secret of two workers" };
      const adopt = {
        near: () => near.adopt([{ ...toEdge, ...next }], 2),
        far: () => far.adopt([{ ...toA, ...next }], 2),
      };
      for (const side of order) {
        adopt[side]();
        await runUntil(world.now() + 500);
      }
      near.neighbours.begin(0);
      far.neighbours.begin(0);
      near.neighbours.send(feature(0, 0, 2), tensors());
      await runUntil(world.now() + 100);
      expect(far.taken).toEqual([feature(0, 0, 2)]);
      expect(near.relayed).toEqual([]);
      expect(dials).toHaveLength(1);
      const { sent } = present(near.neighbours.trafficWith(edge), "traffic");
      expect(far.neighbours.trafficWith(a)?.received).toBe(sent);
    },
  );

  it("D5: is dialled anew where the neighbour is at another address", async () => {
    const { near, far, dials } = await standing();
    near.adopt([{ ...toEdge, address: { url: "elsewhere", fingerprint: null } }], 2);
    far.adopt([toA], 2);
    await runUntil(1000);
    expect(dials).toHaveLength(2);
    expect(near.ways.at(-1)).toMatch(/straight/);
  });

  it("D8: keeps to the share of who receives, where the sender has none", async () => {
    const { near, far } = pair();
    far.adopt([toA], 1, 2);
    near.adopt([toEdge], 1, null);
    await runUntil(100);
    near.neighbours.begin(0);
    far.neighbours.begin(0);
    far.neighbours.send(gradient(0), tensors(10_000));
    await runUntil(5000);
    expect(near.taken).toEqual([]);
    await runUntil(5300);
    expect(near.taken).toEqual([gradient(0)]);
    const traffic = present(far.neighbours.trafficWith(a), "traffic");
    expect(traffic.paced.bytes / traffic.paced.ms).toBeCloseTo(2, 3);
    expect(traffic.sent).toBeGreaterThan(10_000);
    expect(near.neighbours.trafficWith(edge)?.received).toBeGreaterThan(10_000);
  });
});

describe("data between neighbours", () => {
  it("D6: that come both ways are handed on once, also in the order of another schedule", async () => {
    const { near, far } = await standing();
    for (const step of [0, 2, 1]) near.neighbours.send(feature(step), tensors());
    await runUntil(200);
    for (const step of [0, 1, 2, 3]) {
      far.neighbours.take({ message: feature(step), tensors: tensors() });
    }
    expect(stepsOf(far.taken)).toEqual([0, 2, 1, 3]);
  });

  it("D6: that nobody has consumed go through the coordinator when the link is lost", async () => {
    const { near, far, links } = await standing({ bytesPerMs: 10 });
    near.neighbours.send(feature(0), tensors(20_000));
    near.neighbours.send(feature(1), tensors(20_000));
    near.neighbours.send(feature(2), tensors(20_000));
    // The second is there, though nobody has said so yet; the third is on its way.
    await runUntil(4500);
    expect(stepsOf(far.taken)).toEqual([0, 1]);
    links[0]?.close();
    await runUntil(4600);
    expect(stepsOf(near.relayed)).toEqual([1, 2]);
    near.neighbours.send(feature(3), tensors());
    expect(stepsOf(near.relayed)).toEqual([1, 2, 3]);
    for (const message of near.relayed) far.neighbours.take({ message, tensors: tensors() });
    expect(stepsOf(far.taken)).toEqual([0, 1, 2, 3]);
    // It stands again, but this round goes on as it is.
    await runUntil(6000);
    expect(near.ways.at(-1)).toMatch(/^edge straight/);
    expect(near.relayed).toHaveLength(3);
  });

  it("D6: of a round that is over are not sent again", async () => {
    const { near, links } = await standing({ bytesPerMs: 10 });
    near.neighbours.send(feature(0), tensors(50_000));
    await runUntil(1000);
    near.neighbours.begin(1);
    links[0]?.close();
    await runUntil(2000);
    expect(near.relayed).toEqual([]);
  });

  it("D5: that come before the round wait for it, without credit, and are forgotten with the link", async () => {
    const { near, far, links } = await standing();
    near.neighbours.begin(1);
    for (const step of [0, 1, 2, 3]) near.neighbours.send(feature(step, 1), tensors(3_000_000));
    await runUntil(3000);
    expect(far.taken).toEqual([]);
    // A frame and a window, however long it takes.
    expect(present(far.neighbours.trafficWith(a), "traffic").received).toBeLessThan(7.3e6);
    far.neighbours.begin(1);
    await runUntil(6000);
    expect(stepsOf(far.taken)).toEqual([0, 1, 2, 3]);
    near.neighbours.begin(2);
    near.neighbours.send(feature(0, 2), tensors());
    await runUntil(6100);
    links[0]?.close();
    await runUntil(6200);
    expect(near.relayed).toEqual([feature(0, 2)]);
    far.neighbours.begin(2);
    expect(far.taken).toHaveLength(4);
  });

  it.each<[string, Partial<DataMessage>]>([
    ["of another border", { type: "gradient", stage: 1 }],
    ["of another stage", { stage: 2 }],
    ["of another chain", { chain: "chain:b" }],
    ["for somebody else", { to: "b" }],
    ["of another term", { term: 2 }],
    ["of a batch that the round has not", { step: work }],
  ])("D3: %s are void", async (_what, change) => {
    const { near, far } = await standing();
    near.neighbours.send({ ...feature(0), ...change } as DataMessage, tensors());
    near.neighbours.send(feature(1), tensors());
    await runUntil(200);
    expect(stepsOf(far.taken)).toEqual([1]);
    expect(far.ways).toEqual(["a straight at 11"]);
  });
});

/** What a worker says to a raw peer that says this. */
async function answersTo(far: Side, said: readonly PeerMessage[]) {
  const [near, other] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
  far.neighbours.accept(other);
  const heard: PeerMessage[] = [];
  let closedMs: number | null = null;
  const channel = new Channel<PeerMessage>(timeOf(world), near, {
    decode: (frame: Frame) => decodePeerFrame(frame),
    onMessage: ({ message }) => heard.push(message),
    onClose: () => {
      closedMs = world.now();
    },
  });
  for (const message of said) channel.send(message);
  await runUntil(world.now() + 15_000);
  return { heard, closedMs };
}

describe("somebody at a worker's door", () => {
  const greeting = { type: "peer", node: "a", term: 1, secret } as const;

  it.each<[string, PeerMessage[], string]>([
    ["with another secret", [{ ...greeting, secret: `${secret}!` }], "secret"],
    ["that nobody has introduced", [{ ...greeting, node: "b" }], "unknown"],
    ["of a term that is over", [{ ...greeting, term: 0 }], "term"],
    ["of a term that never comes", [{ ...greeting, term: 7 }], "unknown"],
    ["that says nothing", [], "unknown"],
    ["that sends data at once", [feature(0)], "protocol"],
    ["that greets twice", [greeting, greeting], "protocol"],
    ["that says what the other side says", [{ type: "accept", term: 1 }], "protocol"],
  ])("D3: %s is turned away in a word", async (_what, said, reason) => {
    const far = new Side(edge);
    far.adopt([toA]);
    const { heard, closedMs } = await answersTo(far, said);
    expect(heard.at(-1)).toMatchObject({ type: "refuse", reason });
    expect(closedMs).toBeLessThanOrEqual(10_050);
    expect(far.taken).toEqual([]);
  });

  it.each<[string, PeerMessage[], string, number]>([
    ["says nothing", [{ ...feature(0, 0, 2) }], "unknown", 10_000],
    ["has another secret", [{ ...greeting, term: 2 }], "secret", 10],
    ["greets in the old term", [greeting], "protocol", 10],
  ])("D5: that was let in under the plan before and now %s has no say", async (...drawn) => {
    const [, said, reason, withinMs] = drawn;
    const far = new Side(edge);
    far.adopt([toA]);
    const [near, other] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    far.neighbours.accept(other);
    const heard: PeerMessage[] = [];
    const channel = new Channel<PeerMessage>(timeOf(world), near, {
      decode: decodePeerFrame,
      onMessage: ({ message }) => heard.push(message),
      onClose: () => {},
    });
    channel.send(greeting);
    await runUntil(100);
    expect(heard).toEqual([{ type: "accept", term: 1 }]);
    far.adopt([{ ...toA, secret: "another secret of two workers" }], 2);
    far.neighbours.begin(0);
    for (const message of said) channel.send(message);
    await runUntil(100 + withinMs + 10);
    expect(heard.at(-1)).toMatchObject({ type: "refuse", reason });
    expect(far.taken).toEqual([]);
  });

  it("D3: that a worker is to dial itself is turned away", async () => {
    const far = new Side(edge);
    far.adopt([{ ...toA, address }]);
    const { heard } = await answersTo(far, [greeting]);
    expect(heard).toEqual([expect.objectContaining({ type: "refuse", reason: "unknown" })]);
  });

  it("D3: finds no room where too many wait, and a neighbour finds some afterwards", async () => {
    const { near, far } = pair();
    far.adopt([toA]);
    const crowd = await Promise.all([answersTo(far, [])]);
    expect(crowd[0]?.closedMs).not.toBeNull();
    const reasons: (string | undefined)[] = [];
    for (let i = 0; i < 20; i++) {
      const [one, other] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
      one.onFrame = (frame) => {
        const { message } = decodePeerFrame(frame);
        if (message.type === "refuse") reasons.push(message.reason);
      };
      far.neighbours.accept(other);
    }
    await runUntil(world.now() + 100);
    expect(reasons).toEqual(["crowded", "crowded", "crowded"]);
    near.adopt([toEdge]);
    await runUntil(world.now() + 30_000);
    expect(near.ways.at(-1)).toMatch(/straight/);
  });

  it("D3: speaks for nobody but itself", async () => {
    const far = new Side(edge);
    far.adopt([toA, { ...toA, node: "b" }]);
    far.neighbours.begin(0);
    const { heard } = await answersTo(far, [{ ...greeting, node: "b" }]);
    expect(heard).toEqual([{ type: "accept", term: 1 }]);
    const [near, other] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    far.neighbours.accept(other);
    const channel = new Channel<PeerMessage>(timeOf(world), near, {
      decode: decodePeerFrame,
      onMessage: ({ message }) => {
        // What a would send, on the link of b.
        if (message.type === "accept") channel.send(feature(0), tensors());
      },
      onClose: () => {},
    });
    channel.send({ ...greeting, node: "b" });
    await runUntil(world.now() + 1000);
    expect(far.ways.at(-1)).toMatch(/^b straight/);
    expect(far.taken).toEqual([]);
  });

  it("D3: takes the place of its own link that it has given up", async () => {
    const { near, far } = await standing();
    far.neighbours.send(gradient(0), tensors());
    const { heard } = await answersTo(far, [greeting]);
    expect(heard[0]).toEqual({ type: "accept", term: 1 });
    expect(near.ways.length).toBeGreaterThan(1);
  });
});
