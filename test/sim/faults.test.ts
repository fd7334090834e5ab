import { describe, expect, it } from "vitest";
import type { RunRecord } from "../../src/run/metrics/record.ts";
import { interpreterEngine, nullEngine } from "../../src/sim/engines.ts";
import { faultText, type SimFault } from "../../src/sim/faults.ts";
import type { SimCell, SimNode, SimTrace, SimWire } from "../../src/sim/fleet.ts";
import { accessOf } from "../../src/sim/fleet.ts";
import { Machine, type Start } from "../../src/sim/machine.ts";
import { Network } from "../../src/sim/network.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { World } from "../../src/sim/world.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

const wire: SimWire = {
  upBytesPerMs: null,
  downBytesPerMs: null,
  jitterMs: 0,
  loss: 0,
  cell: null,
};

/** A machine whose peer notes when its timer of every 10 ms fires, by its own clock. */
function ticking() {
  const world = new World();
  const ticks: number[] = [];
  let starts = 0;
  const start = ({ clock, disk: { files } }: Start) => {
    starts++;
    files.set("starts", Uint8Array.of(starts));
    const tick = (): void => {
      ticks.push(clock.now());
      clock.after(10, tick);
    };
    clock.after(10, tick);
    return {};
  };
  const access = accessOf({ name: "a", latencyMs: 0 }, new Map());
  const machine = new Machine(new Network(world, 1), access, start);
  machine.boot();
  return { world, machine, ticks, until: (ms: number) => world.run(() => world.now() >= ms) };
}

describe("a machine", () => {
  it("hears nothing while it stands still, and then everything, in order", async () => {
    const { world, machine, ticks, until } = ticking();
    world.at(25, () => world.after(50, machine.pause()));
    await until(90);
    expect(ticks).toEqual([10, 20, 75, 85, 95]);
  });

  it("starts again after a crash, on its disk or on an empty one", async () => {
    const { world, machine, ticks, until } = ticking();
    world.at(15, () => machine.crash());
    world.at(40, () => machine.boot());
    world.at(52, () => machine.crash({ losesDisk: true }));
    await until(100);
    expect(ticks).toEqual([10, 50]);
    expect(machine.isOn).toBe(false);
    expect(machine.disk.files.size).toBe(0);
  });

  it("has a clock that may jump ahead, which timers do not notice", async () => {
    const { world, machine, ticks, until } = ticking();
    world.at(15, () => machine.jump(1000));
    await until(30);
    expect(ticks).toEqual([10, 1020, 1030]);
  });
});

interface Change {
  readonly faults?: readonly SimFault[];
  readonly traces?: readonly SimTrace[];
  readonly cells?: readonly SimCell[];
  readonly coordinatorOn?: string;
  readonly patienceMs?: number;
  readonly node?: (node: SimNode) => SimNode;
}

async function rounds({ node = (same) => same, ...change }: Change) {
  const job = smallJob({ rounds: 3 });
  const { records, end, virtualMs } = await simulate({
    job,
    model: smallModel(),
    nodes: smallFleet(job).map(node),
    engine: nullEngine,
    ...change,
  });
  const of = <T extends RunRecord["type"]>(type: T) =>
    records.flatMap(({ record }) =>
      record.type === type ? [record as Extract<RunRecord, { type: T }>] : [],
    );
  const ms = of("round").map((round) => round.ms);
  const dropped = of("round").flatMap((round) => round.dropped);
  return {
    ms,
    end,
    dropped,
    left: of("left"),
    plans: of("planned"),
    waits: of("waiting"),
    virtualMs,
  };
}

