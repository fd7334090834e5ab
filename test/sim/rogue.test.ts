import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { runId } from "../../src/base/ids.ts";
import { float32, type Tensor } from "../../src/base/tensor.ts";
import { Coordinator } from "../../src/run/coordinator/coordinator.ts";
import type { CoordinatorEnd } from "../../src/run/coordinator/farewell.ts";
import type { Host } from "../../src/run/host.ts";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodeCoordinatorFrame } from "../../src/run/wire/frame.ts";
import {
  type CoordinatorMessage,
  type Hello,
  protocolVersion,
  type WorkerMessage,
} from "../../src/run/wire/messages.ts";
import { Worker } from "../../src/run/worker/worker.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simHost } from "../../src/sim/host.ts";
import { simLinks } from "../../src/sim/link.ts";
import { World } from "../../src/sim/world.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

type Send = (message: WorkerMessage, tensors?: ReadonlyMap<string, Tensor>) => void;
type Script = (message: CoordinatorMessage, send: Send) => void;

/** Runs the small job with devices a and b honest and device c following a script. */
async function runWithRogue(script: Script, change: Partial<Hello> = {}) {
  const world = new World();
  const job = smallJob();
  const records: RunRecord[] = [];
  const ends: CoordinatorEnd[] = [];
  const hostOf = (node: SimNode | null): Host =>
    simHost(world, {
      name: node?.name ?? "coordinator",
      seed: 1,
      engine: nullEngine(),
      profile: node?.profile ?? null,
      batch: job.batch,
      train: node?.train ?? null,
      test: node?.test ?? null,
      files: new Map(),
      record: (record) => records.push(record),
    });
  const nodes = smallFleet(job);
  const coordinator = new Coordinator(
    hostOf(null),
    {
      run: runId("rogue"),
      job,
      model: smallModel(),
      tickets: new Map(nodes.map((node) => [node.name, { kind: node.kind }])),
      edges: 1,
    },
    (end) => ends.push(end),
  );
  const heard: CoordinatorMessage[] = [];
  const closed: string[] = [];
  for (const node of nodes) {
    const [near, far] = simLinks(world, { latencyMs: 1, bytesPerMs: null });
    coordinator.accept(far);
    const { name, kind, duty } = node;
    const self = {
      name,
      kind,
      token: name,
      instance: name,
      machine: name,
      duty,
      memoryBytes: null,
    };
    if (name !== "c") {
      const owner = { onEvent: () => {}, onEnd: () => {} };
      new Worker(hostOf(node), near, { ...self, ceilingBytesPerMs: null }, owner);
      continue;
    }
    const channel: Channel<CoordinatorMessage> = new Channel(hostOf(node), near, {
      decode: decodeCoordinatorFrame,
      onMessage: ({ message }) => {
        heard.push(message);
        script(message, (answer, tensors) => channel.send(answer, tensors));
      },
      onClose: (reason) => closed.push(reason),
    });
    channel.send({
      ...self,
      type: "hello",
      protocol: protocolVersion,
      ceilingBytesPerMs: null,
      samples: 50,
      inputShape: [12],
      classes: 3,
      classNames: null,
      testSamples: 0,
      engine: "none",
      ...change,
    });
  }
  await world.run(() => ends.length > 0 || world.now() > 600_000);
  const left = records.filter((record) => record.type === "left");
  const rounds = records.filter((record) => record.type === "round");
  return { end: ends[0], left, rounds, heard, closed };
}

const profile = present(smallFleet(smallJob())[1], "a device").profile;

/** Behaves up to the first round, then answers it as told. */
const untilRound =
  (answer: (message: CoordinatorMessage & { type: "begin" }, send: Send) => void): Script =>
  (message, send) => {
    if (message.type === "probe") {
      send({ type: "profile", profile });
      // A second profile that nobody asked for is void.
      send({ type: "profile", profile });
    }
    if (message.type === "plan") send({ type: "ready", term: message.plan.term });
    if (message.type === "begin") answer(message, send);
  };

const contribution = (copy: string, term: number, round: number) =>
  ({
    type: "contribution",
    id: "x",
    term,
    round,
    chain: "chain:c",
    copy,
    loss: null,
    steps: 3,
    computeMs: 1,
    held: { forward: 1, backward: 0, update: 0, step: 0 },
    paced: { bytes: 0, ms: 0 },
    peakRssBytes: null,
  }) as const;

