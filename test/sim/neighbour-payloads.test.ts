/** A payload between two workers' neighbours: what it measures, and where it is refused. */
import { describe, expect, it } from "vitest";
import { nodeId } from "../../src/base/ids.ts";
import type { MeasuredLink } from "../../src/run/wire/payload.ts";
import { edge, runUntil, standing } from "./two-neighbours.ts";

describe("a payload between neighbours", () => {
  const size = { bytes: 131_072, isHollow: true };

  it("M1, M2: tells rate and delay of the link, and nobody is handed it", async () => {
    const { near, far } = await standing({ bytesPerMs: 500 });
    const measured: MeasuredLink[] = [];
    const done = (link: MeasuredLink) => measured.push(link);
    near.neighbours.measure(edge, size, done);
    // Void, as long as the first one is under way.
    near.neighbours.measure(edge, size, done);
    await runUntil(10_000);
    expect(measured).toHaveLength(1);
    expect((measured[0]?.bytesPerMs ?? 0) / 500).toBeCloseTo(1, 1);
    expect(measured[0]?.latencyMs).toBeCloseTo(10, 0);
    expect(far.taken).toEqual([]);
    near.neighbours.measure(edge, size, done);
    await runUntil(20_000);
    expect(measured).toHaveLength(2);
  });

  it("M1: tells nothing where no link stands, or it ends", async () => {
    const nothing = { bytesPerMs: null, latencyMs: null };
    const { near, links } = await standing({ bytesPerMs: 10 });
    const measured: MeasuredLink[] = [];
    near.neighbours.measure(nodeId("x"), size, (link) => measured.push(link));
    expect(measured).toEqual([nothing]);
    near.neighbours.measure(edge, size, (link) => measured.push(link));
    await runUntil(1_000);
    links[0]?.close();
    await runUntil(2_000);
    expect(measured).toEqual([nothing, nothing]);
  });

  it("M2: is refused where it is none", async () => {
    const { near, far } = await standing();
    near.neighbours.measure(edge, { bytes: 262_145, isHollow: true }, () => {});
    await runUntil(1_000);
    expect(far.ways.join()).toMatch(/a relayed at/);
  });
});
