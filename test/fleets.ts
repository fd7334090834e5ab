/** Small fleets and models for tests of planners: plain numbers where only sizes and times count. */
import fc from "fast-check";
import { nodeId } from "../src/base/ids.ts";
import type { SegmentCost } from "../src/compile/segment.ts";
import type { FleetNode, Plan, PlanRequest, Profile } from "../src/plan/plan.ts";
import { splitForecast } from "../src/plan/split-judge.ts";

/** A segment whose activation has `outputValues` float32 values. */
export function segmentCost(
  index: number,
  outputValues: number,
  more: Partial<SegmentCost> = {},
): SegmentCost {
  return {
    index,
    name: `segment ${index}`,
    forwardFlops: 100,
    backwardFlops: 200,
    outputs: [
      { name: `value ${index}`, dtype: "float32", shape: [outputValues], hasGradient: true },
    ],
    parameterBytes: index === 0 ? 4 : 0,
    stateBytes: 0,
    savedBytes: 0,
    workingBytes: 0,
    ...more,
  };
}

/** Segments whose features shrink with depth: so many float32 values each, and 80 bytes of parameters. */
export const narrowingSegments = (...values: readonly number[]): SegmentCost[] =>
  values.map((count, i) => segmentCost(i, count, { parameterBytes: 80, stateBytes: 80 }));

/** A profile in which every segment takes the same time, split 1:2:0 over its programs. */
export function evenProfile(segments: number, segmentMs: number, runMs = 0): Profile {
  const time = { forwardMs: segmentMs / 3, backwardMs: (2 * segmentMs) / 3, updateMs: 0 };
  return { segments: Array.from({ length: segments }, () => time), runMs, callMs: 0 };
}

export function fleetNode(
  name: string,
  profile: Profile,
  more: Partial<FleetNode> = {},
): FleetNode {
  return {
    id: nodeId(name),
    name,
    kind: "device",
    duty: 1,
    memoryBytes: null,
    samples: 100,
    profile,
    ceilingBytesPerMs: null,
    latencyMs: 0,
    ...more,
  };
}

export const edgeServer = (profile: Profile, more: Partial<FleetNode> = {}): FleetNode =>
  fleetNode("edge", profile, { kind: "edge", samples: 0, ...more });

/** So many devices, d0 and on, with a profile for each. */
export const devicesWith = (count: number, profileOf: (i: number) => Profile): FleetNode[] =>
  Array.from({ length: count }, (_, i) => fleetNode(`d${i}`, profileOf(i)));

/** Where each chain leaves its device, in the order of chains. */
export const cutsOf = ({ copies }: Plan): number[] =>
  copies.filter(({ from }) => from === 0).map(({ to }) => to);

/** What a round of a plan takes by the one judge of all plans that split. */
export const judgedMs = (plan: Plan, request: PlanRequest): number =>
  splitForecast(plan, request)?.roundMs ?? Number.NaN;

export function planRequest(
  segments: readonly SegmentCost[],
  nodes: readonly FleetNode[],
  cellBytesPerMs: number | null,
  more: Partial<PlanRequest> = {},
): PlanRequest {
  return {
    term: 1,
    segments,
    fleet: { nodes, links: [], cellBytesPerMs },
    recompute: false,
    work: 1,
    labelBytes: 0,
    codecUp: "float32",
    codecDown: "float32",
    pipeline: { schedule: "window", window: null, backward: "stored" },
    accumulate: 1,
    ...more,
  };
}

const positive = (max: number): fc.Arbitrary<number> =>
  fc.double({ min: max / 1000, max, noNaN: true });
const orNone = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.option(values, { freq: 2 });

/** Any fleet of up to `devices` devices around one edge server, on a model of up to `segments` segments. */
export function anyRequest(devices: number, segments: number): fc.Arbitrary<PlanRequest> {
  return fc.integer({ min: 2, max: segments }).chain((count) =>
    fc
      .record({
        costs: anyCosts(count),
        devices: fc.array(anyDevice(count), { minLength: 1, maxLength: devices }),
        server: anyProfile(count, 2),
        cell: orNone(positive(2000)),
        work: fc.integer({ min: 1, max: 16 }),
        codecUp: fc.constantFrom("float32" as const, "float16" as const),
      })
      .map(({ costs, devices: some, server, cell, work, codecUp }) =>
        planRequest(
          costs,
          [
            edgeServer(server),
            ...some.map(({ profile, ...more }, i) => fleetNode(`device ${i}`, profile, more)),
          ],
          cell,
          { work, codecUp, labelBytes: 64 },
        ),
      ),
  );
}

