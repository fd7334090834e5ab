/**
 * Damaged frames at a worker's own door: from strangers, who are turned away in a word while the
 * run goes on as if they were not there, and from a neighbour whose line is bad, which costs nobody
 * but itself. `npm run fuzz` does it with 100,000; the variable EDGELOOM_FUZZ says how many.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { ProtocolError } from "../../src/base/errors.ts";
import { type Random, random } from "../../src/base/random.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { zeros } from "../../src/base/tensor.ts";
import type { Host, Link } from "../../src/run/host.ts";
import { Assembler } from "../../src/run/wire/chunks.ts";
import { decodePeerFrame, encodeFrame, joinFrame } from "../../src/run/wire/frame.ts";
import { Worker } from "../../src/run/worker/worker.ts";
import type { WorkerEnd } from "../../src/run/worker/worker-owner.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { optionsOf, runBeside, type Stranger } from "../sim/beside.ts";
import { damaged, damagingLink, randomBytes, received } from "./damage.ts";

const count = Number(process.env.EDGELOOM_FUZZ ?? 2000);
const options = { timeout: 60_000 + 30 * count };
const setting = { engine: interpreterEngine, isStraight: true } as const;

/** Device c as an honest worker whose links to the edge server go through `wrap`. */
function honest({ host, node, connect, connectToEdge }: Stranger, wrap: (link: Link) => Link) {
  const dialling: Host = {
    ...host,
    dial: (_address, done) => {
      host.after(2, () => done({ ok: true, value: wrap(connectToEdge()) }));
    },
  };
  const ends: WorkerEnd[] = [];
  new Worker(dialling, connect(), optionsOf(node), {
    onEvent: () => {},
    onEnd: (end) => ends.push(end),
  });
  return ends;
}

/** What device c and the edge server say to each other in an honest run: messages to damage. */
let said: Uint8Array[] = [];

beforeAll(async () => {
  const all: Uint8Array[] = [];
  const record = (stranger: Stranger): void => {
    honest(stranger, (link) => {
      const tapped: Link = {
        send: (frame) => {
          all.push(joinFrame(frame));
          link.send(frame);
        },
        close: () => link.close(),
        onFrame: () => {},
        onClose: () => {},
      };
      link.onFrame = (frame) => {
        all.push(joinFrame(frame));
        tapped.onFrame(frame);
      };
      link.onClose = (reason) => tapped.onClose(reason);
      return tapped;
    });
  };
  // The secrets of another run.
  await runBeside(record, { ...setting, secretsFrom: 1000 });
  // What they would send where ways are measured.
  const filler = new Map([["filler", zeros({ dtype: "uint8", shape: [1024] })]]);
  said = [...all, joinFrame(encodeFrame({ type: "payload" }, filler))];
});

const pick = (draw: Random): Uint8Array => present(said[draw.below(said.length)], "a message");

const weightsOf = (files: ReadonlyMap<string, Uint8Array>) => [
  ...readSafetensors(present(files.get("weights.safetensors"), "weights")).tensors,
];

describe("damaged frames between workers", () => {
  test(`are decoded or refused in words, ${count} of them`, options, () => {
    let whole = 0;
    for (let i = 0; i < count; i++) {
      const draw = random(i + 1);
      const bytes = draw.below(10) === 0 ? randomBytes(draw) : damaged(pick(draw), draw);
      try {
        const frame = new Assembler().take(received(bytes), 1e6);
        if (frame !== null) decodePeerFrame(frame);
        whole++;
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw new Error(`frame ${i}`, { cause: error });
      }
    }
    expect(whole).toBeGreaterThan(count / 50);
    expect(whole).toBeLessThan(count);
  });
});

/** Bytes that went straight, by round and node. */
const straightOf = ({ ofType }: Awaited<ReturnType<typeof runBeside>>): number[][] =>
  ofType("round").map(({ nodes }) => nodes.map(({ bytesStraight }) => bytesStraight));

