import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyPipelineRequest,
  edgeServer,
  evenProfile,
  fleetNode,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { soundPlan } from "../../test/sound-plan.ts";
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import type { LinkCodecName } from "../codec/link-codec.ts";
import { featureReplay, featureReplayForecast, featureReplayMove } from "./feature-replay.ts";
import { trainingBytes } from "./memory.ts";
import type { FleetLink, FleetNode, Plan, PlanRequest } from "./plan.ts";
import { decideMove, prompt } from "./replan.ts";

const rows = 32;
/** Features that shrink with depth, some with many values: 32 samples of 4000, 2000, ... bytes. */
const segments = [1000, 500, 250, 125, 60, 10].map((values, i) => ({
  ...segmentCost(i, 0, { parameterBytes: 1000, stateBytes: 1000, forwardFlops: 1e9 }),
  outputs: [
    { name: `value ${i}`, dtype: "float32" as const, shape: [rows, values], hasGradient: true },
  ],
}));
const phone = fleetNode("phone", evenProfile(6, 60));
const cloud = edgeServer(evenProfile(6, 3));

function request(
  { up, down = up, ms = 2 }: { up: number; down?: number; ms?: number },
  more: Partial<PlanRequest> = {},
  nodes: readonly FleetNode[] = [phone, cloud],
): PlanRequest {
  const [from, to] = [phone.id, cloud.id];
  const link: FleetLink = { from, to, thereBytesPerMs: up, backBytesPerMs: down, latencyMs: ms };
  const fleet = { nodes, links: [link], cellBytesPerMs: null };
  return { ...planRequest(segments, nodes, null, { work: 100, ...more }), fleet };
}

const cutOf = (plan: Plan): number => plan.copies[0]?.to ?? 0;
const codecsOf = (plan: Plan): (LinkCodecName | undefined)[] => [
  plan.links[0]?.codecUp,
  plan.links[0]?.codecDown,
];
const roundOf = (plan: Plan): number => plan.forecasts[0]?.roundMs ?? Number.NaN;

/** Every plan that there could be, by cut, codecs and backward pass, as its forecast says. */
function everyRoundMs(asked: PlanRequest, codecs: readonly LinkCodecName[]): number[] {
  const base = featureReplay(asked);
  const [device, server] = [phone.id, cloud.id];
  const rounds: number[] = [];
  for (let cut = 1; cut < asked.segments.length; cut++) {
    for (const codecUp of codecs) {
      for (const codecDown of codecs) {
        for (const backward of ["stored", "replay"] as const) {
          for (const window of [0, 1, 2, 3, 4, 6, 9]) {
            const copies = [
              { ...(base.copies[0] as Plan["copies"][0]), node: device, from: 0, to: cut },
              { ...(base.copies[1] as Plan["copies"][0]), node: server, from: cut, to: 6 },
            ];
            const chain = { ...(base.chains[0] as Plan["chains"][0]), window };
            const stages = chain.stages.map((stage, i) => (i > 0 ? stage : { ...stage, backward }));
            const links = base.links.map((link) => ({ ...link, codecUp, codecDown }));
            const plan = { ...base, copies, links, chains: [{ ...chain, stages }] };
            rounds.push(featureReplayForecast(plan, asked)?.roundMs ?? Number.NaN);
          }
        }
      }
    }
  }
  return rounds;
}

