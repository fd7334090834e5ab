import { expect, it } from "vitest";
import type { Host } from "../host.ts";
import type { Hello } from "../wire/messages.ts";
import { decideGathering, type Gathered, Gathering } from "./gathering.ts";

const fresh: Gathered = {
  devices: 0,
  devicesAsked: 3,
  servers: 0,
  serversAsked: 1,
  waitedMs: null,
  missing: [],
  lost: [],
  problem: null,
  patienceMs: 60_000,
};
/** Who has been away for so long. */
const early = (name: string, forMs: number) => ({
  ...{ name, isDevice: name !== "edge" },
  leftMs: fresh.patienceMs - forMs,
});
const lost: Gathered = { ...fresh, devices: 2, servers: 1, waitedMs: 1_000, missing: ["c"] };

it.each<[what: string, at: Gathered, decision: string, reason: RegExp]>([
  ["a new run waits for everybody", { ...fresh, devices: 2, servers: 1 }, "wait", /2 of 3/],
  ["and begins when all are there", { ...fresh, devices: 3, servers: 1 }, "go", /everybody/],
  [
    "who leaves before that may come back for a while",
    { ...fresh, devices: 2, servers: 1, lost: [early("c", 59_999)] },
    "wait",
    /2 of 3/,
  ],
  [
    "and then it begins without",
    { ...fresh, devices: 2, servers: 1, lost: [early("c", 60_000)] },
    "go without",
    /^without c, which left before the first plan and did not come back within 60 s$/,
  ],
  [
    "but not while others have never come",
    { ...fresh, devices: 1, servers: 1, lost: [early("c", 60_000)] },
    "wait",
    /1 of 3/,
  ],
  [
    "nor without a server that has never come",
    { ...fresh, devices: 2, lost: [early("c", 60_000)] },
    "wait",
    /2 of 3/,
  ],
  [
    "gives up where all have left",
    {
      ...fresh,
      lost: [early("a", 60_000), early("b", 61_000), early("c", 60_000), early("edge", 70_000)],
    },
    "give up",
    /^nobody is left: the run waited for a, b, c, edge, which left/,
  ],
  ["one that was under way waits for who is missing", lost, "wait", /c may come back/],
  ["goes on when all of the last plan are back", { ...lost, missing: [] }, "go", /all are back/],
  ["or without them after a while", { ...lost, waitedMs: 15_000 }, "go without", /without c/],
  ["but not with nobody", { ...lost, devices: 0, servers: 0, waitedMs: 15_000 }, "wait", /c may/],
  ["nor where they cannot train", { ...lost, problem: "no edge" }, "wait", /no edge/],
  ["gives up in the end", { ...lost, waitedMs: 60_000 }, "give up", /c did not come back.* 60 s/],
  [
    "also where nobody of the last plan is missing, or there was none",
    { ...lost, waitedMs: 60_000, missing: [] },
    "give up",
    /^enough nodes to train did not come back within 60 s$/,
  ],
  [
    "and says what was wrong",
    { ...lost, waitedMs: 60_000, problem: "no edge" },
    "give up",
    /no edge/,
  ],
])("%s", (_what, at, decision, reason) => {
  expect(decideGathering(at).decision).toBe(decision);
  expect(decideGathering(at).reason).toMatch(reason);
});

it("takes who has left for gone as its timer fires, whatever rounding makes of the time since", () => {
  const [leftMs, patienceMs] = [7382.3, 128_000.5];
  expect(leftMs + patienceMs - leftMs).toBeLessThan(patienceMs);
  let nowMs = leftMs;
  const host = { now: () => nowMs, after: () => () => {} } as unknown as Host;
  const gathering = new Gathering(host, patienceMs, () => {});
  gathering.left({ token: "c", name: "c", kind: "device" } as Hello);
  const there = { devices: 2, devicesAsked: 3, servers: 1, serversAsked: 1, missing: [] };
  expect(gathering.decide(there).decision).toBe("wait");
  nowMs = leftMs + patienceMs;
  expect(gathering.decide(there).decision).toBe("go without");
});
