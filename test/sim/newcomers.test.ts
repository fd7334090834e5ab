/** Members of an exchange that come back or join while the others go on: who gives them what they lack. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { Sequential } from "../../src/models/layers.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import type { SimulationOptions } from "../../src/sim/simulate.ts";
import { all, cloudFleet, cloudJob, expectReplayed, type Ran, run } from "./clouds.ts";

/** Weights that weigh more than what is said of a round. */
const wider = new Sequential("small", [12], 3)
  .linear("fc1", 96)
  .relu("relu1")
  .linear("fc2", 32)
  .relu("relu2")
  .linear("fc3", 3)
  .model();
const weightBytes = 4 * (13 * 96 + 97 * 32 + 33 * 3);

const job = (exchange: object) => cloudJob({ rounds: 7, exchange, evaluate: { every: 100 } });

/** The device b dies in the second round and is back two rounds later. */
async function comesBack(
  exchange: object,
  change: Partial<SimulationOptions> = {},
  also: readonly SimFault[] = [],
) {
  const own = job(exchange);
  const calm = await run({ ...own, rounds: 2 }, change);
  const ends = calm.records.flatMap(({ atMs, record }) => (record.type === "round" ? [atMs] : []));
  const [from, to] = [present(ends[0], "a round"), present(ends[1], "a round")];
  const crash = {
    kind: "crash",
    node: "b",
    atMs: (from + to) / 2,
    forMs: 2 * (to - from),
  } as const;
  const ran = await run(own, { ...change, faults: [crash, ...also] });
  expect(ran.end).toEqual({ reason: "finished", text: "7 rounds" });
  return ran;
}

/** What the coordinator sent the device b in the round of its return, in bytes. */
function sentBack({ of }: Ran): number {
  const rounds = of("round");
  const gone = rounds.findIndex(({ dropped }) => dropped.length > 0);
  const back = rounds.find(({ round, participants }) => {
    return round > gone && participants.some(({ chain }) => chain === "chain:b");
  });
  const { bytesDown, bytesStraight, straight } = present(
    present(back, "the round of its return").nodes.find(({ node }) => node === "b"),
    "what it cost b",
  );
  const sent = straight.reduce((sum, { bytes }) => sum + bytes, 0);
  return bytesDown - (bytesStraight - sent);
}

const localSteps = { every: 3, outer: { rate: 0.7, momentum: 0.5 } };
/** When the plan with the returned device came into force. */
const backMs = ({ records }: Ran): number =>
  present(
    records.find(({ record }) => record.type === "planned" && record.plan.term === 3),
    "its plan",
  ).atMs;

describe("a member that comes back", { timeout: 60_000 }, () => {
  it.each([
    ["gradients of all", all],
    ["changes of weights", localSteps],
    ["changes by fragments", { every: 3, stream: { fragments: 3, mix: 0.5 } }],
  ])("R32: is given weights by a neighbour, with %s", async (_what, exchange) => {
    const ran = await comesBack(exchange, { model: wider });
    // What is said of a round and its links.
    expect(sentBack(ran)).toBeLessThan(3000);
    await expectReplayed(ran, wider);
  });

  it("R32: is sent them by the coordinator where it reaches nobody", async () => {
    const nodes = cloudFleet(job(localSteps)).map((node) => ({ ...node, reachable: false }));
    const ran = await comesBack(localSteps, { model: wider, nodes });
    expect(sentBack(ran)).toBeGreaterThan(weightBytes);
    await expectReplayed(ran, wider);
  });

  it("R32: is sent them by the coordinator where who gives them dies", async () => {
    const atMs = backMs(await comesBack(all));
    for (const afterMs of [1, 4, 5, 6, 8]) {
      const also = [{ kind: "crash", node: "a", atMs: atMs + afterMs, forMs: null }] as const;
      const ran = await comesBack(all, {}, also);
      const back = ran.of("round").find(({ participants, round }) => {
        return round > 1 && participants.some(({ chain }) => chain === "chain:b");
      });
      expect(back?.ms).toBeLessThan(5000);
      await expectReplayed(ran);
    }
  });

  it("R32: goes on as fast where nothing is computed", async () => {
    const [real, hollow] = [await comesBack(all), await comesBack(all, { engine: nullEngine })];
    const msOf = (ran: Ran) => ran.of("round").map(({ ms }) => ms);
    for (const [i, ms] of msOf(real).entries()) expect(msOf(hollow)[i]).toBeCloseTo(ms, -2);
  });
});