/** Frames of strangers in one run: a stranger has time to hear what it is told. */
const perRun = 2000;

/** Somebody who opens links to the edge server one after the other, and says what it likes. */
function stranger(
  { world, connectToEdge }: Stranger,
  { seed, frames, untilMs }: { seed: number; frames: number; untilMs: number },
  onRefusal: (reason: string) => void,
): void {
  const draw = random(seed);
  const greeting = (): Uint8Array =>
    joinFrame(
      encodeFrame({
        type: "peer",
        node: ["a", "b", "c", "edge", "x"][draw.below(5)] ?? "x",
        term: draw.below(3),
        secret: "a guess among many",
      }),
    );
  let sent = 0;
  let link: Link | null = null;
  const another = (): void => {
    if (sent % 3 === 0) {
      link?.close();
      link = connectToEdge();
      link.onFrame = (frame) => {
        const { message } = decodePeerFrame(frame);
        if (message.type === "refuse") onRefusal(message.reason);
      };
    }
    const original = draw.below(2) === 0 ? greeting() : pick(draw);
    const fate = draw.below(4);
    const bytes = fate === 0 ? original : fate === 1 ? randomBytes(draw) : damaged(original, draw);
    link?.send(received(bytes));
    sent++;
    if (sent < frames) world.at(world.now() + untilMs / frames, another);
  };
  // From when the edge server is there.
  world.at(1, another);
}

describe("a worker among strangers", () => {
  test(`D3: refuses ${count} frames, and the run trains the same weights`, options, async () => {
    const alone = await runBeside((own) => honest(own, (link) => link), setting);
    const untilMs = 0.95 * alone.world.now();
    const reasons = new Map<string, number>();
    for (let sent = 0; sent < count; sent += perRun) {
      const beside = await runBeside((own) => {
        honest(own, (link) => link);
        const frames = Math.min(perRun, count - sent);
        stranger(own, { seed: 11 + sent, frames, untilMs }, (reason) => {
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        });
      }, setting);
      expect(beside.end).toEqual(alone.end);
      expect(weightsOf(beside.files)).toEqual(weightsOf(alone.files));
      expect(beside.ofType("left")).toEqual(alone.ofType("left"));
      expect(straightOf(beside)).toEqual(straightOf(alone));
    }
    for (const reason of ["protocol", "unknown", "secret", "term"]) {
      expect(reasons.get(reason), reason).toBeGreaterThan(0);
    }
  });
});

describe("damage on the line between a device and the edge server", () => {
  const chances = [
    { sent: 100, heard: 0 },
    { sent: 0, heard: 100 },
    { sent: 50, heard: 50 },
  ];

  test("D3, R10: leaves the others alone, each way and both", options, async () => {
    let damages = 0;
    let wildRuns = 0;
    let runs = 0;
    for (let seed = 1; damages < count / 40; seed++) {
      let isWild = false;
      let links = 0;
      const { end, ofType, workers } = await runBeside((stranger) => {
        honest(stranger, (link) =>
          damagingLink(link, {
            ...(chances[seed % chances.length] ?? { sent: 50, heard: 50 }),
            seed: 1000 * seed + links++,
            onDamaged: () => {
              damages++;
            },
            onWild: () => {
              isWild = true;
            },
          }),
        );
      }, setting);
      runs++;
      if (isWild) {
        wildRuns++;
        continue;
      }
      const at = `seed ${seed}`;
      expect(`${end?.reason}: ${end?.text}`, at).toBe("finished: 4 rounds");
      const left = ofType("left").filter(({ name }) => name !== "c");
      expect(left, at).toEqual([]);
      for (const { participants } of ofType("round")) {
        const nodes = participants.map(({ node }) => node);
        expect(nodes, at).toEqual(expect.arrayContaining(["a", "b"]));
      }
      for (const { reason } of workers.values()) expect(reason, at).toBe(end?.reason);
    }
    expect(wildRuns).toBeLessThan(runs / 3);
  });
});
