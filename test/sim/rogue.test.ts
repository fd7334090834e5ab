import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { float32, type Tensor, zeros } from "../../src/base/tensor.ts";
import type { Frame } from "../../src/run/host.ts";
import { Channel } from "../../src/run/wire/channel.ts";
import { decodeCoordinatorFrame, encodeFrame } from "../../src/run/wire/frame.ts";
import {
  type CoordinatorMessage,
  type Hello,
  type Message,
  protocolVersions,
  type WorkerMessage,
} from "../../src/run/wire/messages.ts";
import { helloOf, runBeside, type Stranger } from "./beside.ts";
import { smallFleet, smallJob } from "./small-job.ts";

type Send = (message: WorkerMessage, tensors?: ReadonlyMap<string, Tensor>) => void;
type Script = (message: CoordinatorMessage, send: Send) => void;

/** Runs the small job with devices a and b honest and device c following a script. */
async function runWithRogue(script: Script, change: Partial<Hello> = {}, job: object = {}) {
  const heard: CoordinatorMessage[] = [];
  const closed: string[] = [];
  const begin = ({ node, host, connect }: Stranger): void => {
    const channel: Channel<CoordinatorMessage> = new Channel(host, connect(), {
      decode: decodeCoordinatorFrame,
      onMessage: ({ message }) => {
        heard.push(message);
        script(message, (answer, tensors) => channel.send(answer, tensors));
      },
      onClose: (reason) => closed.push(reason),
    });
    channel.send({ ...helloOf(node), ...change });
  };
  const { end, ofType } = await runBeside(begin, { change: job });
  return {
    end,
    left: ofType("left"),
    rounds: ofType("round"),
    evaluations: ofType("evaluation"),
    heard,
    closed,
  };
}

/** What a coordinator answers to frames that come before anybody is admitted. */
async function answersTo(frames: readonly Frame[]): Promise<Message[]> {
  const heard: Message[] = [];
  await runBeside(
    ({ connect }) => {
      const link = connect();
      link.onFrame = (frame) => heard.push(decodeCoordinatorFrame(frame).message);
      for (const frame of frames) link.send(frame);
    },
    { untilMs: 20_000 },
  );
  return heard.filter(({ type }) => type === "refuse" || type === "welcome");
}

const profile = present(smallFleet(smallJob())[1], "a device").profile;

/** Features of a sample after each segment of the small model. */
const widths = [8, 8, 6, 6, 3];

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
    passes: "",
    turns: [],
    computeMs: 1,
    held: { forward: 1, backward: 0, update: 0, step: 0 },
    paced: { bytes: 0, ms: 0 },
    bytesPerMs: null,
    straight: [],
    peakRssBytes: null,
  }) as const;

