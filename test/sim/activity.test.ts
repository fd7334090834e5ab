import { describe, expect, it } from "vitest";
import { RunHistory } from "../../src/run/metrics/history.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimNode } from "../../src/sim/fleet.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { smallFleet, smallJob, smallModel } from "./small-job.ts";

async function watched(isWatched: boolean) {
  const job = smallJob();
  const { records, end } = await simulate({
    job,
    model: smallModel(),
    nodes: smallFleet(job),
    engine: nullEngine,
    isWatched,
  });
  const history = new RunHistory();
  for (const timed of records) history.add(timed);
  return { records, end, history };
}

describe("activity of nodes", () => {
  it("is told while somebody watches, and never otherwise", async () => {
    const { records, end } = await watched(false);
    expect(end.reason).toBe("finished");
    expect(records.some(({ record }) => record.type === "activity")).toBe(false);
    const seen = await watched(true);
    expect(seen.records.some(({ record }) => record.type === "activity")).toBe(true);
  });

  it("shows on each node what it works at, in stretches that do not overlap per kind", async () => {
    const { history, records } = await watched(true);
    const kindsOf = (node: string): Set<string> =>
      new Set(
        [...history.activity]
          .filter(([id]) => id === node)
          .flatMap(([, spans]) => spans.map((span) => span.kind)),
      );
    expect(kindsOf("c")).toEqual(
      new Set(["forward", "backward", "update", "sending", "receiving"]),
    );
    expect(kindsOf("edge")).toContain("step");
    expect(kindsOf("edge")).toContain("evaluate");
    // Ages are by the node's clock at one moment; on their way, records wait for what is leaving.
    for (const { record } of records) {
      if (record.type !== "activity") continue;
      for (const kind of ["forward", "backward", "sending"]) {
        const own = record.spans.filter(([name]) => name === kind);
        for (const [i, [, agoMs]] of own.entries()) {
          const [, earlierMs, ms] = own[i - 1] ?? [kind, Number.POSITIVE_INFINITY, 0];
          expect(-agoMs).toBeGreaterThan(-earlierMs + ms - 0.2);
        }
      }
    }
  });

  it("takes hardly any time of links with a small share, where contributions give way to all else", async () => {
    const devices = smallJob().fleet.devices.map(({ name, duty }) => ({ name, duty }));
    const job = smallJob({ rounds: 1, fleet: { cellMbit: 0.01, devices } });
    const run = async (isWatched: boolean): Promise<number> => {
      const given = { job, model: smallModel(), nodes: smallFleet(job), engine: nullEngine };
      const { end, virtualMs } = await simulate({ ...given, isWatched });
      expect(end.reason).toBe("finished");
      return virtualMs;
    };
    expect(await run(true)).toBeLessThan(1.2 * (await run(false)));
  });

  it("is seen whole from outside a simulation, though no node tells of it", async () => {
    const job = smallJob({ rounds: 2, localBatches: 9 });
    const passes: { readonly kind: string; readonly endMs: number; readonly ms: number }[] = [];
    const { records, virtualMs } = await simulate({
      ...{ job, model: smallModel(), nodes: smallFleet(job), engine: nullEngine },
      onWork: (node, work) => {
        if (node === "c" && work.kind === "backward") passes.push(work);
      },
    });
    expect(records.some(({ record }) => record.type === "activity")).toBe(false);
    expect(passes).toHaveLength(2 * 9);
    for (const [i, { endMs, ms }] of passes.entries()) {
      expect(endMs - ms).toBeGreaterThanOrEqual(passes[i - 1]?.endMs ?? 0);
      expect(endMs).toBeLessThan(virtualMs);
    }
  });

  it("agrees with what the rounds say that each kind of work cost", async () => {
    const { history } = await watched(true);
    const node = "c";
    const told = history.rounds.reduce(
      (sum, round) => sum + (round.nodes.find((cost) => cost.node === node)?.held?.forward ?? 0),
      0,
    );
    const spans = [...history.activity].find(([id]) => id === node)?.[1] ?? [];
    const seen = spans
      .filter(({ kind }) => kind === "forward")
      .reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
    expect(told).toBeGreaterThan(0);
    expect(seen).toBeGreaterThan(0.9 * told);
    expect(seen).toBeLessThan(1.1 * told);
  });

  it("finds links at the rate that the plan allots them", async () => {
    const { history } = await watched(false);
    const plan = history.plans[0]?.plan;
    for (const link of plan?.links ?? []) {
      for (const { nodes } of history.rounds.slice(1)) {
        const traffic = nodes.find((cost) => cost.node === link.from);
        for (const way of [traffic?.sending, traffic?.receiving]) {
          expect((way?.bytes ?? 0) / (way?.ms ?? 1)).toBeCloseTo(link.bytesPerMs ?? 0, 6);
        }
      }
    }
    expect(plan?.links.length).toBe(3);
  });
});

describe("a simulation whose nodes are not the job's", () => {
  const job = smallJob();
  const simulated = (nodes: readonly SimNode[]) =>
    simulate({ job, model: smallModel(), nodes, engine: nullEngine });
  const fleet = smallFleet(job);

  it("is refused at once, with what is wrong", async () => {
    await expect(simulated(fleet.slice(0, 3))).rejects.toThrow("2 devices for a job of 3");
    const twice = fleet.map((node) => (node.name === "b" ? { ...node, name: "a" } : node));
    await expect(simulated(twice)).rejects.toThrow('two nodes named "a"');
    const misfit = fleet.map((node) =>
      node.name === "b" ? { ...node, train: { samples: 5, inputShape: [7], classes: 3 } } : node,
    );
    await expect(simulated(misfit)).rejects.toThrow(/b, refused: samples of shape \[7\]/);
  });
});