describe("a run in a network of its own", () => {
  it("takes longer where a node computes more slowly, links are slow, or a trace says so", async () => {
    const plain = await rounds({});
    const mean = ({ ms }: { ms: number[] }): number => ms.reduce((a, b) => a + b, 0) / ms.length;
    const slow = await rounds({
      faults: [{ kind: "slow", node: "a", atMs: 0, forMs: 1e9, factor: 50 }],
    });
    const traced = await rounds({ traces: [{ kind: "speed", node: "a", points: [[0, 0.02]] }] });
    const far = await rounds({
      node: (node) => ({ ...node, wire: { ...wire, upBytesPerMs: 2, downBytesPerMs: 2 } }),
    });
    for (const other of [slow, traced, far]) {
      expect(other.end.reason).toBe("finished");
      expect(mean(other)).toBeGreaterThan(1.5 * mean(plain));
    }
  });

  it("shares the server's link with a coordinator on the same machine", async () => {
    // Nobody reaches anybody, so all goes through the coordinator.
    const narrow = (node: SimNode): SimNode =>
      node.kind === "edge"
        ? { ...node, reachable: false, wire: { ...wire, upBytesPerMs: 5, downBytesPerMs: 5 } }
        : node;
    const apart = await rounds({ node: narrow });
    const together = await rounds({ node: narrow, coordinatorOn: "edge" });
    const [a, b] = [apart.ms[1] ?? 0, together.ms[1] ?? 0];
    // Apart, what the server trains on crosses its link; together, what devices send to it does.
    expect(Math.abs(a - b)).toBeGreaterThan(0.01 * a);
    expect(together.end.reason).toBe("finished");
  });

  it("is a function of its options with every kind of trouble, too", async () => {
    const faults: SimFault[] = [
      { kind: "pause", node: "a", atMs: 1500, forMs: 700 },
      { kind: "partition", nodes: ["b"], atMs: 1600, forMs: 300 },
      { kind: "jump", node: "c", atMs: 1700, aheadMs: 2000 },
      { kind: "crash", node: "c", atMs: 2500, isSilent: true },
    ];
    const job = smallJob({ rounds: 3 });
    const options = {
      job,
      model: smallModel(),
      nodes: smallFleet(job).map((node) => ({
        ...node,
        wire: { ...wire, upBytesPerMs: 60, downBytesPerMs: 60, jitterMs: 3, loss: 0.05 },
      })),
      engine: interpreterEngine,
      faults,
    };
    const [first, second] = [await simulate(options), await simulate(options)];
    expect(second.records).toEqual(first.records);
    expect(second.files).toEqual(first.files);
    expect(first.end.reason).toBe("finished");
    expect(first.virtualMs).toBeGreaterThan(2500);
  });

  it("notices a silent crash at the end of its lease, a loud one at once", async () => {
    const { virtualMs } = await rounds({});
    const crash = { kind: "crash", node: "c", atMs: 0.7 * virtualMs } as const;
    const loud = await rounds({ faults: [crash] });
    const silent = await rounds({ faults: [{ ...crash, isSilent: true }] });
    expect(loud.left[0]?.reason).toBe("the other side closed");
    expect(silent.left[0]?.reason).toMatch(/^silent for 1\d s$/);
    expect(silent.virtualMs).toBeGreaterThan(loud.virtualMs + 5000);
  });

  it("takes the worker that came last where two take themselves for the same one", async () => {
    for (const node of ["a", "edge"]) {
      const { end, left } = await rounds({
        faults: [{ kind: "twin", node, atMs: 900, isSame: true }],
        patienceMs: 60_000,
      });
      expect(end.reason).toBe("finished");
      expect(left.map(({ name, reason }) => [name, reason])).toEqual([
        [node, "it has connected anew"],
      ]);
    }
  });

  it("refuses the second of two workers of one token, and goes on with the first", async () => {
    const plain = await rounds({});
    const { end, left, ms } = await rounds({
      faults: [{ kind: "twin", node: "a", atMs: 1500, isSame: false }],
    });
    expect([end, left, ms]).toEqual([plain.end, [], plain.ms]);
  });

  it("R13: loses no round to a node that is told that it will go", async () => {
    const { end, left, dropped } = await rounds({
      faults: [{ kind: "notice", node: "b", atMs: 900, withinMs: 60_000 }],
    });
    expect(end.reason).toBe("finished");
    expect(left.map(({ reason }) => reason)).toEqual(["it gave notice, and its work is done"]);
    expect(dropped).toEqual([]);
  });

  it("refuses faults, traces and cells of nodes that are not there", async () => {
    const refusals: [Change, RegExp][] = [
      [{ faults: [{ kind: "pause", node: "x", atMs: 0, forMs: 1 }] }, /fault \(pause\): got "x"/],
      [{ traces: [{ kind: "rate", of: "x", way: "up", points: [] }] }, /trace of a rate: got "x"/],
      [{ traces: [{ kind: "speed", node: "x", points: [] }] }, /trace of a speed: got "x"/],
      [{ node: (node) => ({ ...node, wire: { ...wire, cell: "x" } }) }, /cell of edge: got "x"/],
      [{ coordinatorOn: "x" }, /coordinatorOn: got "x"/],
      [
        { cells: [{ name: "x", upBytesPerMs: null, downBytesPerMs: null, behind: "x" }] },
        /cell of x: got "x"/,
      ],
    ];
    for (const [change, text] of refusals) await expect(rounds(change)).rejects.toThrow(text);
  });
});

