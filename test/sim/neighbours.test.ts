/** Two workers' neighbours over a simulated link: who is let in, what is taken, what is sent again. */
import { beforeEach, describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { type NodeId, nodeId } from "../../src/base/ids.ts";
import { random } from "../../src/base/random.ts";
import { hollow } from "../../src/base/tensor.ts";
import type { Plan } from "../../src/plan/plan.ts";
import type { Frame, Host, Link, PeerAddress } from "../../src/run/host.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodePeerFrame, decodeWorkerFrame } from "../../src/run/wire/frame.ts";
import type { DataMessage, Introduction, PeerMessage } from "../../src/run/wire/messages.ts";
import { Pace } from "../../src/run/wire/pace.ts";
import type { MeasuredLink } from "../../src/run/wire/payload.ts";
import { Neighbours } from "../../src/run/worker/neighbours.ts";
import type { StageSetup } from "../../src/run/worker/stage-setup.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { timeOf } from "./wire.ts";

const secret = "a secret of two workers";
const work = 4;
const chain = "chain:a";
const [a, edge] = [nodeId("a"), nodeId("edge")];

const planOf = (term: number, bytesPerMs: number | null): Plan =>
  ({
    term,
    chains: [{ id: chain, source: a }],
    links: [{ from: a, to: edge, chain, bytesPerMs, codecUp: "float32", codecDown: "float32" }],
  }) as unknown as Plan;

/** The stage of a chain a -> edge that a node holds. */
const stageOf = (node: NodeId): StageSetup =>
  ({
    chain: { id: chain, work },
    stage: node === a ? 0 : 1,
    upstream: node === a ? null : a,
    downstream: node === a ? edge : null,
  }) as unknown as StageSetup;

const feature = (step: number, round = 0, term = 1): DataMessage => ({
  ...{ type: "feature", to: edge, stage: 1, chain },
  ...{ step, round, term },
});

const gradient = (step: number): DataMessage => ({
  ...{ type: "gradient", to: a, stage: 0, chain },
  ...{ step, round: 0, term: 1 },
});

const tensors = (bytes = 100) => new Map([["0.0", hollow({ dtype: "uint8", shape: [bytes] })]]);
const stepsOf = (messages: readonly DataMessage[]) => messages.map(({ step }) => step);

let world: World;
/** Lets time pass to this moment, and no further. */
const runUntil = (ms: number) => {
  world.at(ms, () => {});
  return world.run(() => world.now() >= ms);
};
beforeEach(() => {
  world = new World();
});

/** One worker's side. */
class Side {
  readonly node: NodeId;
  readonly taken: DataMessage[] = [];
  readonly relayed: DataMessage[] = [];
  readonly ways: string[] = [];
  readonly pace = new Pace();
  readonly neighbours: Neighbours;

  constructor(node: NodeId, dial: Host["dial"] = () => {}) {
    this.node = node;
    const host = { ...timeOf(world), random: random(1), dial } as Host;
    this.neighbours = new Neighbours({
      host,
      pace: this.pace,
      relay: (frame) => {
        const { message } = decodeWorkerFrame(frame);
        if (message.type === "feature" || message.type === "gradient") this.relayed.push(message);
      },
      deliver: (message) => this.taken.push(message),
      onPaced: () => {},
      onWay: (other, way) => this.ways.push(`${other} ${way} at ${world.now().toFixed(0)}`),
    });
  }

  adopt(introductions: readonly Introduction[], term = 1, bytesPerMs: number | null = null): void {
    this.neighbours.adopt({
      plan: planOf(term, bytesPerMs),
      node: this.node,
      stages: [stageOf(this.node)],
      introductions,
      frameBytesMax: 1e7,
    });
  }
}

const address: PeerAddress = { url: "edge", fingerprint: null };
const toEdge: Introduction = { node: edge, secret, address };
const toA: Introduction = { node: a, secret, address: null };

/** Two sides, where a dials edge over links that a test can close. */
function pair({ bytesPerMs = null as number | null } = {}) {
  const links: Link[] = [];
  const dials: number[] = [];
  const far = new Side(edge);
  const near = new Side(a, (_address, done) => {
    dials.push(world.now());
    world.after(1, () => {
      const [one, other] = simLinks(world, { latencyMs: 10, bytesPerMs });
      links.push(one);
      far.neighbours.accept(other);
      done({ ok: true, value: one });
    });
  });
  return { near, far, links, dials };
}

/** Two sides whose link stands, in round 0. */
async function standing(options?: { bytesPerMs: number | null }) {
  const both = pair(options);
  both.far.adopt([toA]);
  both.near.adopt([toEdge]);
  await runUntil(100);
  both.near.neighbours.begin(0);
  both.far.neighbours.begin(0);
  return both;
}

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

describe("a payload between neighbours", () => {
  const size = { bytes: 131_072, isHollow: true };

  it("M1, M2: tells rate and delay of the link, and nobody is handed it", async () => {
    const { near, far } = await standing({ bytesPerMs: 500 });
    const measured: MeasuredLink[] = [];
    const done = (link: MeasuredLink) => measured.push(link);
    near.neighbours.measure(edge, size, done);
    // Void, as long as the first one is under way.
    near.neighbours.measure(edge, size, done);
    await runUntil(10_000);
    expect(measured).toHaveLength(1);
    expect((measured[0]?.bytesPerMs ?? 0) / 500).toBeCloseTo(1, 1);
    expect(measured[0]?.latencyMs).toBeCloseTo(10, 0);
    expect(far.taken).toEqual([]);
    near.neighbours.measure(edge, size, done);
    await runUntil(20_000);
    expect(measured).toHaveLength(2);
  });

  it("M1: tells nothing where no link stands, or it ends", async () => {
    const nothing = { bytesPerMs: null, latencyMs: null };
    const { near, links } = await standing({ bytesPerMs: 10 });
    const measured: MeasuredLink[] = [];
    near.neighbours.measure(nodeId("x"), size, (link) => measured.push(link));
    expect(measured).toEqual([nothing]);
    near.neighbours.measure(edge, size, (link) => measured.push(link));
    await runUntil(1_000);
    links[0]?.close();
    await runUntil(2_000);
    expect(measured).toEqual([nothing, nothing]);
  });

  it("M2: is refused where it is none", async () => {
    const { near, far } = await standing();
    near.neighbours.measure(edge, { bytes: 262_145, isHollow: true }, () => {});
    await runUntil(1_000);
    expect(far.ways.join()).toMatch(/a relayed at/);
  });
});
