/**
 * How long the planner `pipeline` thinks, with its reasons in words. A placement is a choice of
 * servers in an order: six servers allow 1,957 of them, five only 326, so six are the fewest that
 * give the thousand which were asked for. Each placement can be cut in many ways, all of which count.
 */
import {
  type Fleet,
  type FleetNode,
  type NodeId,
  type PlanRequest,
  planners,
  version,
} from "edgeloom";
import { type Bench, optionsOf, type Row } from "./bench.ts";
import { median } from "./statistics.ts";

const segments = 100;
const fleets = 21;
const goalMs = 50;

export const planner: Bench = {
  summary: "time to plan a pipeline over 100 segments",
  async run(args) {
    optionsOf(args, {});
    const rows = [4, 5, 6].map(rowOf);
    const value = rows.at(-1)?.["median, ms"] ?? null;
    const name = `plan of ${placementsOf(6)} placements x ${segments} segments, median`;
    return {
      rows,
      goals: [
        { name, value, goal: goalMs, unit: "ms, at most", met: (value ?? Infinity) <= goalMs },
      ],
      versions: { edgeloom: version },
      seed: 1,
      notes: [
        `${fleets} fleets each, planned one after the other, the first ones before the code is warm`,
        "processor time is that of the thread that plans; beside other programs, plans take longer",
      ],
    };
  },
};

/** Choices of any number of servers in an order, none included. */
function placementsOf(servers: number): number {
  let [placements, ordered] = [1, 1];
  for (let left = servers; left > 0; left--) {
    ordered *= left;
    placements += ordered;
  }
  return placements;
}

function rowOf(servers: number): Row & { readonly "median, ms": number } {
  const times: number[] = [];
  const busy: number[] = [];
  const stages: number[] = [];
  for (let fleet = 0; fleet < fleets; fleet++) {
    const request = requestOf(servers, fleet);
    const [startedMs, before] = [performance.now(), process.threadCpuUsage()];
    stages.push(planners.pipeline(request).copies.length);
    const { user, system } = process.threadCpuUsage(before);
    times.push(performance.now() - startedMs);
    busy.push((user + system) / 1000);
  }
  return {
    servers,
    placements: placementsOf(servers),
    segments,
    "median, ms": median(times),
    "slowest, ms": Math.max(...times),
    "processor time: median, ms": median(busy),
    slowest: Math.max(...busy),
    stages: `${Math.min(...stages)} to ${Math.max(...stages)}`,
  };
}

/** A slow device and servers of unequal speed and ways, features that shrink with depth. */
function requestOf(servers: number, fleet: number): PlanRequest {
  const uneven = unevenFrom(fleet);
  const costs = Array.from({ length: segments }, (_, index) => {
    const shape = [Math.round((5e4 * (0.3 + uneven())) / (1 + index))];
    const parameterBytes = Math.round(4e4 * uneven());
    return {
      index,
      name: `segment ${index}`,
      ...{ forwardFlops: 1e6, backwardFlops: 2e6, savedBytes: 1e5, workingBytes: 1e5 },
      outputs: [{ name: `value ${index}`, dtype: "float32", shape, hasGradient: true }],
      ...{ parameterBytes, stateBytes: parameterBytes },
    } as const;
  });
  const ownMs = costs.map(() => 0.2 + uneven());
  const nodes = Array.from({ length: 1 + servers }, (_, i): FleetNode => {
    const speed = i === 0 ? 1 : 1 + 5 * uneven();
    const times = ownMs.map((ms) => {
      return { forwardMs: ms / 3 / speed, backwardMs: ms / 1.5 / speed, updateMs: 0.01 / speed };
    });
    return {
      id: `node-${i}` as NodeId,
      name: i === 0 ? "device" : `server-${i}`,
      ...{ kind: i === 0 ? "device" : "edge", samples: i === 0 ? 1000 : 0 },
      ...{ duty: 1, memoryBytes: null, ceilingBytesPerMs: null, latencyMs: 2 },
      profile: { segments: times, runMs: 0.2, callMs: 0.1 },
    };
  });
  return {
    term: 1,
    segments: costs,
    fleet: { nodes, links: linksOf(nodes, uneven), cellBytesPerMs: null },
    ...{ recompute: false, work: 20, labelBytes: 256, accumulate: 1 },
    ...{ codecUp: "float32", codecDown: "float32" },
    pipeline: { schedule: "window", window: null, backward: "stored" },
  };
}

const linksOf = (nodes: Fleet["nodes"], uneven: () => number): Fleet["links"] =>
  nodes.flatMap((from, i) =>
    nodes.slice(i + 1).map((to) => ({
      ...{ from: from.id, to: to.id, latencyMs: 2 },
      thereBytesPerMs: 2000 + 20_000 * uneven(),
      backBytesPerMs: 2000 + 20_000 * uneven(),
    })),
  );

/** Numbers from 0 to 1 without any pattern that a planner could lean on: multiples of the golden ratio. */
function unevenFrom(start: number): () => number {
  let at = 1000 * start;
  return () => (at++ * ((Math.sqrt(5) - 1) / 2)) % 1;
}
