import { expect, test } from "vitest";
import {
  cutsOf,
  edgeServer,
  evenProfile,
  fleetNode,
  narrowingSegments,
  planRequest,
} from "../../test/fleets.ts";
import { parallelSplit } from "./parallel-split.ts";

test("what codecs remember of samples is memory of a device", () => {
  // Features of 4000, 2000 and 400 bytes of each of so many samples, which devices code quickly.
  const segments = narrowingSegments(1000, 500, 100, 10).map((cost) => ({
    ...cost,
    forwardFlops: 1e9,
  }));
  const nodes = [
    edgeServer(evenProfile(4, 0.001)),
    fleetNode("small", evenProfile(4, 10), { memoryBytes: 45e6 }),
  ];
  const cutWith = (codecSamples: number | null) =>
    cutsOf(
      parallelSplit(
        planRequest(segments, nodes, null, { codecUp: "affine8+feedback", codecSamples }),
      ),
    );
  expect(cutWith(null)).toEqual([1]);
  expect(cutWith(4000)).toEqual([2]);
  expect(cutWith(10_000)).toEqual([3]);
});
