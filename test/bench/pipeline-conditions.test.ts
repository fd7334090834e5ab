/** What a scenario gives at a moment and on the average, on scenarios that are reckoned by hand. */
import { describe, expect, it } from "vitest";
import { amongNodes, Conditions } from "../../bench/pipeline-conditions.ts";
import type { Fleet } from "../../src/plan/plan.ts";
import type { SimNode, SimTrace, SimulationOptions } from "../../src/sim.ts";
import { edgeServer, evenProfile, fleetNode } from "../fleets.ts";

const open = { upBytesPerMs: null, downBytesPerMs: null, jitterMs: 0, loss: 0 };
const profile = evenProfile(2, 30, 6);
const nodes: SimNode[] = [
  { name: "phone", kind: "device", latencyMs: 3, wire: { ...open, cell: "west" } },
  { name: "near", kind: "edge", latencyMs: 1, wire: { ...open, cell: "west" } },
  { name: "far", kind: "edge", latencyMs: 1, wire: { ...open, cell: "east" } },
].map(
  (node) => ({ ...node, profile, duty: 1, memoryBytes: null, samples: 0 }) as unknown as SimNode,
);
const cells = [
  { name: "west", upBytesPerMs: 1000, downBytesPerMs: 2000, latencyMs: 10, behind: null },
  { name: "east", upBytesPerMs: 500, downBytesPerMs: 500, latencyMs: 20, behind: null },
];
const fleet: Fleet = {
  nodes: [
    fleetNode("phone", profile),
    ...["near", "far"].map((name) => edgeServer(profile, { id: name as never, name })),
  ],
  links: [],
  cellBytesPerMs: null,
};

const conditions = (
  traces: readonly SimTrace[] = [],
  more: Partial<SimulationOptions> = {},
): Conditions =>
  new Conditions({ nodes, cells, traces, ...more } as unknown as SimulationOptions, 10_000);

const way = ({ links }: Fleet, from: string, to: string) =>
  links.find((link) => link.from === from && link.to === to);
const segmentMs = ({ nodes }: Fleet, name: string): number => {
  const [segment] = nodes.find((node) => node.name === name)?.profile.segments ?? [];
  return (segment?.forwardMs ?? 0) + (segment?.backwardMs ?? 0);
};

describe("conditions of a scenario", () => {
  it("are the slowest line on a way, with all delays; what stays in a cell does not use its line", () => {
    const average = conditions().average(fleet, "rates");
    expect(way(average, "phone", "near")).toMatchObject({ thereBytesPerMs: null, latencyMs: 4 });
    const across = { thereBytesPerMs: 500, backBytesPerMs: 500, latencyMs: 3 + 10 + 20 + 1 };
    expect(way(average, "phone", "far")).toMatchObject(across);
    // A server's cell bounds what it hears and tells; a device's radio is a way of its own.
    const ceilings = average.nodes.map(({ ceilingBytesPerMs }) => ceilingBytesPerMs);
    expect(ceilings).toEqual([null, 1000, 500]);
  });

  it("are averaged as rates, or as the times that things take", () => {
    const traces: SimTrace[] = [
      { kind: "rate", of: "east", way: "both", points: [[6000, 250]] },
      { kind: "speed", node: "far", points: [[5000, 0.5]] },
    ];
    const rates = conditions(traces).average(fleet, "rates");
    expect(way(rates, "near", "far")?.thereBytesPerMs).toBeCloseTo(0.6 * 500 + 0.4 * 250, 9);
    expect(segmentMs(rates, "far")).toBeCloseTo(30 / 0.75, 9);
    const times = conditions(traces).average(fleet, "times");
    const msPerByte = 0.6 / 500 + 0.4 / 250;
    expect(way(times, "near", "far")?.thereBytesPerMs).toBeCloseTo(1 / msPerByte, 9);
    expect(segmentMs(times, "far")).toBeCloseTo(0.5 * 30 + 0.5 * 60, 9);
    expect(segmentMs(times, "near")).toBeCloseTo(30, 9);
  });

  it("count what is out of reach, or off, as no rate at all, and as nothing to wait for", () => {
    const traces: SimTrace[] = [
      {
        kind: "cell",
        node: "phone",
        points: [
          [0, "west"],
          [8000, null],
        ],
      },
    ];
    const faults = [{ kind: "crash", node: "far", atMs: 2000, forMs: 2000 }] as const;
    const known = conditions(traces, { faults });
    const rates = known.average(fleet, "rates");
    // From 2 to 4 s the server is off, from 8 s on the phone has no cell.
    expect(way(rates, "phone", "far")?.thereBytesPerMs).toBeCloseTo(0.6 * 500, 9);
    expect(segmentMs(rates, "far")).toBeCloseTo(30 / 0.8, 9);
    const times = known.average(fleet, "times");
    expect(way(times, "phone", "far")?.thereBytesPerMs).toBeCloseTo(500, 9);
    expect(segmentMs(times, "far")).toBeCloseTo(30, 9);
  });

  it("of a part of the time count that alone", () => {
    const points = [
      [2000, 400],
      [4000, 100],
    ] as const;
    const known = conditions([{ kind: "rate", of: "east", way: "both", points }]);
    const rate = (fromMs: number, toMs: number) =>
      way(known.between(fromMs, toMs, fleet), "near", "far")?.thereBytesPerMs;
    expect(rate(0, 2000)).toBeCloseTo(500, 9);
    expect(rate(1000, 5000)).toBeCloseTo((500 + 2 * 400 + 100) / 4, 9);
    expect(rate(4500, 4600)).toBeCloseTo(100, 9);
  });

  it("are frozen with every node in the cell where it was for longest", () => {
    const traces: SimTrace[] = [
      {
        kind: "cell",
        node: "phone",
        points: [
          [0, "west"],
          [4000, "east"],
        ],
      },
      { kind: "speed", node: "phone", points: [[5000, 0.5]] },
    ];
    const options = { nodes, cells, traces } as unknown as SimulationOptions;
    const frozen = conditions(traces).frozen(options);
    expect(frozen.traces).toEqual([]);
    const [phone, near] = frozen.nodes;
    expect(phone?.wire?.cell).toBe("east");
    expect(near?.wire?.cell).toBe("west");
    const [segment] = phone?.profile.segments ?? [];
    expect(segment?.forwardMs).toBeCloseTo(10 / 0.75, 9);
  });

  it("of some nodes keep the ways between them", () => {
    const average = conditions().average(fleet, "rates");
    const some = amongNodes(average, new Set(average.nodes.slice(1).map(({ id }) => id)));
    expect(some.nodes.map(({ name }) => name)).toEqual(["near", "far"]);
    expect(some.links).toEqual([way(average, "near", "far")]);
  });
});
