/** What is known of the ways between nodes, and what planners are told of them. */
import { describe, expect, it } from "vitest";
import { nodeId } from "../../base/ids.ts";
import type { FleetNode } from "../../plan/plan.ts";
import { candidates } from "./candidates.ts";
import { Ways, type WaysTold } from "./ways.ts";

const node = (name: string, change: Partial<FleetNode> = {}): FleetNode => ({
  id: nodeId(name),
  name,
  kind: "edge",
  duty: 1,
  memoryBytes: null,
  samples: 0,
  profile: { segments: [], runMs: 0, callMs: 0 },
  ceilingBytesPerMs: null,
  latencyMs: 5,
  ...change,
});
const [a, b, c] = ["a", "b", "c"].map((name) => node(name)) as [FleetNode, FleetNode, FleetNode];

const MB = 1e6;

/** A node tells what its links achieve: straight to whom, after how many bytes. */
function tell(
  ways: Ways,
  from: FleetNode,
  {
    up = null,
    straight = [],
    down = null,
    passed = MB,
    atMs = 1,
  }: {
    up?: number | null;
    down?: number | null;
    straight?: WaysTold["straight"];
    passed?: number;
    atMs?: number;
  },
): void {
  const link = { bytesReceived: passed, bytesSent: passed, achievedBytesPerMs: down };
  ways.take(from.id, { bytesPerMs: up, straight }, link, atMs);
}

const towards = (
  to: FleetNode,
  bytesPerMs: number | null,
  latencyMs: number | null = 2,
  sent = MB,
) => [{ node: to.id, sent, bytesPerMs, latencyMs }];

