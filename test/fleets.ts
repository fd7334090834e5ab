/** Small fleets and models for tests of planners: plain numbers where only sizes and times count. */
import fc from "fast-check";
import { nodeId } from "../src/base/ids.ts";
import type { SegmentCost } from "../src/compile/segment.ts";
import type { FleetNode, PlanRequest, Profile } from "../src/plan/plan.ts";

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
        costs: fc.array(
          fc.record({
            values: fc.integer({ min: 1, max: 5000 }),
            parameterBytes: fc.nat(4000),
            stateBytes: fc.nat(4000),
            savedBytes: fc.nat(4000),
          }),
          { minLength: count, maxLength: count },
        ),
        devices: fc.array(anyDevice(count), { minLength: 1, maxLength: devices }),
        server: anyProfile(count, 2),
        cell: orNone(positive(2000)),
        work: fc.integer({ min: 1, max: 16 }),
        codecUp: fc.constantFrom("float32" as const, "float16" as const),
      })
      .map(({ costs, devices: some, server, cell, work, codecUp }) =>
        planRequest(
          costs.map(({ values, parameterBytes, ...more }, i) =>
            // The first segment is always trained, so that every cut is legal.
            segmentCost(i, values, { ...more, parameterBytes: parameterBytes + (i === 0 ? 4 : 0) }),
          ),
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