describe("a device that does not keep to the protocol is dropped with the reason, and the others finish", () => {
  it.each<[what: string, script: Script, reason: RegExp]>([
    [
      "R4: tensors of a wrong shape",
      untilRound(({ term, round }, send) => {
        const wrong = new Map([["fc1.weight", float32([1], [Number.NaN])]]);
        send(contribution("copy:c", term, round), wrong);
      }),
      /sent a contribution with fc1\.weight as float32\[1\]/,
    ],
    [
      "R4: a contribution without tensors",
      untilRound(({ term, round }, send) => send(contribution("copy:c", term, round))),
      /sent a contribution with no fc1\.weight/,
    ],
    [
      "a contribution larger than any plan of the job asks for",
      untilRound(({ term, round }, send) => {
        const large = new Map([["fc1.weight", float32([1_000_000], new Float32Array(1_000_000))]]);
        send(contribution("copy:c", term, round), large);
      }),
      /broke the protocol: a frame of 4000\d+ bytes; at most \d{6} allowed/,
    ],
    [
      "R10: features of a wrong shape",
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
      "M2: a payload larger than any that is asked for",
      untilRound((_message, send) => {
        send(
          { type: "payload" },
          new Map([["filler", zeros({ dtype: "uint8", shape: [262_145] })]]),
        );
      }),
      /sent a payload that is none/,
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

  it.each<[what: string, update: (first: string) => Map<string, Tensor>, reason: RegExp]>([
    ["that are missing", () => new Map(), /with no fc1\.weight/],
    [
      "as they are, and no differences",
      () => new Map([["fc1.weight", zeros({ dtype: "float32", shape: [8, 12] })]]),
      /with no fc1\.weight/,
    ],
    [
      "in parts of other shapes",
      (first) => new Map([[first, zeros({ dtype: "uint8", shape: [96] })]]),
      /with fc1\.weight in parts that are no update of it/,
    ],
    [
      "in parts of which one is too many",
      (first) =>
        new Map([
          [first, zeros({ dtype: "uint8", shape: [96] })],
          ["fc1.weight.1", zeros({ dtype: "float32", shape: [8, 2] })],
          ["fc1.weight.2", zeros({ dtype: "float32", shape: [8, 2] })],
        ]),
      /with fc1\.weight in parts that are no update of it/,
    ],
  ])("R18: with updates %s", async (_what, update, reason) => {
    const script = untilRound(({ term, round }, send) => {
      send(contribution("copy:c", term, round), update("fc1.weight.0"));
    });
    const { end, left } = await runWithRogue(script, {}, { codec: { updates: "affine8" } });
    expect(left.map((record) => `${record.name}: ${record.reason}`)).toEqual([
      expect.stringMatching(new RegExp(`^c: sent a contribution ${reason.source}`)),
    ]);
    expect(end?.reason).toBe("finished");
  });

  it("R5: features that are not finite cost their chain the round, and say whose they were", async () => {
    let width = 0;
    const script = untilRound(({ term, round }, send) => {
      const at = { to: "edge", term, round, step: 0, chain: "chain:c", stage: 1 };
      const values = new Float32Array(8 * width).fill(Number.NaN, 5, 6);
      send({ type: "feature", ...at }, new Map([["0.0", float32([8, width], values)]]));
    });
    const { end, left, rounds } = await runWithRogue((message, send) => {
      if (message.type === "plan") {
        const own = message.plan.copies.find(({ node }) => node === "c");
        width = widths[present(own, "a copy").to - 1] ?? 0;
      }
      script(message, send);
    });
    expect(end?.reason).toBe("finished");
    expect(left).toEqual([]);
    expect(rounds.map(({ dropped }) => dropped)).toEqual(
      rounds.map(() => [
        {
          chain: "chain:c",
          reason: "it diverged: a feature from c is not finite; a lower learning rate may help",
        },
      ]),
    );
  });

  it("R7: who falls silent in mid-round, its heart still beating, costs two rounds their deadline", async () => {
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

  it("W11: who answers pings that nobody sent does not look nearer than it is", async () => {
    const { left, end } = await runWithRogue((message, send) => {
      send({ type: "pong", sentMs: 1e12 });
      untilRound(() => send({ type: "leave", text: "done" }))(message, send);
    });
    expect(left.map(({ reason }) => reason)).toEqual(["done"]);
    expect(end?.reason).toBe("finished");
  });
});

describe("what a device may not say is void", () => {
  it("R2: data messages out of their chain reach nobody, and their sender stays", async () => {
    const { end, left, rounds } = await runWithRogue(
      untilRound(({ term, round }, send) => {
        const at = { term, round, step: 0 };
        const junk = new Map([["0.0", float32([1], [Number.NaN])]]);
        // Not its chain; a node that does not hold the stage; another term; another round's end.
        send({ type: "feature", to: "edge", ...at, chain: "chain:a", stage: 1 }, junk);
        send({ type: "gradient", to: "b", ...at, chain: "chain:c", stage: 0 }, junk);
        send({ type: "feature", to: "edge", ...at, term: 99, chain: "chain:c", stage: 1 }, junk);
        send({ type: "feature", to: "nobody", ...at, chain: "chain:nobody", stage: 7 }, junk);
      }),
    );
    expect(left.map(({ reason }) => reason)).toEqual([
      "it missed the deadline of 2 rounds in a row",
    ]);
    expect(end?.reason).toBe("finished");
    for (const { participants } of rounds) {
      expect(participants.map(({ node }) => node)).toEqual(["a", "b"]);
    }
  });

  it("R11: an evaluation that it was not asked for does not count", async () => {
    const { evaluations } = await runWithRogue(
      untilRound((_message, send) => {
        for (let round = 0; round < 9; round++) {
          send({ type: "evaluation", round, samples: 1e6, correct: 1e6, loss: 0, ms: 0 });
        }
      }),
    );
    expect(evaluations.length).toBeGreaterThan(0);
    for (const { samples } of evaluations) expect(samples).toBe(90);
  });

  it("R1, R14: ready for a plan that is not there yet does not count, and the run waits no longer than said", async () => {
    const { rounds, left } = await runWithRogue((message, send) => {
      if (message.type === "probe") send({ type: "profile", profile });
      if (message.type === "plan") send({ type: "ready", term: message.plan.term + 1 });
    });
    expect(left.map(({ reason }) => reason)).toEqual(["no programs loaded within 120 s"]);
    for (const { participants } of rounds) {
      expect(participants.map(({ node }) => node)).toEqual(["a", "b"]);
    }
  });
});

describe("who has not been admitted", () => {
  const [, node] = smallFleet(smallJob());
  const hello = helloOf(present(node, "a device"));

  it("J1: has to say hello first", async () => {
    expect(await answersTo([encodeFrame({ type: "ready", term: 1 })])).toEqual([
      { type: "refuse", reason: "protocol", text: "the first message must be hello" },
    ]);
  });

  it("J1, W13: is told what was wrong with a frame that is none, or too large", async () => {
    const none = { head: new TextEncoder().encode("not a frame"), body: [] };
    expect(await answersTo([none])).toEqual([
      { type: "refuse", reason: "protocol", text: expect.stringMatching(/header/) },
    ]);
    const large = encodeFrame(hello, new Map([["x", float32([20_000], new Float32Array(20_000))]]));
    expect(await answersTo([large])).toEqual([
      { type: "refuse", reason: "protocol", text: expect.stringMatching(/at most 65536 allowed/) },
    ]);
  });

  it.each<[what: string, change: object, reason: string]>([
    [
      "of a release to come",
      { protocols: { from: protocolVersions.to + 1, to: 99 }, soul: "immortal" },
      "version",
    ],
    ["of a release that named one version", { protocols: undefined, protocol: 3 }, "version"],
    ["with versions turned round", { protocols: { from: 9, to: 5 } }, "version"],
    ["that lacks what our version needs", { duty: undefined }, "protocol"],
  ])("J2: is told so by a hello %s", async (_what, change, reason) => {
    const frame = encodeFrame({ ...hello, name: "c", token: "c", ...change } as Hello);
    expect(await answersTo([frame])).toEqual([
      { type: "refuse", reason, text: expect.any(String) },
    ]);
  });

  it("J2: is welcomed in the newest version that both sides speak", async () => {
    const change = { protocols: { from: 2, to: 99 }, soul: "immortal", name: "c", token: "c" };
    const [welcome] = await answersTo([encodeFrame({ ...hello, ...change } as Hello)]);
    expect(welcome).toMatchObject({ type: "welcome", protocol: protocolVersions.to, node: "c" });
  });

  it.each<[what: string, change: Partial<Hello>, reason: string]>([
    ["the token of who is there", { name: "another", token: "a" }, "token in use"],
    ["the name of who is there", { name: "a", token: "c" }, "name in use"],
  ])("J4: is refused with %s", async (_what, change, reason) => {
    const { heard, end } = await runWithRogue(() => {}, change);
    expect(heard).toEqual([{ type: "refuse", reason, text: expect.any(String) }]);
    expect(end).toBeUndefined();
  });

  it("who leaves as the plan goes out costs nobody a plan: the others train under it, once", async () => {
    const { left, rounds, end } = await runWithRogue((message, send) => {
      if (message.type === "probe") send({ type: "profile", profile });
      if (message.type === "plan") send({ type: "leave", text: "just so" });
    });
    expect(left.map(({ reason }) => reason)).toEqual(["just so"]);
    expect(end?.reason).toBe("finished");
    expect(rounds.map(({ term }) => term)).toEqual([1, 2, 2, 2]);
    expect(rounds[0]?.dropped).toEqual([
      { chain: "chain:c", reason: "a node of it left before the round" },
    ]);
    expect(rounds[0]?.participants.map(({ node }) => node)).toEqual(["a", "b"]);
  });
});

describe("J3: a device that may not join is told why", () => {
  it.each<[what: string, change: Partial<Hello>, reason: string, text: RegExp]>([
    [
      "an old version",
      { protocols: { from: 1, to: 2 } },
      "version",
      /versions 1 to 2 are not ours/,
    ],
    ["J4: a wrong token", { token: "guess" }, "token", /the join token is not valid/],
    ["J4: a token of another kind", { token: "edge" }, "token", /not valid for a device/],
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