describe("ways between nodes", () => {
  it("say nothing of what was not measured", () => {
    const ways = new Ways();
    tell(ways, a, { straight: towards(b, null) });
    expect(ways.links([a, b, c])).toEqual([]);
  });

  it("are planned with the middle one of three rates", () => {
    const ways = new Ways();
    for (const [i, rate] of [100, 100, 9000, 110].entries()) {
      tell(ways, a, { straight: towards(b, rate, 2, (i + 1) * MB), atMs: 1000 * i });
    }
    expect(ways.links([a, b])[0]?.thereBytesPerMs).toBe(110);
  });

  it("are planned with half of a rate that falls to it in the time that a move takes", () => {
    const rateAfter = (fall: number): number | null | undefined => {
      const ways = new Ways();
      for (let i = 0; i < 10; i++) {
        const rate = 1000 - fall * i + (i % 2);
        tell(ways, a, { straight: towards(b, rate, 2, (i + 1) * MB), atMs: 1000 * i });
      }
      return ways.links([a, b])[0]?.thereBytesPerMs;
    };
    expect(rateAfter(0)).toBe(1001);
    expect(rateAfter(90)).toBe((1000 - 8 * 90) / 2);
    // At this pace it takes a minute to come down to half.
    expect(rateAfter(8)).toBe(1000 - 8 * 8);
  });

  it("are as fast straight as each end achieves, whichever of the two is asked for first", () => {
    const ways = new Ways();
    tell(ways, a, { straight: towards(b, 100, 3) });
    tell(ways, b, { straight: towards(a, 40, 2) });
    const there = { thereBytesPerMs: 100, backBytesPerMs: 40, latencyMs: 2 };
    expect(ways.links([a, b])).toEqual([{ from: "a", to: "b", ...there }]);
    const back = { thereBytesPerMs: 40, backBytesPerMs: 100, latencyMs: 2 };
    expect(ways.links([b, a])).toEqual([{ from: "b", to: "a", ...back }]);
  });

  it("are taken to be the same both ways where one was not measured", () => {
    const ways = new Ways();
    tell(ways, a, { straight: towards(b, 100) });
    expect(ways.links([b, a])[0]).toMatchObject({ thereBytesPerMs: 100, backBytesPerMs: 100 });
  });

  it("go through the coordinator where there is no link: the slower rate, both delays", () => {
    const ways = new Ways();
    tell(ways, a, { up: 30, down: 80 });
    tell(ways, b, { up: 60, down: 20 });
    expect(ways.links([a, b, c])).toEqual([
      { from: "a", to: "b", thereBytesPerMs: 20, backBytesPerMs: 60, latencyMs: 10 },
      // Of c nothing is known, so a's own link decides.
      { from: "a", to: "c", thereBytesPerMs: 30, backBytesPerMs: 80, latencyMs: 10 },
      { from: "b", to: "c", thereBytesPerMs: 60, backBytesPerMs: 20, latencyMs: 10 },
    ]);
  });

  it("tell what a node's own line carries: the fastest of them, or the slowest that is known of any", () => {
    const ways = new Ways();
    expect(ways.ratesOfNodes()(a)).toEqual({});
    tell(ways, a, { up: 30, down: 80, straight: towards(b, 100) });
    const lineOf = (of: FleetNode) => ways.ratesOfNodes()(of).lineBytesPerMs;
    expect(lineOf(a)).toEqual({ up: 100, down: 80 });
    expect(lineOf(b)).toEqual({ up: 30, down: 100 });
    expect(lineOf(c)).toEqual({ up: 30, down: 30 });
  });

  describe("over a radio", () => {
    const phone = node("phone", { kind: "device" });
    const probe = (ways: Ways, to: FleetNode, bytesPerMs: number, atMs: number): void => {
      ways.measured({ from: phone.id, to: to.id }, { bytesPerMs, latencyMs: 2 }, atMs);
    };
    /** Data leave for b, for so much of ten seconds, at a rate. */
    const send = (ways: Ways, bytesPerMs: number, share: number, fromMs: number): void => {
      for (let ms = 1000; ms <= 10_000; ms += 1000) {
        const passed = 1000 * fromMs * MB + ms * bytesPerMs * share;
        tell(ways, phone, { straight: towards(b, bytesPerMs, 2, passed), atMs: fromMs + ms });
      }
    };
    const upOf = (ways: Ways) => ways.ratesOfNodes()(phone).lineBytesPerMs?.up;
    const withLines = (ways: Ways): FleetNode[] =>
      [phone, b, c].map((own) => ({ ...own, ...ways.ratesOfNodes()(own) }));
    const wayTo = (ways: Ways, to: FleetNode) =>
      ways.links(withLines(ways)).find((link) => link.from === phone.id && link.to === to.id)
        ?.thereBytesPerMs;

    it("tell less of it than it carries while data and a probe share it", () => {
      const ways = new Ways();
      send(ways, 1000, 1, 0);
      // Half of it for each.
      probe(ways, c, 500, 10_000);
      expect(upOf(ways)).toBe(1000);
      // Data are held up elsewhere, and the probe gets the rest.
      probe(ways, c, 2500, 10_000);
      expect(upOf(ways)).toBe(3500);
      // Data want no more than half of it.
      probe(ways, c, 900, 10_000);
      expect(upOf(ways)).toBe(1800);
    });

    it("tell what it carries where data leave it idle", () => {
      const ways = new Ways();
      send(ways, 1000, 0.3, 0);
      probe(ways, c, 1500, 10_000);
      expect(upOf(ways)).toBe(1500);
    });

    it("become faster and slower with it, also those that nothing has measured since", () => {
      const ways = new Ways();
      for (const to of [b, c]) probe(ways, to, 1000, 0);
      // The servers have faster lines.
      ways.measured({ from: b.id, to: c.id }, { bytesPerMs: 5000, latencyMs: 1 }, 0);
      expect([wayTo(ways, b), wayTo(ways, c)]).toEqual([1000, 1000]);
      send(ways, 4000, 1, 20_000);
      expect(wayTo(ways, c)).toBe(4000);
      send(ways, 500, 1, 50_000);
      expect(wayTo(ways, c)).toBe(500);
    });

    it("stay as slow as they were where something else held them up", () => {
      const ways = new Ways();
      probe(ways, c, 100, 0);
      probe(ways, b, 1000, 0);
      expect(wayTo(ways, c)).toBe(100);
      send(ways, 4000, 1, 20_000);
      expect(wayTo(ways, c)).toBe(100);
    });
  });

  it("go through the coordinator again where the link is lost", () => {
    const ways = new Ways();
    tell(ways, a, { up: 30, straight: towards(b, 100) });
    tell(ways, a, { up: 30, straight: towards(b, null, null), passed: 2 * MB });
    expect(ways.links([a, b])[0]).toMatchObject({ thereBytesPerMs: 30, latencyMs: 10 });
  });

  it("are forgotten with the node", () => {
    const ways = new Ways();
    tell(ways, a, { up: 30, straight: towards(b, 100) });
    tell(ways, b, { up: 30, straight: towards(a, 100) });
    ways.forget(b.id);
    expect(ways.rate({ from: a.id, to: b.id })).toBeNull();
    expect(ways.rate({ from: b.id, to: null })).toBeNull();
  });

  it("are as old as the traffic that measured them, not as what is said of it", () => {
    const ways = new Ways();
    tell(ways, a, { up: 30, straight: towards(b, 100), atMs: 1000 });
    tell(ways, a, { up: 30, straight: towards(b, 100, 2, MB + 60), atMs: 2000, passed: MB + 60 });
    expect(ways.rate({ from: a.id, to: b.id })).toEqual({ bytesPerMs: 100, atMs: 1000 });
    expect(ways.rate({ from: a.id, to: null })?.atMs).toBe(1000);
    tell(ways, a, { up: 31, straight: towards(b, 99, 2, 2 * MB), atMs: 3000, passed: 2 * MB });
    expect(ways.rate({ from: a.id, to: b.id })).toEqual({ bytesPerMs: 99, atMs: 3000 });
    expect(ways.rate({ from: a.id, to: null })).toEqual({ bytesPerMs: 31, atMs: 3000 });
  });
});

describe("candidates for a chain", () => {
  const phone = node("phone", { kind: "device", samples: 100 });
  const servers = Array.from({ length: 14 }, (_, i) => node(`s${i}`, { latencyMs: 20 - i }));

  it("are the source and the nearest servers, with those in use", () => {
    const names = candidates("pipeline", [...servers, phone], new Set([nodeId("s0")]));
    const nearest = Array.from({ length: 11 }, (_, i) => `s${13 - i}`);
    expect(names.map(({ id }) => id)).toEqual(["phone", "s0", ...nearest]);
  });

  it("are nobody where the planner has no choice, or the data are on several nodes", () => {
    expect(candidates("parallel-split", [...servers, phone], new Set())).toEqual([]);
    const two = [phone, node("tablet", { kind: "device", samples: 1 }), ...servers];
    expect(candidates("pipeline", two, new Set())).toEqual([]);
  });
});
