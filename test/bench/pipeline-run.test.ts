/** What is counted of a walk: batches until its end, those of the round that was under way then as well. */
import { expect, it } from "vitest";
import { countsOf, isCounted } from "../../bench/pipeline-run.ts";
import type { TimedRecord } from "../../src/run/metrics/record.ts";

const record = (atMs: number, fields: object): TimedRecord =>
  ({ atMs, record: fields }) as unknown as TimedRecord;
const round = (atMs: number, ms: number): TimedRecord =>
  record(atMs, { type: "round", ms, participants: [{}] });

const planned = record(0, { type: "planned", plan: { chains: [], copies: [] } });

it("counts a round that was under way at the end by the share of it that was before", () => {
  const records = [planned, round(600, 600), round(1200, 600)];
  expect(countsOf(records, { endMs: 1000, work: 90 }).batches).toBeCloseTo(90 + 60);
});

it("waits for that round, whatever else is said after the one before", () => {
  const before = [planned, round(600, 600)];
  expect(isCounted(before, 1000)).toBe(false);
  expect(isCounted([...before, record(1100, { type: "links" })], 1000)).toBe(false);
  expect(isCounted([...before, round(1200, 600), record(1200, { type: "links" })], 1000)).toBe(
    true,
  );
});
