/** Ways that no data measure: what payloads tell of them before and while others train, and what that costs. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { nodeId } from "../../src/base/ids.ts";
import type { FleetLink, Planner } from "../../src/plan/plan.ts";
import { planners } from "../../src/plan/planners.ts";
import type { LinksMeasured, RunRecord } from "../../src/run/metrics/record.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode, SimTrace, SimWire } from "../../src/sim/fleet.ts";
import { Simulation } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const job = smallJob({
  planner: "pipeline",
  rounds: 10,
  localBatches: 100,
  fleet: { devices: [{ name: "phone" }] },
  evaluate: { every: 1000 },
});

const wire = (upBytesPerMs: number, downBytesPerMs = upBytesPerMs): SimWire => ({
  ...{ upBytesPerMs, downBytesPerMs },
  ...{ jitterMs: 0, loss: 0, cell: null },
});

/** Ten times as slow: time passes in few batches. */
const slowed = (node: SimNode): SimNode => {
  const { segments, runMs, callMs } = node.profile;
  const times = segments.map(({ forwardMs, backwardMs, updateMs }) => ({
    forwardMs: 10 * forwardMs,
    backwardMs: 10 * backwardMs,
    updateMs: 10 * updateMs,
  }));
  return { ...node, profile: { segments: times, runMs, callMs } };
};

/** A phone, and servers by the rate of their own links. */
function fleet(servers: Readonly<Record<string, number>>, reachable = true): SimNode[] {
  const [edge, phone] = smallFleet(job);
  const device = slowed(present(phone, "a device"));
  const server = { ...slowed(present(edge, "an edge server")), reachable };
  return [
    { ...device, name: "phone", latencyMs: 8, wire: wire(625, 1250) },
    ...Object.entries(servers).map(([name, rate]) => ({
      ...server,
      ...{ name, latencyMs: 4, wire: wire(rate) },
    })),
  ];
}

async function run(
  nodes: readonly SimNode[],
  traces: readonly SimTrace[] = [],
  { rounds = 10, planner = planners.pipeline }: { rounds?: number; planner?: Planner } = {},
) {
  const simulation = new Simulation({
    ...{ job: { ...job, rounds }, model: smallModel(), nodes, engine: nullEngine, traces },
    // The plan stays as it is: what is measured is asked for here, and not what follows from it.
    ...{ patienceMs: 60_000, planner },
  });
  await simulation.run();
  const { end, records, virtualMs } = simulation.result();
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ atMs, record }) =>
      record.type === type ? [{ atMs, ...(record as Extract<RunRecord, { type: T }>) }] : [],
    );
  return { end, of, virtualMs };
}

/** The way between two nodes, seen from the first. */
function way({ links }: LinksMeasured, from: string, to: string): Omit<FleetLink, "from" | "to"> {
  for (const { from: a, to: b, ...link } of links) {
    if (a === nodeId(from) && b === nodeId(to)) return link;
    if (b === nodeId(from) && a === nodeId(to)) {
      const { thereBytesPerMs: backBytesPerMs, backBytesPerMs: thereBytesPerMs } = link;
      return { ...link, thereBytesPerMs, backBytesPerMs };
    }
  }
  throw new Error(`nothing is known of ${from} and ${to}`);
}

const expectNear = (value: number | null, expected: number): void => {
  expect((value ?? 0) / expected).toBeGreaterThan(0.9);
  expect((value ?? 0) / expected).toBeLessThan(1.1);
};

const servers = { near: 2500, far: 250, spare: 1000 };

