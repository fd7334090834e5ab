import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  anyRequest,
  cutsOf,
  edgeServer,
  evenProfile,
  fleetNode,
  judgedMs,
  narrowingSegments,
  planRequest,
  segmentCost,
} from "../../test/fleets.ts";
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { random } from "../base/random.ts";
import { checkPlan } from "./check.ts";
import { codingSpeed, decodeMs, encodeMs } from "./coding.ts";
import { chooseJointly } from "./joint-choice.ts";
import { linkRate } from "./link-rate.ts";
import { trainingBytes } from "./memory.ts";
import { parallelSplit } from "./parallel-split.ts";
import type { Plan, PlanRequest } from "./plan.ts";
import { scaledProfile } from "./program-time.ts";
import { SplitModel } from "./split-model.ts";
import type { SplitOption } from "./split-option.ts";

// Features of 4000, 2000, 400, 40 bytes.
const narrowing = narrowingSegments(1000, 500, 100, 10);
const quick = evenProfile(4, 0.1);

/** What a segment of some milliseconds computes; by that, codecs have their speed. */
const realFlops = { forwardFlops: 1e8, backwardFlops: 2e8 };

describe("parallel-split", () => {
  test("forecasts a round as worked out by hand", () => {
    const segments = [
      segmentCost(0, 250, { ...realFlops, parameterBytes: 100, stateBytes: 100 }),
      segmentCost(1, 10, realFlops),
    ];
    const time = { forwardMs: 3, backwardMs: 5, updateMs: 1 };
    const serverTime = { forwardMs: 2, backwardMs: 3, updateMs: 1 };
    const device = fleetNode(
      "phone",
      { segments: [time, time], runMs: 0.75, callMs: 0.25 },
      {
        duty: 0.5,
        latencyMs: 2,
        ceilingBytesPerMs: 42.8,
      },
    );
    const server = edgeServer({ segments: [serverTime, serverTime], runMs: 0.25, callMs: 0.25 });
    const plan = parallelSplit(
      planRequest(segments, [device, server], null, {
        work: 2,
        labelBytes: 40,
        codecUp: "float16",
      }),
    );
    // Device (3.75 + 5.75 + 1.75) / 0.5 + 3 * 0.25, server 0.5 + 6, two batches, whose features
    // are coded on one and decoded on the other; six one-way delays of 2 ms.
    const speeds = [device, server].map(({ profile }) => codingSpeed(profile, segments));
    const [own = 1, far = 1] = speeds;
    const codingMs = encodeMs("float16", 1000, own) + decodeMs("float16", 1000, far);
    expect(plan.forecasts[0]?.computeMs).toBeCloseTo(2 * (23.25 + 6.5 + codingMs), 9);
    // 2 (500 + 40 + 1000 + 2 x 200 of heads) + 2 (100 + 100) = 4280 bytes at 42.8 bytes per ms.
    expect(plan.forecasts[0]?.transferMs).toBeCloseTo(6 * 2 + 100, 9);
    expect(plan.forecasts[0]?.roundMs).toBeCloseTo(171.5 + 2 * codingMs, 9);
  });

  test("lays out one chain of two stages per device, in the order of the fleet", () => {
    const nodes = [fleetNode("b", quick), edgeServer(quick, { duty: 0.5 }), fleetNode("a", quick)];
    const plan = parallelSplit(planRequest(narrowing, nodes, 100, { term: 7, work: 3 }));
    const [cutB, cutA] = cutsOf(plan);
    expect(plan.term).toBe(7);
    expect(plan.copies).toEqual([
      { id: "copy:b", node: "b", from: 0, to: cutB, mode: "train" },
      { id: "copy:edge:b", node: "edge", from: cutB, to: 4, mode: "train" },
      { id: "copy:a", node: "a", from: 0, to: cutA, mode: "train" },
      { id: "copy:edge:a", node: "edge", from: cutA, to: 4, mode: "train" },
    ]);
    expect(plan.chains.map(({ id, source, work }) => ({ id, source, work }))).toEqual([
      { id: "chain:b", source: "b", work: 3 },
      { id: "chain:a", source: "a", work: 3 },
    ]);
    expect(plan.chains[0]?.stages).toEqual([
      { copy: "copy:b", backward: "stored" },
      { copy: "copy:edge:b", backward: "none" },
    ]);
    expect(plan.groups).toEqual([
      {
        members: ["copy:b", "copy:edge:b", "copy:a", "copy:edge:a"],
        policy: "average",
        when: "round",
      },
    ]);
    expect(plan.limits).toEqual([
      { node: "b", duty: 1 },
      { node: "edge", duty: 0.5 },
      { node: "a", duty: 1 },
    ]);
  });

  test("gives unequal devices different cuts", () => {
    const nodes = [
      edgeServer(quick),
      fleetNode("fast", quick),
      fleetNode("slow", evenProfile(4, 100)),
    ];
    const [fast, slow] = cutsOf(parallelSplit(planRequest(narrowing, nodes, 100)));
    expect(fast).toBe(3);
    expect(slow).toBeLessThan(3);
  });

  test("keeps every device within its memory, and says so", () => {
    const heavy = narrowing.map((cost) => ({ ...cost, savedBytes: 3e6 }));
    // One segment: 35 MB of the session and 4 x 3 MB; two need 59 MB.
    const node = fleetNode("small", quick, { memoryBytes: 50e6 });
    const plan = parallelSplit(planRequest(heavy, [node, edgeServer(quick)], 10));
    expect(cutsOf(plan)).toEqual([1]);
    expect(plan.forecasts[0]?.reason).toContain("its memory of 50.0 MB allows no more");
    const roomy = { ...node, memoryBytes: 1e9 };
    const freely = parallelSplit(planRequest(heavy, [roomy, edgeServer(quick)], 10));
    expect(cutsOf(freely)).toEqual([3]);
    expect(freely.forecasts[0]?.reason).not.toContain("memory");
  });

  test("float16 features cost half the transfer of float32 ones, heads of frames aside", () => {
    const nodes = [fleetNode("a", quick), edgeServer(quick)];
    const segments = narrowing.slice(0, 2).map((s) => ({ ...s, parameterBytes: 5, stateBytes: 0 }));
    const small = nodes.map((node) => ({ ...node, profile: evenProfile(2, 0.1) }));
    const transferMs = (codec: "float32" | "float16") =>
      parallelSplit(planRequest(segments, small, 10, { codecUp: codec, codecDown: codec }))
        .forecasts[0]?.transferMs;
    expect(transferMs("float32")).toBeCloseTo((8000 + 2 * 200 + 10) / 10, 6);
    expect(transferMs("float16")).toBeCloseTo((4000 + 2 * 200 + 10) / 10, 6);
  });

  test("counts the server's processor once for all devices, and has them wait for it", () => {
    // The server takes 30 ms for what the devices do in 12; each of two keeps all that it may.
    const nodes = [
      edgeServer(evenProfile(4, 30)),
      ...["a", "b"].map((name) => fleetNode(name, evenProfile(4, 3))),
    ];
    const plan = parallelSplit(planRequest(narrowing, nodes, null, { work: 4 }));
    expect(cutsOf(plan)).toEqual([3, 3]);
    // Eight batches of 30 ms one after the other, between a first and a last one's time on a device.
    const roundMs = plan.forecasts.map((forecast) => forecast.roundMs);
    expect(Math.max(...roundMs)).toBeCloseTo(3 + 8 * 30 + 6, 6);
    expect(plan.forecasts[0]?.computeMs).toBeCloseTo(plan.forecasts[0]?.roundMs ?? 0, 6);
  });

  test("keeps as many segments on devices as the job wants, and lets them keep all", () => {
    const slow = fleetNode("slow", evenProfile(4, 100));
    const nodes = [edgeServer(quick), fleetNode("fast", quick), slow];
    const cuts = (split: PlanRequest["split"]) =>
      cutsOf(parallelSplit(planRequest(narrowing, nodes, 1e5, split && { split })));
    expect(cuts(undefined)[1]).toBe(1);
    expect(cuts({ cutMin: 3 })).toEqual([3, 3]);
    expect(cuts({ mayKeepAll: true })).toEqual([4, 1]);
    expect(cuts({ cutMin: 4, mayKeepAll: true })).toEqual([4, 4]);
    expect(() => cuts({ cutMin: 4 })).toThrow("devices are to keep 4 segments at least");
  });

  test("a device that keeps all is a chain of one stage, whose link carries weights alone", () => {
    const nodes = [edgeServer(quick), fleetNode("fast", quick)];
    const request = planRequest(narrowing, nodes, 100, { split: { mayKeepAll: true, cutMin: 4 } });
    const plan = parallelSplit(request);
    checkPlan(plan, 4, request.fleet);
    expect(plan.copies).toEqual([{ id: "copy:fast", node: "fast", from: 0, to: 4, mode: "train" }]);
    expect(plan.chains[0]?.stages).toEqual([{ copy: "copy:fast", backward: "none" }]);
    expect(plan.links[0]).toMatchObject({ from: "fast", to: "edge", bytesPerMs: 100 });
    // 4 x 160 bytes each way, and four segments of 0.1 ms.
    expect(plan.forecasts[0]?.roundMs).toBeCloseTo((2 * 640) / 100 + 0.4, 6);
    expect(plan.forecasts[0]?.reason).toContain("keeps all segments");
  });

  test("keeps every device within the energy of a round", () => {
    const energy = { computeWatts: 10, joulesPerByte: 0, joulesPerRound: 1 };
    const device = (more: object) => fleetNode("phone", evenProfile(4, 50), more);
    const cuts = (joulesPerRound: number) =>
      cutsOf(
        parallelSplit(
          planRequest(
            narrowing,
            [edgeServer(quick), device({ energy: { ...energy, joulesPerRound } })],
            10,
          ),
        ),
      );
    // 0.5 J a segment; the deepest cut is the fastest in a cell so thin.
    expect(cuts(1.5)).toEqual([3]);
    expect(cuts(1.4)).toEqual([2]);
    expect(() => cuts(0.4)).toThrow(
      "phone may spend 0 J a round; the cut that takes the least takes 1 J",
    );
  });

  test("has uplink and downlink apart where the fleet says so", () => {
    const nodes = [edgeServer(quick), fleetNode("a", quick)];
    const request = planRequest(narrowing, nodes, 40);
    const wide = { ...request, fleet: { ...request.fleet, cellDownBytesPerMs: 400 } };
    const plan = parallelSplit(wide);
    expect(plan.links[0]).toMatchObject({ bytesPerMs: 40, backBytesPerMs: 400 });
    const device = present(plan.chains[0], "a chain").source;
    expect([linkRate(plan, device, "up"), linkRate(plan, device, "down")]).toEqual([40, 400]);
    expect(parallelSplit(request).links[0]).not.toHaveProperty("backBytesPerMs");
    const roundMs = (one: Plan) => one.forecasts[0]?.roundMs ?? 0;
    expect(roundMs(plan)).toBeLessThan(roundMs(parallelSplit(request)));
  });

  test("keeps raw data on the device: no cut before the first trained segment", () => {
    const untrained = { parameterBytes: 0, stateBytes: 0 };
    const segments = narrowing.map((cost, i) => (i < 2 ? { ...cost, ...untrained } : cost));
    const slow = evenProfile(4, 1000);
    const plan = parallelSplit(
      planRequest(segments, [fleetNode("a", slow), edgeServer(quick)], null),
    );
    expect(cutsOf(plan)).toEqual([3]);
  });

  test("is a plan that holds together, for any fleet, and the same plan each time", () => {
    fc.assert(
      fc.property(anyRequest(4, 5), (request) => {
        const plan = parallelSplit(request);
        checkPlan(plan, request.segments.length, request.fleet);
        expect(parallelSplit(structuredClone(request))).toEqual(plan);
        for (const { computeMs, transferMs, roundMs } of plan.forecasts) {
          expect(transferMs).toBeGreaterThanOrEqual(-1e-9);
          expect(computeMs + transferMs).toBeCloseTo(roundMs, 6);
        }
      }),
    );
  });

  test("respects memory for any fleet, or says whose is too small", () => {
    fc.assert(
      fc.property(
        anyRequest(3, 5),
        fc.array(fc.integer({ min: 1, max: 40_000 })),
        (request, mb) => {
          const nodes = request.fleet.nodes.map((node, i) => ({
            ...node,
            memoryBytes: node.kind === "device" ? (mb[i] ?? null) : null,
          }));
          const { segments } = request;
          let plan: Plan;
          try {
            plan = parallelSplit({ ...request, fleet: { ...request.fleet, nodes } });
          } catch (error) {
            expect(error).toBeInstanceOf(PlanError);
            const { message } = error as PlanError;
            const blamed = nodes.find((node) => message.startsWith(`${node.name} `));
            const smallest = trainingBytes(segments, 0, 1, { hasLoss: false, recompute: false });
            expect(smallest).toBeGreaterThan(blamed?.memoryBytes ?? Number.POSITIVE_INFINITY);
            return;
          }
          for (const { node, from, to } of plan.copies.filter((copy) => copy.from === 0)) {
            const { memoryBytes } = nodes.find(({ id }) => id === node) ?? {};
            const needed = trainingBytes(segments, from, to, { hasLoss: false, recompute: false });
            expect(needed).toBeLessThanOrEqual(memoryBytes ?? Number.POSITIVE_INFINITY);
          }
        },
      ),
    );
  });

  test.each([
    ["time to spare", 0.0005, 1000],
    ["more work than it has time for", 0.1, 3000],
  ])("plans a thousand devices with fifty cuts each on a server with %s", (_, ms, limitMs) => {
    const draw = random(1);
    const segments = Array.from({ length: 51 }, (_, i) =>
      segmentCost(i, 1 + draw.below(10_000), { parameterBytes: draw.below(100_000) }),
    );
    const nodes = Array.from({ length: 1000 }, (_, i) =>
      fleetNode(`device ${i}`, evenProfile(51, 0.1 + 5 * draw.uniform()), {
        ceilingBytesPerMs: i % 2 === 0 ? null : 100 + draw.below(1000),
      }),
    );
    const request = planRequest(segments, [edgeServer(evenProfile(51, ms)), ...nodes], 25_000, {
      work: 8,
    });
    // Processor time: other programs may run beside a test. The benchmark has the figures.
    const before = process.cpuUsage();
    const plan = parallelSplit(request);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(limitMs);
    checkPlan(plan, 51, request.fleet);
  });
});