describe("a device that does not keep to the protocol is dropped with the reason, and the others finish", () => {
  it.each<[what: string, script: Script, reason: RegExp]>([
    [
      "tensors of a wrong shape",
      untilRound(({ term, round }, send) => {
        const wrong = new Map([["fc1.weight", float32([1], [Number.NaN])]]);
        send(contribution("copy:c", term, round), wrong);
      }),
      /sent a contribution with fc1\.weight as float32\[1\]/,
    ],
    [
      "a contribution without tensors",
      untilRound(({ term, round }, send) => send(contribution("copy:c", term, round))),
      /sent a contribution with no fc1\.weight/,
    ],
    [
      "features of a wrong shape",
      untilRound(({ term, round }, send) => {
        const at = { to: "edge", term, round, step: 0, chain: "chain:c", stage: 1 };
        send({ type: "feature", ...at }, new Map([["feature.0", float32([1], [0])]]));
      }),
      /a feature does not fit the stage it was sent to/,
    ],
    [
      "a profile of another model",
      (message, send) => {
        if (message.type !== "probe") return;
        send({ type: "profile", profile: { ...profile, segments: [] } });
      },
      /sent a profile of another model/,
    ],
    [
      "a goodbye in mid-round",
      untilRound((_message, send) => {
        send({ type: "leave", text: "tired" });
      }),
      /tired/,
    ],
  ])("%s", async (_what, script, reason) => {
    const { end, left, rounds } = await runWithRogue(script);
    expect(left.map((record) => `${record.name}: ${record.reason}`)).toEqual([
      expect.stringMatching(new RegExp(`^c: .*${reason.source}`)),
    ]);
    expect(end?.reason).toBe("finished");
    expect(rounds).toHaveLength(4);
    expect(rounds.at(-1)?.participants.map(({ node }) => node)).toEqual(["a", "b"]);
  });

  it("who falls silent in mid-round, its heart still beating, costs two rounds their deadline", async () => {
    const { left, end, rounds } = await runWithRogue(untilRound(() => {}));
    expect(left.map(({ name, reason }) => [name, reason])).toEqual([
      ["c", "it missed the deadline of 2 rounds in a row"],
    ]);
    expect(end?.reason).toBe("finished");
    for (const [i, round] of rounds.entries()) {
      if (i >= 2) expect(round.ms).toBeLessThan(30_000);
      else {
        expect(round.ms).toBeGreaterThan(29_999.9);
        expect(round.dropped.map(({ chain }) => chain)).toEqual(["chain:c"]);
      }
    }
  });

  it("who answers pings that nobody sent does not look nearer than it is", async () => {
    const { left, end } = await runWithRogue((message, send) => {
      send({ type: "pong", sentMs: 1e12 });
      untilRound(() => send({ type: "leave", text: "done" }))(message, send);
    });
    expect(left.map(({ reason }) => reason)).toEqual(["done"]);
    expect(end?.reason).toBe("finished");
  });
});

describe("a device that may not join is told why", () => {
  it.each<[what: string, change: Partial<Hello>, reason: string, text: RegExp]>([
    ["an old version", { protocol: 0 }, "version", /protocol version 0 is not ours/],
    ["a wrong token", { token: "guess" }, "token", /the join token is not valid/],
    ["another's token", { token: "edge" }, "token", /not valid for a device/],
    ["no data", { samples: 0 }, "no data", /training samples of its own/],
    ["data of another shape", { inputShape: [7] }, "wrong data", /shape \[7\] do not fit.*\[12\]/],
    [
      "too many classes",
      { classes: 9 },
      "wrong data",
      /9 classes do not fit the model, which has 3/,
    ],
  ])("%s", async (_what, change, reason, text) => {
    const { heard, closed, end } = await runWithRogue(() => {}, change);
    expect(heard).toEqual([{ type: "refuse", reason, text: expect.stringMatching(text) }]);
    expect(closed).toHaveLength(1);
    // The run goes on waiting for its third device.
    expect(end).toBeUndefined();
  });
});