describe("ways between a phone and servers", () => {
  const straight = run(fleet(servers));

  it("M1, M3: are known to the plan of the first round, straight and each way", async () => {
    const { end, of } = await straight;
    expect(end?.reason).toBe("finished");
    const known = present(of("links")[0], "what was measured");
    expect(known.links).toHaveLength(6);
    expectNear(way(known, "phone", "near").thereBytesPerMs, 625);
    expectNear(way(known, "phone", "near").backBytesPerMs, 1250);
    expectNear(way(known, "phone", "far").thereBytesPerMs, 250);
    expectNear(way(known, "far", "near").thereBytesPerMs, 250);
    expectNear(way(known, "spare", "near").backBytesPerMs, 1000);
    expect(way(known, "phone", "near").latencyMs).toBeCloseTo(12, 0);
    expect(way(known, "far", "near").latencyMs).toBeCloseTo(8, 0);
    expect(present(of("round")[0], "a round").term).toBe(known.term);
  });

  it("M3: do not hold up the first round for more than 3 s", async () => {
    const { of } = await straight;
    const first = present(of("round")[0], "a round");
    const heldMs = first.atMs - first.ms - present(of("planned")[0], "a plan").atMs;
    expect(heldMs).toBeGreaterThan(100);
    expect(heldMs).toBeLessThan(3_500);
  });

  it("M3: are measured by payloads while others train, for 2 % of each node's link at most", async () => {
    const { of } = await straight;
    const [before, after] = [present(of("links")[0], "first"), present(of("links").at(-1), "last")];
    const elapsedMs = after.atMs - before.atMs;
    expect(elapsedMs).toBeGreaterThan(15_000);
    for (const end of ["from", "to"] as const) {
      for (const node of ["phone", ...Object.keys(servers)]) {
        const spent = ({ probes }: LinksMeasured) =>
          probes.reduce((sum, probe) => sum + (probe[end] === node ? probe.ms : 0), 0);
        const ms = spent(after) - spent(before);
        // One payload may have been sent at the beginning, and is paid for afterwards.
        expect(ms / elapsedMs, `${end} ${node}`).toBeLessThan(0.02 + 600 / elapsedMs);
      }
    }
    const count = ({ probes }: LinksMeasured) =>
      probes.reduce((sum, { payloads }) => sum + payloads, 0);
    expect(count(after)).toBeGreaterThan(count(before) + 5);
    for (const { share, payloads, bytes } of after.probes) {
      expect(share).toBeLessThan(0.1);
      expect(bytes / payloads).toBeGreaterThanOrEqual(32 * 1024);
    }
  });

  it("M3: are kept fresh where no data pass them", async () => {
    const slower: SimTrace = {
      ...{ kind: "rate", of: "far", way: "both" },
      points: [[4_000, 120]],
    };
    const { of } = await run(fleet(servers), [slower], { rounds: 40 });
    const last = present(of("links").at(-1), "what was known at the end");
    expectNear(way(last, "phone", "far").thereBytesPerMs, 120);
    expectNear(way(last, "far", "near").thereBytesPerMs, 120);
    expectNear(way(last, "phone", "near").thereBytesPerMs, 625);
  });

  it("M3: are measured at once where the round trip says that they have become others", async () => {
    // At 87 bytes a millisecond a payload is sent every twentieth second.
    const slow = { latencyMs: 20, wire: wire(87) };
    const nodes = fleet({ edge: 5000 }, false).map((node) =>
      node.kind === "device" ? { ...node, ...slow } : { ...node, latencyMs: 0 },
    );
    const changeMs = 29_000;
    const traces: SimTrace[] = [
      { kind: "rate", of: "phone", way: "both", points: [[changeMs, 5000]] },
      { kind: "latency", of: "phone", points: [[changeMs, 5]] },
    ];
    // All of the model stays on the phone, so no data pass its link.
    const planner: Planner = (request) => {
      const own = request.fleet.nodes.filter(({ kind }) => kind === "device");
      return planners.local({ ...request, fleet: { ...request.fleet, nodes: own } });
    };
    const { of } = await run(nodes, traces, { rounds: 2, planner });
    const known = of("links");
    expectNear(way(present(known[0], "what was measured"), "phone", "edge").thereBytesPerMs, 87);
    const last = present(known.at(-1), "what was known at the end");
    expect(last.atMs).toBeLessThan(changeMs + 8000);
    expectNear(way(last, "phone", "edge").thereBytesPerMs, 5000);
    expectNear(way(last, "phone", "edge").backBytesPerMs, 5000);
  });

  it("M1, M3: are those through the coordinator where nobody can be reached", async () => {
    const { end, of } = await run(fleet(servers, false));
    expect(end?.reason).toBe("finished");
    const known = present(of("links")[0], "what was measured");
    expectNear(way(known, "phone", "near").thereBytesPerMs, 625);
    expectNear(way(known, "phone", "far").backBytesPerMs, 250);
    expect(known.probes.every(({ from, to }) => from === null || to === null)).toBe(true);
  });
});