/** Segments of which the first is always trained, so that every cut is legal. */
const anyCosts = (segments: number): fc.Arbitrary<SegmentCost[]> =>
  fc
    .array(
      fc.record({
        values: fc.integer({ min: 1, max: 5000 }),
        parameterBytes: fc.nat(4000),
        stateBytes: fc.nat(4000),
        savedBytes: fc.nat(4000),
      }),
      { minLength: segments, maxLength: segments },
    )
    .map((costs) =>
      costs.map(({ values, parameterBytes, ...more }, i) =>
        segmentCost(i, values, { ...more, parameterBytes: parameterBytes + (i === 0 ? 4 : 0) }),
      ),
    );

const anyProfile = (segments: number, segmentMs: number): fc.Arbitrary<Profile> =>
  fc.record({
    segments: fc.array(
      fc.record({
        forwardMs: positive(segmentMs),
        backwardMs: positive(2 * segmentMs),
        updateMs: positive(segmentMs / 10),
      }),
      { minLength: segments, maxLength: segments },
    ),
    runMs: positive(0.1),
    callMs: positive(0.1),
  });

const anyDevice = (segments: number) =>
  fc.record({
    profile: anyProfile(segments, 20),
    duty: fc.constantFrom(1, 1 / 4, 1 / 16),
    ceilingBytesPerMs: orNone(positive(1000)),
    latencyMs: fc.integer({ min: 0, max: 20 }),
  });

/**
 * One device with data and up to `servers` others, on a model of up to `segments` segments: some with
 * little memory, with a measured way between them, or out of reach of each other.
 */
export function anyPipelineRequest(servers: number, segments: number): fc.Arbitrary<PlanRequest> {
  return fc.integer({ min: 2, max: segments }).chain((count) =>
    fc
      .record({
        costs: anyCosts(count),
        device: anyDevice(count),
        servers: fc.array(anyServer(count), { minLength: 0, maxLength: servers }),
        memory: fc.array(orNone(fc.integer({ min: 35_000_000, max: 35_100_000 })), {
          minLength: servers + 1,
          maxLength: servers + 1,
        }),
        links: fc.array(anyLink(servers), { maxLength: 3 }),
        cell: orNone(positive(2000)),
        work: fc.integer({ min: 1, max: 16 }),
        accumulate: fc.integer({ min: 1, max: 4 }),
        recompute: fc.boolean(),
        pipeline: fc.record({
          schedule: fc.constantFrom("window" as const, "gpipe" as const, "1f1b" as const),
          window: orNone(fc.integer({ min: 0, max: 5 })),
          backward: fc.constantFrom("stored" as const, "replay" as const),
        }),
      })
      .map(({ costs, device, servers: some, memory, links, cell, ...more }) => {
        const own = fleetNode("device", device.profile, {
          ...device,
          memoryBytes: memory[0] === null ? null : 36_000_000,
        });
        const others = some.map(({ profile, ...server }, i) =>
          fleetNode(`server ${i}`, profile, {
            ...server,
            samples: 0,
            memoryBytes: memory[i + 1] ?? null,
          }),
        );
        const request = planRequest(costs, [own, ...others], cell, { ...more, labelBytes: 64 });
        const names = ["device", ...others.map(({ name }) => name)];
        const pairs = new Set<string>();
        const known = links.flatMap(({ ends: [from, to], ...link }) => {
          const [a, b] = [names[from], names[to]];
          const pair = [from, to].sort().join();
          if (a === undefined || b === undefined || a === b || pairs.has(pair)) return [];
          pairs.add(pair);
          return [{ from: nodeId(a), to: nodeId(b), ...link }];
        });
        return { ...request, fleet: { ...request.fleet, links: known } };
      }),
  );
}

const anyLink = (servers: number) =>
  fc.record({
    ends: fc.tuple(fc.nat(servers), fc.nat(servers)),
    thereBytesPerMs: fc.oneof(fc.constant(null), fc.constant(0), positive(2000)),
    backBytesPerMs: fc.oneof(fc.constant(null), positive(2000)),
    latencyMs: fc.integer({ min: 0, max: 20 }),
  });

const anyServer = (segments: number) =>
  fc.record({
    profile: anyProfile(segments, 5),
    kind: fc.constantFrom("edge" as const, "cloud" as const),
    ceilingBytesPerMs: orNone(positive(1000)),
    latencyMs: fc.integer({ min: 0, max: 20 }),
  });
