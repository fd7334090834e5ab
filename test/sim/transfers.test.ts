/** Members of an exchange that take over weights of others, over virtual time and with real numbers. */
import { describe, expect, it } from "vitest";
import { present } from "../../src/base/assert.ts";
import { eventsOf } from "../../src/run/metrics/events.ts";
import type { SimAttack } from "../../src/sim/attacks.ts";
import { accuracyOf, cloudFleet, cloudJob, expectReplayed, type Ran, run } from "./clouds.ts";

const transfer = { every: 2, mix: 0.75, margin: 0.1 };
const ring = { every: 2, select: "all", topology: "ring" } as const;

/** What became of weights that members were given, with who was. */
const transfersIn = ({ of }: Ran) =>
  of("round").flatMap(({ participants }) =>
    participants.flatMap(({ node, transfers = [] }) =>
      transfers.filter(({ by }) => by === undefined).map((one) => ({ node, ...one })),
    ),
  );

describe("transfer of weights", () => {
  it.each([
    ["parts of gradients", { every: 1, select: { kind: "parts", parts: 4 } }],
    ["the largest gradients", { every: 1, select: { kind: "max-n" } }],
    ["changes of weights in a ring", ring],
    ["late gradients", { every: 1, select: "all", staleness: 2 }],
  ])(
    "R25: goes from neighbour to neighbour, and the replay is the run, with %s",
    async (_what, own) => {
      const exchange = { ...own, transfer };
      const ran = await run(cloudJob({ rounds: 2, localBatches: 48, exchange }));
      expect(ran.end?.text).toBe("2 rounds");
      expect(transfersIn(ran).some(({ isTaken }) => isTaken)).toBe(true);
      await expectReplayed(ran);
      const events = ran.of("round").flatMap(eventsOf);
      expect(events.filter(({ kind }) => kind === "transferred")).toHaveLength(
        transfersIn(ran).length,
      );
      expect(events.map(({ text }) => text).join("\n")).toMatch(
        /round \d: \w took over weights of \w after exchange \d+ \(on its held-out samples: loss [\d.e-]+ with them, [\d.e-]+ without\)/,
      );
    },
  );

  it("R25: is known of one who dies, as far as others go on from it", async () => {
    const job = cloudJob({ rounds: 2, localBatches: 48, exchange: { ...ring, transfer } });
    const calm = await run(job);
    const [first] = calm.of("round");
    const taken = transfersIn(calm).filter(({ isTaken }) => isTaken);
    const { node } = present(
      taken.find(({ at }) => at < 5),
      "a member that took weights over early",
    );
    const atMs = present(
      calm.records.find(({ record }) => record.type === "round"),
      "a round",
    ).atMs;
    const ms = present(first, "a round").ms;
    const ran = await run(job, { faults: [{ kind: "crash", node, atMs: atMs - 0.1 * ms }] });
    expect(ran.end?.reason).toBe("finished");
    const [cut] = ran.of("round");
    expect(cut?.dropped.map(({ chain }) => chain)).toEqual([`chain:${node}`]);
    const told = cut?.participants.flatMap(({ transfers = [] }) => transfers) ?? [];
    expect(told.filter(({ by, isTaken }) => by === `chain:${node}` && isTaken)).not.toEqual([]);
    await expectReplayed(ran);
  });

  it("R25: has no place where all have the same weights, and in rounds that are too short", async () => {
    const planOf = async (change: object) => {
      const ran = await run(cloudJob({ rounds: 1, ...change }));
      return present(ran.of("planned")[0], "a plan").plan;
    };
    const alike = await planOf({ exchange: { every: 1, select: "all", transfer } });
    expect(alike.groups[0]?.exchange?.transfer).toBeUndefined();
    expect(alike.reason).toContain("all have the same weights");
    const short = await planOf({ localBatches: 8, exchange: { ...ring, every: 1, transfer } });
    expect(short.groups[0]?.exchange?.transfer).toBeUndefined();
    expect(short.reason).toContain("a round has 2 exchanges, too few to take over weights every 2");
  });
});

describe("two who say that they lose nothing, and send bad weights", () => {
  const liars = new Set(["b", "e"]);
  const attack: SimAttack = { kind: "lying-loss", factor: -4 };

  /** Each of the honest has one liar beside it, whose gradients a median of three holds against. */
  const train = (isAttacked: boolean) => {
    const job = cloudJob({
      ...{ rounds: 3, localBatches: 48, batch: 8 },
      exchange: { every: 1, select: "all", topology: "ring", join: { kind: "median" }, transfer },
    });
    const nodes = cloudFleet(job).map((node) =>
      isAttacked && liars.has(node.name) ? { ...node, attack } : node,
    );
    return run(job, { nodes });
  };

  it("R25: are asked first, and nobody takes their weights over", async () => {
    const honest = accuracyOf(await train(false));
    const ran = await train(true);
    const fromLiars = transfersIn(ran).filter(
      ({ node, chain }) => !liars.has(node) && liars.has(chain.replace("chain:", "")),
    );
    expect(new Set(fromLiars.map(({ node }) => node))).toEqual(new Set(["a", "c", "d", "f"]));
    expect(fromLiars.filter(({ isTaken }) => isTaken)).toEqual([]);
    expect(accuracyOf(ran)).toBeGreaterThan(honest - 0.02);
  });
});