describe("a node that is lost before the first plan", () => {
  // The edge server comes late, so that nobody is probed before it.
  const late: SimFault[] = [
    { kind: "crash", node: "edge", atMs: 0, forMs: 2000 },
    { kind: "crash", node: "c", atMs: 1000 },
  ];

  it("is awaited for as long as the run has patience, and then the run begins without it", async () => {
    const { end, ms, plans, waits } = await rounds({ faults: late, patienceMs: 60_000 });
    expect(end).toEqual({ reason: "finished", text: "3 rounds" });
    expect(ms).toHaveLength(3);
    expect(waits.map(({ reason }) => reason)).toEqual([
      "c left before the first plan; the run begins without it after 60 s",
    ]);
    expect(plans.map(({ reason }) => reason)).toEqual([
      "first plan; without c, which left before the first plan and did not come back within 60 s",
    ]);
  });

  it("takes part where it comes back in time", async () => {
    const back = late.map((fault) => ({ ...fault, forMs: 2000 }));
    const { end, plans } = await rounds({ faults: back, patienceMs: 60_000 });
    expect(end.reason).toBe("finished");
    expect(plans.map(({ reason, plan }) => [reason, plan.chains.length])).toEqual([
      ["first plan", 3],
    ]);
  });

  it("ends the run in words where nobody is left", async () => {
    const faults: SimFault[] = [
      ...late,
      { kind: "crash", node: "a", atMs: 1000 },
      { kind: "crash", node: "b", atMs: 1000 },
      { kind: "crash", node: "edge", atMs: 3000 },
    ];
    const { end } = await rounds({ faults, patienceMs: 60_000 });
    expect(end.reason).toBe("failed");
    expect(end.text).toMatch(/^nobody is left: the run waited for .*within 60 s$/);
  });
});

describe("a fault in words", () => {
  it.each([
    [{ kind: "crash", node: "b", atMs: 12_000 }, "b crashes at 12.0 s for good"],
    [
      { kind: "crash", node: "b", atMs: 500, forMs: 4000, isSilent: true, losesDisk: true },
      "b loses power at 500 ms, back after 4.0 s, without its disk",
    ],
    [
      { kind: "partition", nodes: ["a", "b"], atMs: 0, forMs: 2e3 },
      "a, b cut off at 0.00 ms for 2.0 s",
    ],
    [
      { kind: "notice", node: "a", atMs: 1e3, withinMs: 2e3, forMs: 5e3 },
      "a has notice at 1.0 s to go within 2.0 s, back after 5.0 s",
    ],
    [
      { kind: "twin", node: "a", atMs: 1e3, isSame: true },
      "a is started twice at 1.0 s, as the same process",
    ],
    [{ kind: "pause", node: "a", atMs: 1e3, forMs: 2e3 }, "a stands still at 1.0 s for 2.0 s"],
  ] as [SimFault, string][])("%j", (fault, text) => {
    expect(faultText(fault)).toBe(text);
  });
});
