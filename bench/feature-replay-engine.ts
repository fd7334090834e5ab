/** How long the decision engine thinks: it is meant to be asked with every batch. */
import { type FleetNode, type NodeId, type PlanRequest, type Profile, planners } from "edgeloom";

export const engineSegments = 100;
/** Plans whose time is taken together, since processor time is counted coarsely; and how often. */
const [together, turns] = [40, 25];

const codecs = ["float32", "float16", "affine8", "affine4+feedback"] as const;

/** Median processor time of a plan, reasons included, each for another link; in milliseconds. */
export function engineMs(): number {
  const times: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const before = process.threadCpuUsage();
    for (let i = 0; i < together; i++) planners["feature-replay"](requestAt(300 + 20 * i + turn));
    const { user, system } = process.threadCpuUsage(before);
    times.push((user + system) / 1000 / together);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(turns / 2)] as number;
}

/** Features that shrink with depth; all segments alike but for that, so that many cuts are near the best. */
const segments = Array.from({ length: engineSegments }, (_, index) => {
  const shape = [32, 64, Math.ceil(200 / (1 + index))];
  return {
    ...{ index, name: `segment ${index}`, forwardFlops: 1e8, backwardFlops: 2e8 },
    outputs: [{ name: `value ${index}`, dtype: "float32" as const, shape, hasGradient: true }],
    ...{ parameterBytes: 4e5, stateBytes: 4e5, savedBytes: 1e6, workingBytes: 1e6 },
  };
});

const profileOf = (ms: number): Profile => ({
  segments: segments.map(() => ({ forwardMs: ms, backwardMs: 2 * ms, updateMs: ms / 20 })),
  ...{ runMs: 0.1, callMs: 0.05 },
});

const nodes: readonly FleetNode[] = [
  {
    ...{ id: "device" as NodeId, name: "device", kind: "device", samples: 1000, duty: 1 },
    ...{ memoryBytes: 5e8, ceilingBytesPerMs: null, latencyMs: 10, profile: profileOf(4) },
  },
  {
    ...{ id: "cloud" as NodeId, name: "cloud", kind: "cloud", samples: 0, duty: 1 },
    ...{ memoryBytes: null, ceilingBytesPerMs: null, latencyMs: 0, profile: profileOf(0.3) },
  },
];

function requestAt(bytesPerMs: number): PlanRequest {
  const ends = { from: "device" as NodeId, to: "cloud" as NodeId };
  const way = { ...ends, thereBytesPerMs: bytesPerMs, backBytesPerMs: bytesPerMs, latencyMs: 10 };
  return {
    ...{ term: 1, segments, recompute: false, work: 100, labelBytes: 256, accumulate: 1 },
    fleet: { nodes, links: [way], cellBytesPerMs: null },
    ...{ codecUp: "float32", codecDown: "float32" },
    pipeline: { schedule: "window", window: null, backward: "stored" },
    featureReplay: { up: codecs, down: codecs },
  };
}
