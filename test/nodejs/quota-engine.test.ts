/** The share of a core that the benchmark of pipelines on real processes gives to each. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { QuotaEngine } from "../../bench/quota-engine.ts";
import type { Engine, Program } from "../../src/nodejs.ts";

const program = { id: "forward", kind: "forward", from: 0, to: 1 } as Program;
const run = { program: program.id, feeds: new Map(), keep: new Map(), fetch: [] };
/** Ten milliseconds forward. */
const core = {
  segments: [{ forwardMs: 10, backwardMs: 20, updateMs: 0 }],
  runMs: 0,
  callMs: 0,
};

/** An engine that takes so long for whatever it is given. */
const inner = (ms: number): Engine => ({
  description: "one that sleeps",
  load: async () => {},
  write: async () => {},
  read: async () => new Map(),
  drop: async () => {},
  close: async () => {},
  async run() {
    if (ms > 0) await sleep(ms);
    return { outputs: new Map(), computeMs: ms };
  },
});

async function quota(ms: number, share: () => number): Promise<QuotaEngine> {
  const engine = new QuotaEngine(inner(ms), { name: "phone", core, share });
  await engine.load([program]);
  return engine;
}

describe("a share of a core", () => {
  it("holds each run for its profiled time over the share, one after the other", async () => {
    let share = 0.25;
    const engine = await quota(0, () => share);
    const fromMs = performance.now();
    const answers = await Promise.all([engine.run(run), engine.run(run)]);
    expect(answers.map(({ computeMs }) => computeMs)).toEqual([40, 40]);
    // Timers may be a millisecond early.
    expect(performance.now() - fromMs).toBeGreaterThan(78);
    share = 0.5;
    expect((await engine.run(run)).computeMs).toBe(20);
  });

  it("counts runs that took longer than it allows, and begins to count anew when asked", async () => {
    const slow = await quota(40, () => 1);
    await slow.run(run);
    expect(slow.takeKept()).toEqual({ runs: 1, late: 1 });
    expect(slow.takeKept()).toEqual({ runs: 0, late: 0 });
    const small = await quota(0, () => 0.1);
    await small.run(run);
    expect(small.takeKept()).toEqual({ runs: 1, late: 0 });
  });
});
