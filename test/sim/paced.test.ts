/** Members of an exchange that compute for a time and not for a number of batches, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { batchesTaken } from "../../src/run/metrics/record.ts";
import { cloudJob, expectReplayed, names, type Ran, run } from "./clouds.ts";

const exchange = { every: 2, codec: "float32" } as const;
const job = cloudJob({ rounds: 5, localBatches: 48, exchange, evaluate: { every: 100 } });

const ends = ({ records }: Ran): number[] =>
  records.flatMap(({ atMs, record }) => (record.type === "round" ? [atMs] : []));

/** What a chain took before each exchange of a round. */
const tookIn = (ran: Ran, round: number, node: string): readonly number[] => {
  const own = ran.of("round")[round]?.participants.find((one) => one.node === node);
  const told = own?.took?.find(({ chain }) => chain === own.chain);
  return present(told, `what ${node} took`).batches;
};

describe("members that compute for a time", { timeout: 60_000 }, () => {
  it("R33: take as many batches as they manage, each the next ones of its own, and the replay is the run", async () => {
    const ran = await run(job);
    const { plan } = present(ran.of("planned")[0], "a plan");
    const { computeMs } = present(plan.groups[0]?.exchange, "an exchange");
    expect(computeMs).toBeGreaterThan(0);
    const rounds = ran.of("round");
    const [fast, slow] = [tookIn(ran, 1, "a"), tookIn(ran, 1, "e")];
    expect(fast).toHaveLength(6);
    for (const [i, batches] of fast.entries()) expect(batches).toBeGreaterThan(4 * (slow[i] ?? 0));
    // No sample is left out, and none is drawn twice.
    const next = new Map<string, number>();
    for (const { participants } of rounds) {
      for (const one of participants) {
        const first = next.get(one.node) ?? 0;
        if (one.firstStep !== undefined) expect(one.firstStep).toBe(first);
        next.set(one.node, first + present(batchesTaken(one), "what it took"));
      }
    }
    // Of as many batches as the job has.
    const taken = [...next.values()].reduce((sum, own) => sum + own, 0);
    expect(taken / (5 * 6 * 48)).toBeCloseTo(1, 1);
    await expectReplayed(ran);
  });

  it("R33: hold nobody up where the fast become slow in the middle of a round", async () => {
    const calm = await run(job);
    const [, second, third] = ends(calm);
    const atMs = ((second ?? 0) + (third ?? 0)) / 2;
    const slow = { kind: "slow", atMs, forMs: 1e9, factor: 6 } as const;
    const faults = ["a", "b"].map((node) => ({ ...slow, node }));
    const ran = await run(job, { faults });
    const msOf = (of: Ran, round: number) => present(of.of("round")[round], "a round").ms;
    // Dealt out, batches of the round's second half would take six times as long.
    expect(msOf(ran, 2)).toBeLessThan(1.15 * msOf(calm, 2));
    const [before, after] = [tookIn(ran, 2, "a")[0] ?? 0, tookIn(ran, 2, "a").at(-1) ?? 0];
    expect(after).toBeLessThan(before / 4);
    await expectReplayed(ran);
  });

  it("compute for longer where all of them have become slow, by another plan", async () => {
    const atMs = present(ends(await run(job))[0], "a round");
    const slow = { kind: "slow", atMs, forMs: 1e9, factor: 6 } as const;
    const ran = await run(job, { faults: names.map((node) => ({ ...slow, node })) });
    const paces = ran.of("planned").map(({ plan }) => plan.groups[0]?.exchange?.computeMs ?? 0);
    expect(paces.at(-1)).toBeGreaterThan(2.5 * (paces[0] ?? 0));
    await expectReplayed(ran);
  });

  it.each(["mesh", "ring"] as const)(
    "R33: are known by what they took when they die, in a %s",
    async (topology) => {
      const own = { ...job, exchange: { ...present(job.exchange, "an exchange"), topology } };
      const calm = await run(own);
      const [, second, third] = ends(calm);
      const atMs = (second ?? 0) + 0.6 * ((third ?? 0) - (second ?? 0));
      const ran = await run(own, { faults: [{ kind: "crash", node: "b", atMs }] });
      const round = present(ran.of("round")[2], "a round");
      expect(round.dropped.map(({ chain }) => chain)).toEqual(["chain:b"]);
      const told = round.participants.flatMap(({ took = [] }) =>
        took.filter(({ chain }) => chain === "chain:b"),
      );
      // By those who had parts of it, and of nobody else is more said than it says itself.
      expect(Math.max(...told.map(({ batches }) => batches.length))).toBeGreaterThanOrEqual(3);
      for (const { chain, took = [] } of round.participants) {
        const others = took.filter((one) => one.chain !== chain);
        for (const other of others) expect(other.chain).toBe("chain:b");
      }
      await expectReplayed(ran);
    },
  );

  it("have a number of batches each where the job says so, or fragments go while they train", async () => {
    const plans = [
      { batches: "equal" },
      { batches: "dealt" },
      { stream: { fragments: 2 } },
      { every: 1 },
    ];
    for (const change of plans) {
      const ran = await run(cloudJob({ rounds: 1, exchange: { ...exchange, ...change } }));
      expect(ran.of("planned")[0]?.plan.groups[0]?.exchange?.computeMs).toBeUndefined();
      for (const { took } of ran.of("round")[0]?.participants ?? []) expect(took).toBeUndefined();
    }
  });
});
