import { expect, it } from "vitest";
import { edgeServer, evenProfile, fleetNode } from "../../test/fleets.ts";
import { hasDrifted } from "./drift.ts";
import type { Fleet, FleetLink } from "./plan.ts";

const phone = (segmentMs: number) => fleetNode("phone", evenProfile(3, segmentMs));
const server = edgeServer(evenProfile(3, 1));
const way = (thereBytesPerMs: number | null): FleetLink => ({
  ...{ from: phone(1).id, to: server.id, thereBytesPerMs, backBytesPerMs: null, latencyMs: 0 },
});
const fleet = (segmentMs: number, links: readonly FleetLink[] = []): Fleet => ({
  ...{ nodes: [server, phone(segmentMs)], links, cellBytesPerMs: null },
});

it("is a tenth or more, of a node's speed or a way's rate, or another fleet", () => {
  expect(hasDrifted(fleet(10), fleet(10.9))).toBe(false);
  expect(hasDrifted(fleet(10), fleet(11.1))).toBe(true);
  expect(hasDrifted(fleet(10), fleet(8.9))).toBe(true);
  expect(hasDrifted(fleet(10, [way(100)]), fleet(10, [way(105)]))).toBe(false);
  expect(hasDrifted(fleet(10, [way(100)]), fleet(10, [way(50)]))).toBe(true);
  expect(hasDrifted(fleet(10), fleet(10, [way(50)]))).toBe(true);
  expect(hasDrifted(fleet(10), fleet(10, [way(null)]))).toBe(false);
  expect(hasDrifted(fleet(10), { ...fleet(10), nodes: [server] })).toBe(true);
  const lined = (rate: number): Fleet => {
    const lineBytesPerMs = { up: 100, down: rate };
    return { ...fleet(10), nodes: [server, { ...phone(10), lineBytesPerMs }] };
  };
  expect(hasDrifted(lined(100), lined(80))).toBe(false);
  expect(hasDrifted(lined(100), lined(80), true)).toBe(true);
  expect(hasDrifted(lined(100), lined(105), true)).toBe(false);
  expect(hasDrifted(fleet(10), lined(100), true)).toBe(true);
});
