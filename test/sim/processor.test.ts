import { describe, expect, it } from "vitest";
import type { Host } from "../../src/run/host.ts";
import { Processor } from "../../src/run/worker/processor.ts";
import { World } from "../../src/sim/world.ts";

const profile = {
  segments: [{ forwardMs: 2, backwardMs: 4, updateMs: 1 }],
  runMs: 0,
  callMs: 0,
};
const forward = { kind: "forward", from: 0, to: 1 } as const;
const run = { program: "p", feeds: new Map(), keep: new Map(), fetch: [] };

/** A processor whose engine takes `computeMs` and whose timers fire late. */
function processorOf(duty: number, computeMs: number, timersLateMs = 0) {
  const world = new World();
  const noted: [fromMs: number, ms: number][] = [];
  const ends: number[] = [];
  const host = {
    now: () => world.now(),
    after: (ms: number, fire: () => void) => world.at(world.now() + ms + timersLateMs, fire),
    engine: {
      run: (_run: unknown, done: (outcome: object) => void) =>
        world.at(world.now() + computeMs, () =>
          done({ ok: true, value: { outputs: new Map(), computeMs } }),
        ),
    },
  } as unknown as Host;
  const processor = new Processor(host, (_kind, fromMs, ms) => noted.push([fromMs, ms]));
  processor.setProfile(profile);
  processor.setDuty(duty);
  const start = (count: number) => {
    for (let i = 0; i < count; i++) processor.run(forward, run, () => ends.push(world.now()));
    return world.run(() => ends.length === count);
  };
  return { processor, world, start, ends, noted };
}

describe("a processor", () => {
  it("with half a core holds each run for twice its profiled time, one after the other", async () => {
    const { start, ends, noted } = processorOf(0.5, 1);
    await start(3);
    expect(ends).toEqual([4, 8, 12]);
    expect(noted).toEqual([
      [0, 4],
      [4, 4],
      [8, 4],
    ]);
  });

  it("with a whole core holds nothing back, and counts the computing alone", async () => {
    const { start, ends, noted } = processorOf(1, 3);
    await start(2);
    expect(ends).toEqual([3, 3]);
    expect(noted.map(([, ms]) => ms)).toEqual([3, 3]);
  });

  it("forgets what waits when it is cleared, and goes on with what comes after", async () => {
    const { processor, world, start, ends } = processorOf(0.5, 1);
    world.at(5, () => processor.clear());
    world.at(6, () => void start(1));
    for (let i = 0; i < 4; i++) processor.run(forward, run, () => ends.push(world.now()));
    await world.run(() => ends.length === 3);
    expect(ends).toEqual([4, 8, 12]);
  });

  it("does not wait where computing took longer than its duty asks", async () => {
    const { start, ends } = processorOf(0.5, 7);
    await start(2);
    expect(ends).toEqual([7, 14]);
  });

  it("keeps its duty on average where timers fire late", async () => {
    const { start, ends } = processorOf(0.5, 1, 1.3);
    await start(50);
    expect(ends.at(-1)).toBeGreaterThan(50 * 4 - 1);
    expect(ends.at(-1)).toBeLessThan(50 * 4 + 3);
  });
});
