/**
 * Damaged frames: whatever bytes come, decoders, coordinator and workers answer with a
 * refusal in words or go on, and the honest ones notice nothing. `npm run fuzz` does it with
 * 100,000; the variable EDGELOOM_FUZZ says how many.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { ProtocolError } from "../../src/base/errors.ts";
import { type Random, random } from "../../src/base/random.ts";
import { readSafetensors } from "../../src/base/safetensors.ts";
import { zeros } from "../../src/base/tensor.ts";
import type { Frame, Link } from "../../src/run/host.ts";
import { Assembler, Cutter } from "../../src/run/wire/chunks.ts";
import {
  decodeCoordinatorFrame,
  decodeWorkerFrame,
  encodeFrame,
  joinFrame,
} from "../../src/run/wire/frame.ts";
import { Worker } from "../../src/run/worker/worker.ts";
import type { WorkerEnd } from "../../src/run/worker/worker-owner.ts";
import { interpreterEngine } from "../../src/sim/engines.ts";
import { helloOf, optionsOf, runBeside } from "../sim/beside.ts";
import { damaged, damagingLink, randomBytes, received } from "./damage.ts";

const count = Number(process.env.EDGELOOM_FUZZ ?? 2000);
const options = { timeout: 60_000 + 30 * count };

/** What they say where ways are measured, which no honest run of this job does. */
const filler = new Map([["filler", zeros({ dtype: "uint8", shape: [1024] })]]);
const measuring = {
  worker: [
    joinFrame(encodeFrame({ type: "measured", to: "edge", bytesPerMs: 12.5, latencyMs: 3 })),
    joinFrame(encodeFrame({ type: "measured", to: null, bytesPerMs: null, latencyMs: null })),
    joinFrame(encodeFrame({ type: "payload" }, filler)),
  ],
  coordinator: [
    joinFrame(encodeFrame({ type: "measure", to: "edge", bytes: 65_536 })),
    joinFrame(encodeFrame({ type: "measure", to: null, bytes: 131_072 })),
    joinFrame(encodeFrame({ type: "payload" }, filler)),
  ],
};

/** What device c and the coordinator say to each other in an honest run: messages to damage. */
let sentByWorker: Uint8Array[] = [];
let sentByCoordinator: Uint8Array[] = [];

beforeAll(async () => {
  const sent: Uint8Array[] = [];
  const heard: Uint8Array[] = [];
  await runBeside(
    ({ host, node, connect }) => {
      const link = connect();
      const tapped: Link = {
        send: (frame) => {
          sent.push(joinFrame(frame));
          link.send(frame);
        },
        close: () => link.close(),
        onFrame: () => {},
        onClose: () => {},
      };
      link.onFrame = (frame) => {
        heard.push(joinFrame(frame));
        tapped.onFrame(frame);
      };
      link.onClose = (reason) => tapped.onClose(reason);
      new Worker(host, tapped, optionsOf(node), { onEvent: () => {}, onEnd: () => {} });
    },
    { engine: interpreterEngine },
  );
  sentByWorker = [...sent, ...measuring.worker];
  sentByCoordinator = [...heard, ...measuring.coordinator];
});

const pick = (from: readonly Uint8Array[], draw: Random): Uint8Array =>
  from[draw.below(from.length)] as Uint8Array;

describe("damaged frames", () => {
  test(`are decoded or refused in words, ${count} of them`, options, () => {
    let whole = 0;
    for (let i = 0; i < count; i++) {
      const draw = random(i + 1);
      const [from, decode] =
        i % 2 === 0
          ? ([sentByWorker, decodeWorkerFrame] as const)
          : ([sentByCoordinator, decodeCoordinatorFrame] as const);
      const original = pick(from, draw);
      const bytes = draw.below(10) === 0 ? randomBytes(draw) : damaged(original, draw);
      try {
        const frame = new Assembler().take(received(bytes), 1e6);
        if (frame !== null) decode(frame);
        whole++;
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw new Error(`frame ${i}`, { cause: error });
        expect(error.message.length).toBeLessThanOrEqual(500);
      }
    }
    expect(whole).toBeGreaterThan(count / 50);
    expect(whole).toBeLessThan(count);
  });

  test(
    "W3: chunks of a frame, damaged, dropped or doubled, give the frame or a refusal",
    options,
    () => {
      const tensor = { dtype: "uint8", shape: [100_000], data: new Uint8Array(100_000) } as const;
      const frame = encodeFrame({ type: "ready", term: 1 }, new Map([["x", tensor]]));
      let whole = 0;
      for (let i = 0; i < count / 10; i++) {
        const draw = random(i + 1);
        const cutter = new Cutter(frame);
        const assembler = new Assembler();
        try {
          while (cutter.rest > 0) {
            const chunk = joinFrame(cutter.next(16_384 + draw.below(20_000)));
            const fate = draw.below(30);
            const taken =
              fate === 0
                ? []
                : fate === 1
                  ? [chunk, chunk]
                  : fate === 2
                    ? [damaged(chunk, draw)]
                    : [chunk];
            for (const bytes of taken) {
              const complete = assembler.take(received(bytes), 1e6);
              if (complete === null) continue;
              decodeWorkerFrame(complete);
              whole++;
            }
          }
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw new Error(`frame ${i}`, { cause: error });
        }
      }
      expect(whole).toBeGreaterThan(count / 50);
      expect(whole).toBeLessThan(count / 10);
    },
  );
});