describe("feature replay", () => {
  test("codes where the link is slow, and not where it is fast", () => {
    const slow = featureReplay(request({ up: 50 }));
    expect(codecsOf(slow)).toEqual(["affine8", "affine8"]);
    expect(slow.reason).toMatch(/features travel as affine8 .* x as long/);
    const fast = featureReplay(request({ up: 1e6 }));
    expect(codecsOf(fast)).toEqual(["float32", "float32"]);
    expect(roundOf(fast)).toBeLessThan(roundOf(slow));
  });

  test("codes each way by what that way carries", () => {
    const plan = featureReplay(request({ up: 20_000, down: 100 }));
    expect(codecsOf(plan)).toEqual(["float32", "affine8"]);
  });

  test.each([60, 300, 2000, 30_000])(
    "is within its tolerance of every other plan at %d B/ms",
    (up) => {
      const codecs = ["float32", "float16", "affine8", "affine4"] as const;
      const asked = request({ up, down: 3 * up }, { featureReplay: { up: codecs, down: codecs } });
      const plan = featureReplay(asked);
      const least = Math.min(...everyRoundMs(asked, codecs));
      expect(roundOf(plan)).toBeLessThanOrEqual(least * 1.0101);
    },
  );

  test("forecasts its own plan as it was planned", () => {
    for (const up of [50, 1000, 1e6]) {
      const asked = request({ up });
      const plan = featureReplay(asked);
      expect(featureReplayForecast(plan, asked)?.roundMs).toBeCloseTo(roundOf(plan), 6);
    }
  });

  test("keeps so many segments on the device as a privacy floor asks", () => {
    const free = featureReplay(request({ up: 1e6 }));
    expect(cutOf(free)).toBe(1);
    expect(cutOf(featureReplay(request({ up: 1e6 }, { split: { cutMin: 4 } })))).toBe(4);
    // Above all segments it trains alone.
    const alone = featureReplay(request({ up: 1e6 }, { split: { cutMin: 9 } }));
    expect(alone.copies).toHaveLength(1);
  });

  test("trains alone where the link is of no use, and says so", () => {
    const plan = featureReplay(request({ up: 0.01 }));
    expect(plan.copies).toHaveLength(1);
    expect(plan.reason).toContain("phone trains alone");
    expect(plan.reason).toContain("nothing travels but weights");
  });

  test("computes activations anew where memory holds those of few batches", () => {
    const heavy = segments.map((cost) => ({ ...cost, savedBytes: 2e6 }));
    const needed = trainingBytes(heavy, 0, 1, { hasLoss: false, recompute: false });
    const small = { ...phone, memoryBytes: needed + 1e6 };
    const link = request({ up: 500, ms: 200 }, {}, [small, cloud]);
    const plan = featureReplay({ ...link, segments: heavy });
    expect(plan.chains[0]?.stages[0]?.backward).toBe("replay");
    expect(plan.chains[0]?.window).toBeGreaterThan(1);
    expect(plan.reason).toContain("activations are computed anew");
    const roomy = featureReplay({ ...request({ up: 500, ms: 200 }), segments: heavy });
    expect(roomy.chains[0]?.stages[0]?.backward).toBe("stored");
  });

  test("counts what codecs remember of samples as memory of the device", () => {
    const up = ["affine8+delta", "affine8"] as const;
    const asked = (memoryBytes: number | null, samples: number | null): PlanRequest =>
      request({ up: 1000 }, { featureReplay: { up, down: ["affine8"] }, codecSamples: samples }, [
        { ...phone, memoryBytes },
        cloud,
      ]);
    // 4,000 bytes of each of 10,000 samples behind the first segment, 240 behind the last but one.
    const remembers = (memoryBytes: number | null, samples: number | null) => {
      const plan = featureReplay(asked(memoryBytes, samples));
      return { cut: cutOf(plan), codec: codecsOf(plan)[0] };
    };
    const free = remembers(null, 10_000);
    expect(free.codec).toBe("affine8+delta");
    expect(remembers(60e6, null)).toEqual(free);
    expect(remembers(38e6, 10_000)).toEqual({ cut: free.cut, codec: "affine8" });
  });

  test("keeps to a device's energy, and saves bytes where they have a price", () => {
    const both = ["float32", "affine8"] as const;
    const choice = { up: both, down: both };
    const free = request({ up: 5000 }, { featureReplay: choice });
    expect(codecsOf(featureReplay(free))).toEqual(["float32", "float32"]);
    const priced = { ...free, featureReplay: { ...choice, msPerMB: 1e4 } };
    expect(codecsOf(featureReplay(priced))).toEqual(["affine8", "affine8"]);
    const energy = { computeWatts: 10, joulesPerByte: 1e-6, joulesPerRound: 75 };
    const limited = featureReplay(request({ up: 5000 }, {}, [{ ...phone, energy }, cloud]));
    // 10 W for 60 ms are 0.6 J a batch, and two times 128 kB at a microjoule a byte another 0.26.
    expect(codecsOf(limited)).not.toEqual(["float32", "float32"]);
    const none = { ...energy, joulesPerRound: 1 };
    const asked = request({ up: 5000 }, {}, [{ ...phone, energy: none }, cloud]);
    expect(() => featureReplay(asked)).toThrow(PlanError);
  });

  test("counts what a batch's bytes and energy are worth in what a move saves", () => {
    const both = ["float32", "affine8"] as const;
    const choice = { up: both, down: both };
    const plan = featureReplay(request({ up: 5000 }, { featureReplay: choice }));
    const priced = request({ up: 5000 }, { featureReplay: { ...choice, msPerMB: 1e4 } });
    const now = present(featureReplayForecast(plan, priced), "a forecast");
    const next = present(featureReplayMove(plan, priced, 1000), "a move").forecast;
    expect(featureReplayForecast(plan, request({ up: 5000 }))?.priceMs).toBeCloseTo(0);
    // A quarter of the bytes, or less with another cut.
    expect(now.priceMs).toBeGreaterThan(3 * (next.priceMs ?? Number.POSITIVE_INFINITY));
    const question = { now, next, batches: 1000, movingMs: 0, agreed: 1, hysteresis: prompt };
    const { decision, reason } = decideMove(question);
    expect([decision, reason]).toEqual(["move", expect.stringContaining("at its price")]);
    const unpriced = { ...question, now: { ...now, priceMs: 0 }, next: { ...next, priceMs: 0 } };
    expect(decideMove(unpriced).decision).toBe("stay");
  });

  test("moves weights only where it pays, and changes codecs for nothing", () => {
    // The way home takes a second for each segment.
    const heavy = segments.map((cost) => ({ ...cost, parameterBytes: 2e5, stateBytes: 2e5 }));
    const asked = (up: number, more: Partial<PlanRequest> = {}): PlanRequest => {
      const nodes = [phone, cloud].map((node) => ({
        ...node,
        coordinatorBytesPerMs: { up: 400, down: 400 },
      }));
      return { ...request({ up }, more, nodes), segments: heavy };
    };
    const privately = { split: { cutMin: 3 } };
    const plan = featureReplay(asked(400, privately));
    expect(cutOf(plan)).toBe(3);
    const soon = featureReplayMove(plan, asked(100), 10);
    expect(soon && cutOf(soon.toPlan())).toBe(3);
    const later = featureReplayMove(plan, asked(1e5), 1e6);
    expect(later && cutOf(later.toPlan())).toBe(1);
    const coded = featureReplayMove(plan, asked(100, { split: { cutMin: 3 } }), 10);
    expect(coded?.movingMs).toBe(0);
    const next = coded?.toPlan() ?? plan;
    expect(codecsOf(next)).toEqual(["affine8", "affine8"]);
    expect(codecsOf(next)).not.toEqual(codecsOf(plan));
    expect(featureReplayMove(next, asked(100, privately), 10)).toBeNull();
  });

  test("makes plans that hold together for any fleet", () => {
    fc.assert(
      fc.property(anyPipelineRequest(2, 5), (any) => {
        const plan = soundPlan(featureReplay, any);
        if (!(plan instanceof PlanError)) expect(plan.copies.length).toBeLessThanOrEqual(2);
      }),
    );
  });
});
