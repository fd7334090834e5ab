/** Two workers over a simulated link whose ends a test holds, for what it says of neighbours. */
import { beforeEach } from "vitest";
import { type NodeId, nodeId } from "../../src/base/ids.ts";
import { random } from "../../src/base/random.ts";
import { hollow } from "../../src/base/tensor.ts";
import type { Plan } from "../../src/plan/plan.ts";
import type { Host, Link, PeerAddress } from "../../src/run/host.ts";
import { decodeWorkerFrame } from "../../src/run/wire/frame.ts";
import type { DataMessage, Introduction } from "../../src/run/wire/messages.ts";
import { Pace } from "../../src/run/wire/pace.ts";
import { Neighbours } from "../../src/run/worker/neighbours.ts";
import type { StageSetup } from "../../src/run/worker/stage-setup.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { timeOf } from "./wire.ts";

export const secret = "a secret of two workers";
export const work = 4;
const chain = "chain:a";
export const [a, edge] = [nodeId("a"), nodeId("edge")];

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
    exchange: null,
  }) as unknown as StageSetup;

export const feature = (step: number, round = 0, term = 1): DataMessage => ({
  ...{ type: "feature", to: edge, stage: 1, chain },
  ...{ step, round, term },
});

export const gradient = (step: number): DataMessage => ({
  ...{ type: "gradient", to: a, stage: 0, chain },
  ...{ step, round: 0, term: 1 },
});

export const tensors = (bytes = 100) =>
  new Map([["0.0", hollow({ dtype: "uint8", shape: [bytes] })]]);
export const stepsOf = (messages: readonly DataMessage[]) => messages.map(({ step }) => step);

/** New for every test. */
export let world: World;
/** Lets time pass to this moment, and no further. */
export const runUntil = (ms: number) => {
  world.at(ms, () => {});
  return world.run(() => world.now() >= ms);
};
beforeEach(() => {
  world = new World();
});

/** One worker's side. */
export class Side {
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

export const address: PeerAddress = { url: "edge", fingerprint: null };
export const toEdge: Introduction = { node: edge, secret, address };
export const toA: Introduction = { node: a, secret, address: null };

/** Two sides, where a dials edge over links that a test can close. */
export function pair({ bytesPerMs = null as number | null } = {}) {
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
export async function standing(options?: { bytesPerMs: number | null }) {
  const both = pair(options);
  both.far.adopt([toA]);
  both.near.adopt([toEdge]);
  await runUntil(100);
  both.near.neighbours.begin(0);
  both.far.neighbours.begin(0);
  return both;
}