/** Bytes in use after everything that can be freed has been. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

const weightsOf = (files: ReadonlyMap<string, Uint8Array>) => [
  ...readSafetensors(present(files.get("weights.safetensors"), "weights")).tensors,
];

describe("a coordinator among strangers", () => {
  test(
    `W13, J1: refuses ${count} frames and trains the same weights, in the same memory`,
    options,
    async () => {
      const alone = await runBeside(() => {}, { engine: interpreterEngine, isAwaited: false });
      const refused = new Map<string, number>();
      let sent = 0;
      let heapAtHalf = 0;
      let heapAtEnd = 0;
      const { end, files, ofType } = await runBeside(
        ({ world, node, connect }) => {
          const draw = random(9);
          const hello = joinFrame(encodeFrame({ ...helloOf(node), token: "guess" }));
          const note = (frame: Frame): void => {
            const { message } = decodeCoordinatorFrame(frame);
            if (message.type !== "refuse") return;
            refused.set(message.reason, (refused.get(message.reason) ?? 0) + 1);
          };
          const closeLater = (old: Link): void => {
            world.at(world.now() + 10, () => old.close());
          };
          let link = connect();
          const another = (): void => {
            if (sent % 3 === 0) {
              closeLater(link);
              link = connect();
              link.onFrame = note;
            }
            const original = draw.below(3) === 0 ? hello : pick(sentByWorker, draw);
            link.send(received(draw.below(4) === 0 ? randomBytes(draw) : damaged(original, draw)));
            sent++;
            if (sent === Math.floor(count / 2)) heapAtHalf = heapBytes();
            if (sent < count) world.at(world.now() + stepMs, another);
            else heapAtEnd = heapBytes();
          };
          // From before the gathering to the last round.
          const stepMs = (0.95 * alone.world.now()) / count;
          world.at(0, another);
        },
        { engine: interpreterEngine, isAwaited: false },
      );
      expect(end).toEqual(alone.end);
      expect(weightsOf(files)).toEqual(weightsOf(alone.files));
      expect(ofType("left")).toEqual(alone.ofType("left"));
      expect(refused.get("protocol")).toBeGreaterThan(count / 10);
      for (const reason of ["version", "token"])
        expect(refused.get(reason), reason).toBeGreaterThan(0);
      expect(sent).toBe(count);
      expect(heapAtEnd - heapAtHalf).toBeLessThan(5e6);
    },
  );
});

describe("damage on the line of one device", () => {
  /** Chances per thousand of what it sends and of what it is sent. */
  const chances = [
    { sent: 60, heard: 0 },
    { sent: 0, heard: 60 },
    { sent: 30, heard: 30 },
  ];

  test("R2, R4, R10: leaves the others alone, each way and both", options, async () => {
    let damages = 0;
    let wildRuns = 0;
    let runs = 0;
    const ends = new Map<string, number>();
    for (let seed = 1; damages < count / 40; seed++) {
      let own: WorkerEnd | null = null;
      let isWild = false;
      const { end, ofType, workers } = await runBeside(
        ({ host, node, connect }) => {
          const onDamaged = (): void => {
            damages++;
          };
          const onWild = (): void => {
            isWild = true;
          };
          const chance = chances[seed % chances.length] ?? { sent: 60, heard: 60 };
          const link = damagingLink(connect(), { seed, ...chance, onDamaged, onWild });
          new Worker(host, link, optionsOf(node), {
            onEvent: () => {},
            onEnd: (value) => {
              own = value;
            },
          });
        },
        { engine: interpreterEngine },
      );
      const at = `seed ${seed}`;
      runs++;
      if (isWild) {
        wildRuns++;
        continue;
      }
      expect(`${end?.reason}: ${end?.text}`, at).toBe("finished: 4 rounds");
      expect(
        ofType("left").filter(({ name }) => name !== "c"),
        at,
      ).toEqual([]);
      for (const { participants } of ofType("round")) {
        expect(
          participants.map(({ node }) => node),
          at,
        ).toEqual(expect.arrayContaining(["a", "b"]));
      }
      for (const { reason } of workers.values()) expect(reason, at).toBe(end?.reason);
      const reason = (own as WorkerEnd | null)?.reason ?? "none";
      ends.set(reason, (ends.get(reason) ?? 0) + 1);
    }
    // Some damage ends the device, and some is borne.
    expect(ends.size).toBeGreaterThan(1);
    expect(wildRuns).toBeLessThan(runs / 3);
  });
});
