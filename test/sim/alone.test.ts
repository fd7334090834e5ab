/** Members of an exchange whose coordinator is away, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { eventsOf } from "../../src/run/metrics/events.ts";
import { nullEngine } from "../../src/sim/engines.ts";
import type { SimFault } from "../../src/sim/faults.ts";
import { all, cloudJob, expectReplayed, type Ran, run } from "./clouds.ts";

/** When rounds of a run were over. */
const endsOf = ({ records }: Ran): number[] =>
  records.flatMap(({ atMs, record }) => (record.type === "round" ? [atMs] : []));

const patienceMs = 600_000;
const job = cloudJob({ rounds: 12, exchange: all, evaluate: { every: 100 } });

/** A run whose coordinator is away for so many rounds, from the middle of the fourth on. */
async function away(of: typeof job, rounds: number, also: (atMs: number) => SimFault[] = () => []) {
  const calm = await run(of);
  const ends = endsOf(calm);
  const [third, fourth] = [present(ends[2], "a round"), present(ends[3], "a round")];
  const atMs = (third + fourth) / 2;
  const forMs = rounds * (fourth - third);
  const crash = { kind: "crash", node: "coordinator", atMs, forMs } as const;
  const ran = await run(of, { patienceMs, faults: [crash, ...also(atMs)] });
  const home = present(ran.of("round")[3], "what came home");
  return { calm, ran, home };
}

describe("a coordinator that is away", { timeout: 60_000 }, () => {
  it.each([
    ["gradients of all", all],
    ["changes of weights", { every: 3, outer: { rate: 0.7, momentum: 0.5 } }],
  ])(
    "R26: finds that members have gone on, and takes what they came to, with %s",
    async (_what, exchange) => {
      const { calm, ran, home } = await away(
        cloudJob({ rounds: 12, evaluate: { every: 100 }, exchange }),
        6,
      );
      expect(ran.end?.reason).toBe("finished");
      expect(home.round).toBe(3);
      expect(home.participants).toHaveLength(6);
      expect(home.dropped).toEqual([]);
      // They trained all the time, and a while longer until the last of them had noticed that it was back.
      const alone = home.alone ?? [];
      expect(alone.length).toBeGreaterThanOrEqual(3);
      // Its rounds count, and nothing of them is trained again.
      expect(ran.of("round")).toHaveLength(12 - alone.length);
      const lossAt = (of: Ran, round: number) => present(of.of("round")[round]?.loss, "a loss");
      // Between local steps optimizers remember more than they do over rounds of a coordinator's.
      if (exchange === all) expect(lossAt(ran, 3)).toBe(lossAt(calm, 3 + alone.length));
      expect(lossAt(ran, 3)).toBeLessThan(0.5 * lossAt(ran, 2));
      const [event] = ran.of("round").flatMap(eventsOf);
      expect(event?.text).toBe(
        `round 4: took in ${alone.length + 1} rounds that nodes have made by themselves while the coordinator was away`,
      );
      await expectReplayed(ran);
    },
  );

  it("R26: takes what one more has not lived to bring, as far as the others went on from it", async () => {
    const { ran, home } = await away(job, 4, (atMs) => [
      { kind: "crash", node: "c", atMs: atMs + 500, forMs: null },
    ]);
    expect(ran.end?.reason).toBe("finished");
    expect(home.dropped.map(({ chain }) => chain)).toEqual(["chain:c"]);
    expect(home.participants).toHaveLength(5);
    expect(home.alone?.length).toBeGreaterThanOrEqual(3);
    await expectReplayed(ran);
  });

  it("R26: comes back twice to members who go on in between", async () => {
    const { ran } = await away(job, 4, (atMs) => [
      { kind: "crash", node: "coordinator", atMs: atMs + 2800, forMs: 1000 },
    ]);
    expect(ran.end?.reason).toBe("finished");
    await expectReplayed(ran);
  });

  it("R26: takes nothing of one that lost it while it went on with the others", async () => {
    const calm = await run(job);
    const atMs = present(endsOf(calm)[2], "a round") + 50;
    const cut = { kind: "partition", nodes: ["b"], atMs, forMs: 3000 } as const;
    const ran = await run(job, { patienceMs, faults: [cut] });
    expect(ran.end?.reason).toBe("finished");
    for (const { alone } of ran.of("round")) expect(alone).toBeUndefined();
    await expectReplayed(ran);
  });
});

describe("a worker that is killed", { timeout: 60_000 }, () => {
  it("R22: costs the others one step at most, whoever it is and whenever it is", async () => {
    const engine = nullEngine;
    const short = cloudJob({
      rounds: 3,
      localBatches: 32,
      exchange: all,
      evaluate: { every: 100 },
    });
    const calm = await run(short, { engine });
    const [from = 0, to = 0] = endsOf(calm);
    const [chain] = present(calm.of("planned")[0], "a plan").plan.chains;
    const steps = (chain?.work ?? 0) / (chain?.microBatches ?? 1);
    const costs: number[] = [];
    for (const node of ["a", "b", "c", "d", "e", "f"]) {
      for (const share of [0.05, 0.5, 0.95]) {
        const atMs = from + share * (to - from);
        const crash = { kind: "crash", node, atMs, forMs: null } as const;
        const ran = await run(short, { engine, faults: [crash] });
        const [, second = 0, third = 0] = endsOf(ran);
        const [, cut, last] = ran.of("round");
        expect(cut?.dropped.map(({ chain: id }) => id)).toEqual([`chain:${node}`]);
        // How much later the round ends, and the time until the next one has begun under another plan.
        const lostMs = second - to + third - (last?.ms ?? 0) - second;
        costs.push((lostMs / (to - from)) * steps);
      }
    }
    const most = Math.max(...costs);
    console.log(`a kill costs ${most.toFixed(2)} of a round's ${steps} steps at most`);
    expect(most).toBeLessThanOrEqual(1);
  });
});
