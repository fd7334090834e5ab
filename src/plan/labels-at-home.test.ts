/** Plans whose chains end on the device where they began, whichever scheme has made them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  edgeServer,
  evenProfile,
  fleetNode,
  judgedMs,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { alternatingSplit } from "./alternating-split.ts";
import { checkPlan } from "./check.ts";
import { perDeviceCut, splitFed } from "./equal-shares.ts";
import { chooseJointly } from "./joint-choice.ts";
import { linkRate } from "./link-rate.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { scaledProfile } from "./program-time.ts";
import { sequentialSplit } from "./sequential-split.ts";
import { splitBoundMs } from "./split-bound.ts";
import { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";

const atHome = (request: PlanRequest, more: object = {}): PlanRequest => ({
  ...request,
  split: { labels: "at-home", ...more },
});

/** Features of so many values behind each segment, all of which are trained. */
const segmentsOf = (...values: readonly number[]) =>
  values.map((count, i) => segmentCost(i, count, { parameterBytes: 80, stateBytes: 80 }));
const server = edgeServer(evenProfile(5, 0.1));
const partsOf = (plan: Plan) => plan.copies.map(({ node, from, to }) => [node, from, to]);

describe("labels at home", () => {
  test("leave the server what lies between the two narrowest borders that leave it work", () => {
    const device = fleetNode("phone", evenProfile(5, 10));
    const request = planRequest(segmentsOf(50, 5000, 5000, 40, 10), [server, device], 10);
    const plan = parallelSplit(atHome(request));
    checkPlan(plan, 5, request.fleet);
    expect(partsOf(plan)).toEqual([
      ["phone", 0, 1],
      ["edge", 1, 4],
      ["phone", 4, 5],
    ]);
    expect(plan.links.map(({ from, to }) => [from, to])).toEqual([
      ["phone", "edge"],
      ["edge", "phone"],
    ]);
    expect(plan.forecasts[0]?.reason).toMatch(
      /^cut 1, segment 5 and its labels keep 40 % of its time;/,
    );
  });

  test("leave the server without a share of its own: what it sends keeps to each device's", () => {
    const devices = [1, 2].map((i) => fleetNode(`phone-${i}`, evenProfile(5, 10)));
    const request = planRequest(segmentsOf(50, 5000, 5000, 40, 10), [server, ...devices], 10);
    const plan = parallelSplit(atHome(request));
    expect(linkRate(plan, server.id, "up")).toBeNull();
    const shares = devices.map(({ id }) => linkRate(plan, id, "down") ?? 0);
    expect(shares.reduce((a, b) => a + b)).toBeCloseTo(10, 6);
  });

  test("a round takes what was worked out by hand", () => {
    const time = { forwardMs: 3, backwardMs: 5, updateMs: 1 };
    const profile = { segments: [time, time, time], runMs: 0, callMs: 0 };
    const far = { forwardMs: 1, backwardMs: 2, updateMs: 1 };
    const edge = edgeServer({ segments: [far, far, far], runMs: 0, callMs: 0 });
    const phone = fleetNode("phone", profile, { latencyMs: 2, ceilingBytesPerMs: 10 });
    const request = planRequest(segmentsOf(50, 25, 10), [edge, phone], null, {
      work: 2,
      labelBytes: 1e6,
    });
    const [forecast] = parallelSplit(atHome(request)).forecasts;
    // A batch: 9 ms before and 9 behind, 4 ms on the server; 200 and 100 bytes each way, heads of 200; four delays.
    // Weights of two segments come and go: 160 bytes each, with a delay each way.
    expect(forecast?.computeMs).toBeCloseTo(2 * (18 + 4), 9);
    expect(forecast?.roundMs).toBeCloseTo(2 * (22 + 140 + 8) + 2 * 32 + 4, 9);
  });

  test("say why there is no plan", () => {
    const phone = (segments: number, more: object = {}) =>
      fleetNode("phone", evenProfile(segments, 10), more);
    const plan = (values: number[], more: object = {}, split: object = {}) =>
      parallelSplit(
        atHome(
          planRequest(
            segmentsOf(...values),
            [edgeServer(evenProfile(values.length, 1)), phone(values.length, more)],
            10,
          ),
          split,
        ),
      );
    expect(() => plan([50, 10])).toThrow(
      "devices are to keep 1 segment and the last one at least, and the model has 2, which leaves the server none",
    );
    expect(() => plan([50, 50, 10], { memoryBytes: 1000 })).toThrow(
      /phone has 1.0 kB of memory; the smallest part of the model that a cut leaves it takes 70.0 MB/,
    );
    expect(() => plan([50, 50, 10], {}, { serverCopies: "shared" })).toThrow(
      "devices that keep their labels need a server's copy each",
    );
  });

  const schemes = { parallelSplit, splitFed, perDeviceCut, alternatingSplit, sequentialSplit };
  test.each(Object.entries(schemes))(
    "every plan of %s ends at home, and is judged as it says",
    (_, planner) => {
      fc.assert(
        fc.property(anyRequest(3, 5), fc.boolean(), (given, mayShareFreely) => {
          const request = atHome(given, { mayShareFreely });
          if (request.segments.length < 3) {
            expect(() => planner(request)).toThrow(PlanError);
            return;
          }
          const plan = planner(request);
          checkPlan(plan, request.segments.length, request.fleet);
          const nodeOf = new Map(plan.copies.map(({ id, node }) => [id, node]));
          for (const { source, stages } of plan.chains) {
            expect(stages.map(({ copy }) => nodeOf.get(copy))).toEqual([source, server.id, source]);
          }
          const rounds = plan.forecasts.map(({ roundMs }) => roundMs);
          const isInTurn = planner === sequentialSplit;
          const ms = isInTurn ? rounds.reduce((a, b) => a + b) : Math.max(...rounds);
          expect(Math.abs(judgedMs(plan, request) - ms)).toBeLessThanOrEqual(1e-6 * ms);
          if (!mayShareFreely)
            expect(ms).toBeGreaterThanOrEqual(splitBoundMs(request) * (1 - 1e-6));
        }),
        { numRuns: 40 },
      );
    },
  );

  test("take the shortest round of all pairs of cuts", () => {
    fc.assert(
      fc.property(anyRequest(2, 5), (given) => {
        if (given.segments.length < 3) return;
        // With a server that nobody waits for, nothing is relaxed.
        const nodes = given.fleet.nodes.map((node) =>
          node.kind === "edge"
            ? { ...node, profile: scaledProfile(node.profile, (ms) => 1e-7 * ms) }
            : node,
        );
        const more = { codecUp: "float32" as const };
        const request = atHome({ ...given, ...more, fleet: { ...given.fleet, nodes } });
        const model = new SplitModel(request);
        const edge = present(model.servers[0], "a server");
        const all = model.devices.map((device) => model.options(device, edge));
        const combined = all.reduce<SplitOption[][]>(
          (before, own) => before.flatMap((chosen) => own.map((option) => [...chosen, option])),
          [[]],
        );
        const roundOf = (chosen: readonly SplitOption[]): number =>
          chooseJointly({
            cell: model.cell,
            servers: [{ link: model.linkOf(edge), idleMs: 0 }],
            devices: chosen.map((option, i) => ({
              options: [option],
              link: model.linkOf(present(model.devices[i], "a device")),
              server: 0,
            })),
          }).leastMs;
        const least = Math.min(...combined.map(roundOf));
        expect(judgedMs(parallelSplit(request), request)).toBeLessThanOrEqual(least * (1 + 1e-4));
      }),
      { numRuns: 40 },
    );
  });

  test("keep to a device's own number of batches, and to its energy", () => {
    const segments = segmentsOf(50, 5000, 5000, 40, 10);
    const device = fleetNode("phone", evenProfile(5, 10), { work: 3 });
    const energy = { computeWatts: 10, joulesPerByte: 0, joulesPerRound: 0 };
    const planned = (own: typeof device) =>
      parallelSplit(atHome(planRequest(segments, [server, own], 10)));
    const [chain] = planned(device).chains;
    expect(chain?.work).toBe(3);
    // Two segments of 10 ms for three batches: 0.6 J.
    const limited = (joulesPerRound: number) => ({
      ...device,
      energy: { ...energy, joulesPerRound },
    });
    expect(() => planned(limited(0.61))).not.toThrow();
    expect(() => planned(limited(0.59))).toThrow("phone may spend 1 J a round; the cut that takes");
  });
});