describe("parallel-split's reasons", () => {
  const four = [
    edgeServer(quick),
    fleetNode("fast", evenProfile(4, 8)),
    fleetNode("slow", evenProfile(4, 8), { duty: 1 / 16 }),
    fleetNode("thin", evenProfile(4, 8), { ceilingBytesPerMs: 5 }),
  ];
  const reasonsOf = (plan: Plan) => plan.forecasts.map(({ reason }) => reason);

  test("say how fast a device is, what it keeps and what decided its rate", () => {
    const [fast, slow, thin] = reasonsOf(parallelSplit(planRequest(narrowing, four, 70)));
    expect(fast).toContain("as fast as any; cut 3 keeps 75 % of its time;");
    expect(slow).toMatch(/^slow: 16 x slower than the fastest; cut \d keeps \d+ % of its time;/);
    expect(slow).toMatch(/Mbit\/s of the cell's 0.56 Mbit\/s because it moves [\d.]+ kB a round$/);
    expect(thin).toContain("0.04 Mbit/s, all that its own link carries");
  });

  test("name computing where that and not the features made the rate larger", () => {
    const segments = narrowing.slice(0, 2);
    const nodes = [
      edgeServer(evenProfile(2, 0.1)),
      fleetNode("fast", evenProfile(2, 1)),
      fleetNode("slow", evenProfile(2, 50)),
    ];
    const [fast, slow] = reasonsOf(parallelSplit(planRequest(segments, nodes, 100)));
    expect(slow).toMatch(/because computing leaves it \d+ ms for transfer$/);
    expect(fast).toMatch(/because computing leaves it \d+ ms for transfer$/);
  });

  test("say that nothing limits a link where nothing does", () => {
    const nodes = [edgeServer(quick), fleetNode("a", quick)];
    const plan = parallelSplit(planRequest(narrowing, nodes, null));
    expect(plan.links[0]?.bytesPerMs).toBeNull();
    expect(reasonsOf(plan)[0]).toContain("its link has no limit");
  });

  test("say for the whole plan what decides the round", () => {
    const reason = (cell: number | null, nodes = four) =>
      parallelSplit(planRequest(narrowing, nodes, cell)).reason;
    expect(reason(1)).toContain("that they share decide it");
    expect(reason(null)).toContain("thin decides it, whose own link takes most of it");
    expect(reason(null, four.slice(0, 3))).toContain(
      "slow decides it, which computes for most of it",
    );
  });

  test("say how busy the server is, and how long devices wait for it", () => {
    const slowServer = edgeServer(evenProfile(4, 50));
    const nodes = [slowServer, ...four.slice(1, 2), fleetNode("twin", evenProfile(4, 8))];
    const plan = parallelSplit(planRequest(narrowing, nodes, null));
    // Each keeps three segments, 24 ms; the server has 50 ms for each, and one of them waits.
    expect(plan.reason).toContain(
      "edge is busy for 100 ms of it, and devices wait for it up to 50 ms",
    );
    expect(parallelSplit(planRequest(narrowing, four, 100)).reason).toContain("edge is busy for");
  });

  test("name devices that hold no data and so take no part", () => {
    const nodes = [...four, fleetNode("empty", quick, { samples: 0 })];
    const plan = parallelSplit(planRequest(narrowing, nodes, 100));
    expect(plan.chains).toHaveLength(3);
    expect(plan.reason).toContain("without data and so without work: empty");
  });
});

describe("parallel-split refuses", () => {
  const device = fleetNode("phone", quick);
  const server = edgeServer(quick);
  const refusal = (...args: Parameters<typeof planRequest>) => {
    try {
      return parallelSplit(planRequest(...args)).reason;
    } catch (error) {
      expect(error).toBeInstanceOf(PlanError);
      return (error as PlanError).message;
    }
  };

  test.each([
    ["a fleet without a server", [device], "needs an edge server"],
    ["a fleet without data", [server, { ...device, samples: 0 }], "a device with training data"],
    [
      "a profile of another model",
      [server, { ...device, profile: evenProfile(3, 1) }],
      "phone profiled 3 segments, the model has 4",
    ],
    ["a duty of nothing", [server, { ...device, duty: 0 }], "phone has a duty of 0"],
    [
      "a link that carries nothing",
      [server, { ...device, ceilingBytesPerMs: 0 }],
      "phone has a link of 0.00 Mbit/s",
    ],
    [
      "a device too small for any cut",
      [server, { ...device, memoryBytes: 10 }],
      "phone has 10 B of memory; the smallest part of the model that a cut leaves it takes 35.0 MB to train",
    ],
    [
      "a server too small for its copies",
      [{ ...server, memoryBytes: 10 }, device],
      "edge has 10 B of memory, and its copies for 1 device take",
    ],
  ])("%s", (_, nodes, words) => {
    expect(refusal(narrowing, nodes, 100)).toContain(words);
  });

  test("a model without a cut", () => {
    const nodes = [device, server].map((node) => ({ ...node, profile: evenProfile(1, 1) }));
    expect(refusal(narrowing.slice(0, 1), nodes, 100)).toContain("needs a legal cut");
  });

  test("a cell that carries nothing and a round without work", () => {
    expect(refusal(narrowing, [device, server], 0)).toContain("the cell has 0.00 Mbit/s");
    expect(refusal(narrowing, [device, server], 100, { work: 0 })).toContain("batches per round");
  });
});

describe("codecs that a job leaves open", () => {
  const codecs = ["float32", "float16", "affine8"] as const;
  const open = { up: codecs, down: codecs };
  const segments = narrowing.map((cost) => ({ ...cost, ...realFlops }));
  const codecsOf = ({ links }: Plan) => links.map(({ codecUp, codecDown }) => [codecUp, codecDown]);

  /** The shortest round of all that devices could do: every cut, with every pair of codecs. */
  function bruteForceMs(request: PlanRequest): number {
    const model = new SplitModel(request);
    const [server] = model.servers;
    const { cell } = model;
    const choose = (chosen: readonly SplitOption[]): number =>
      chooseJointly({
        cell,
        servers: [{ link: model.linkOf(present(server, "a server")), idleMs: 0 }],
        devices: chosen.map((option, i) => ({
          options: [option],
          link: model.linkOf(present(model.devices[i], "a device")),
          server: 0,
        })),
      }).leastMs;
    const all = model.devices.map((device) => model.options(device, present(server, "a server")));
    const combined = all.reduce<SplitOption[][]>(
      (before, own) => before.flatMap((chosen) => own.map((option) => [...chosen, option])),
      [[]],
    );
    return Math.min(...combined.map(choose));
  }

  test("are those with which a round is shortest, as trying all of them finds", () => {
    const used = new Set<string>();
    fc.assert(
      fc.property(anyRequest(2, 3), (given) => {
        // With a server that nobody waits for, nothing is relaxed.
        const nodes = given.fleet.nodes.map((node) =>
          node.kind === "edge"
            ? { ...node, profile: scaledProfile(node.profile, (ms) => 1e-7 * ms) }
            : node,
        );
        const request = {
          ...given,
          segments: given.segments.map((cost) => ({ ...cost, ...realFlops })),
          fleet: { ...given.fleet, nodes },
          split: open,
        };
        const plan = parallelSplit(request);
        checkPlan(plan, request.segments.length, request.fleet);
        const least = bruteForceMs(request);
        const ms = judgedMs(plan, request);
        expect(ms).toBeGreaterThanOrEqual(least * (1 - 1e-6));
        // Exact codecs are taken where they cost less than a hundredth.
        expect(ms).toBeLessThanOrEqual(1.01 * least * (1 + 1e-4));
        for (const pair of codecsOf(plan)) used.add(pair.join());
      }),
      { numRuns: 60 },
    );
    expect(used.size).toBeGreaterThan(2);
  });

  test("are exact where the link is wide, and on devices that have time to spare", () => {
    const nodes = [
      edgeServer(quick),
      fleetNode("wide", quick),
      fleetNode("narrow", quick, { ceilingBytesPerMs: 20 }),
    ];
    const plan = parallelSplit(planRequest(segments, nodes, null, { work: 10, split: open }));
    expect(codecsOf(plan)).toEqual([
      ["float32", "float32"],
      ["affine8", "affine8"],
    ]);
    const [wide, narrow] = plan.forecasts.map(({ reason }) => reason);
    expect(wide).toMatch(
      /features travel as float32 and gradients as float32: exact ones are in time$/,
    );
    expect(narrow).toMatch(
      /travel as affine8 and gradients as affine8: as float32 its round would/,
    );
  });

  test("are the job's where it names none, and for one way alone where it names those", () => {
    const nodes = [edgeServer(quick), fleetNode("narrow", quick, { ceilingBytesPerMs: 20 })];
    const more = { work: 10, codecUp: "float16", codecDown: "float32" } as const;
    const plan = (split: object) =>
      codecsOf(parallelSplit(planRequest(segments, nodes, null, { ...more, split })));
    expect(plan({})).toEqual([["float16", "float32"]]);
    expect(plan({ down: codecs })).toEqual([["float16", "affine8"]]);
  });
});
