import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyRequest, evenProfile, fleetNode, planRequest, segmentCost } from "../../test/fleets.ts";
import { present } from "../base/assert.ts";
import { PlanError } from "../base/errors.ts";
import { checkPlan } from "./check.ts";
import { ako, allReduce, fullGradients, gaia, hop } from "./exchange-baselines.ts";
import { exchangePairs, exchangingWith, mayExchange } from "./exchange-members.ts";
import { exchangeForecast } from "./exchange-moves.ts";
import { federatedAveraging } from "./federated-averaging.ts";
import { anyExchange, batchesBySpeed, microClouds } from "./micro-clouds.ts";
import { partsOf } from "./part.ts";
import type { ExchangeChoice, PlanRequest } from "./plan.ts";

/** Six workers with 24, 24, 12, 12, 4 and 4 parts of compute, a model of 400 kB, and links of so much. */
const cloud = (
  bytesPerMs: number,
  exchange?: Partial<ExchangeChoice>,
  accumulate = 20,
): PlanRequest => {
  const nodes = [24, 24, 12, 12, 4, 4].map((part, i) =>
    fleetNode(`n${i}`, evenProfile(2, 240 / part), { ceilingBytesPerMs: bytesPerMs }),
  );
  const costs = [0, 1].map((i) => segmentCost(i, 10, { parameterBytes: 200_000 }));
  const choice = { ...anyExchange, ...exchange };
  return planRequest(costs, nodes, null, { accumulate, work: 4 * accumulate, exchange: choice });
};

/** What an update of a plan takes for what it is worth. */
function pricedMs(request: PlanRequest, plan = microClouds(request)): number {
  const { periodMs, priceMs = 0 } = present(exchangeForecast(plan, request), "a forecast");
  return (plan.chains[0]?.microBatches ?? 0) * (periodMs + priceMs);
}

describe("batches by speed", () => {
  const times = fc.array(
    fc.record({ batchMs: fc.integer({ min: 1, max: 9 }), updateMs: fc.nat(5) }),
    { minLength: 1, maxLength: 3 },
  );

  /** Every way to deal out batches. */
  function* dealt(total: number, members: number): Generator<number[]> {
    if (members === 1) yield [total];
    else
      for (let own = 1; own <= total - members + 1; own++)
        for (const rest of dealt(total - own, members - 1)) yield [own, ...rest];
  }

  it("are done as early as any other way to deal them out", () => {
    fc.assert(
      fc.property(times, fc.nat(9), (members, more) => {
        const total = members.length + more;
        const slowest = (shares: readonly number[]): number =>
          Math.max(
            ...members.map(({ batchMs, updateMs }, i) => (shares[i] ?? 0) * batchMs + updateMs),
          );
        const shares = batchesBySpeed(members, total);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(total);
        const best = Math.min(...[...dealt(total, members.length)].map(slowest));
        expect(slowest(shares)).toBe(best);
      }),
    );
  });

  it("make an update of this fleet at least 95 % of 3.33 times as short as equal ones", () => {
    const updateMs = ({ chains, forecasts }: ReturnType<typeof microClouds>): number =>
      (forecasts[0]?.roundMs ?? 0) / ((chains[0]?.work ?? 0) / (chains[0]?.microBatches ?? 1));
    const fast = cloud(1e9);
    const ratio = updateMs(fullGradients(fast)) / updateMs(microClouds(fast));
    expect(ratio).toBeGreaterThan(0.95 * (10 / 3));
  });
});

describe("micro-clouds", () => {
  const exchangeAt = (bytesPerMs: number, choice?: Partial<ExchangeChoice>) =>
    microClouds(cloud(bytesPerMs, choice)).groups[0]?.exchange;

  it("exchange gradients where links are fast and all batches of an update make no more steps by themselves; else changes of weights", () => {
    const asTheyAre = { select: { kind: "all" }, codec: "float32" };
    const alike = microClouds(cloud(1e6, { batches: "equal" }, 1));
    expect(alike.groups[0]?.exchange).toMatchObject({ every: 1, ...asTheyAre });
    // By themselves, the fast need not wait for a batch of the slow.
    expect(microClouds(cloud(1e6, {}, 1)).groups[0]?.exchange).toMatchObject({
      ...{ every: 2, ...asTheyAre },
    });
    expect(exchangeAt(1e6)).toMatchObject({ every: 2, ...asTheyAre });
    expect(alike.reason).toContain("is worth 1.0 step");
    // 20 steps after one another on average, and 40 until they agree.
    expect(microClouds(cloud(1e6)).reason).toContain("is worth 17 steps");
    const slow = exchangeAt(50);
    expect(slow).toMatchObject({ select: { kind: "all" }, codec: "affine4", home: "first" });
    expect(microClouds(cloud(50)).reason).toContain("in 4 bits a value");
  });

  it("exchange changes the more seldom the slower links are, by the root of what they take", () => {
    const rates = [1e5, 1e4, 1000, 100, 50, 10];
    const often = rates.map((rate) => exchangeAt(rate, { codec: "float32" })?.every ?? 0);
    expect(often).toEqual(often.toSorted((a, b) => a - b));
    // At a quarter of the rate half as often.
    const [fast = 0, slow = 0] = [400, 100].map((rate) => {
      return exchangeAt(rate, { codec: "float32" })?.every;
    });
    expect(slow / fast).toBeGreaterThan(1.6);
    expect(slow / fast).toBeLessThan(2.4);
  });

  it("exchange as often, and in such codes, as is best by what an update takes and is worth", () => {
    fc.assert(
      fc.property(anyRequest(20, 4), fc.nat(70), fc.integer({ min: 1, max: 9 }), (any, k, acc) => {
        const request = { ...any, accumulate: acc, work: acc * (1 + (any.work % 9)) };
        const choice = { ...anyExchange, ...any.exchange, select: null };
        let best: number;
        try {
          best = pricedMs({ ...request, exchange: choice });
        } catch (error) {
          expect(error).toBeInstanceOf(PlanError);
          return;
        }
        const every = 1 + (k % 64);
        // Who asks for an exchange each update may get the largest gradients alone, which nobody else does.
        const select = every === 1 ? ({ kind: "all" } as const) : null;
        for (const codec of [null, "float32", "affine8"] as const) {
          const other = pricedMs({ ...request, exchange: { ...choice, every, codec, select } });
          expect(best).toBeLessThanOrEqual(other * (1 + 1e-9));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("each update, exchange all gradients, in 8 bits or the largest where links are slower", () => {
    const all = { kind: "all" };
    const [eachUpdate, asIs] = [{ every: 1 }, { every: 1, codec: "float32" } as const];
    expect(exchangeAt(1e6, eachUpdate)).toMatchObject({ select: all, codec: "float32" });
    expect(exchangeAt(1000, eachUpdate)).toMatchObject({ select: all, codec: "affine8" });
    const slower = exchangeAt(1000, asIs);
    expect(slower).toMatchObject({ every: 1, select: { kind: "max-n" }, home: "each" });
    expect(slower?.topology).toHaveLength(30);
    for (const { bytes } of slower?.topology ?? []) {
      expect(bytes).toBeGreaterThan(0.08 * 400_000);
      expect(bytes).toBeLessThan(0.1 * 400_000);
    }
  });

  it("have the one with the fastest way bring home what all end with alike, and count what that takes", () => {
    const request = cloud(1e6, { every: 1 });
    const nodes = request.fleet.nodes.map((node, i) => {
      const way = { up: 10 * (i + 1), down: 5 };
      return i === 5
        ? node
        : { ...node, coordinatorBytesPerMs: i === 3 ? { up: 1e9, down: 1e9 } : way };
    });
    const alike = microClouds({ ...request, fleet: { ...request.fleet, nodes } });
    expect(alike.groups[0]).toMatchObject({ exchange: { home: "first" } });
    expect(alike.groups[0]?.members[0]).toBe("copy:n3");
    const coded = { ...request, fleet: { ...request.fleet, nodes }, homeBytes: [100, 100] };
    const each = microClouds(coded);
    expect(each.groups[0]).toMatchObject({ exchange: { home: "each" } });
    // 400 kB down to the slowest, 200 bytes up from it.
    const longer = (each.forecasts[0]?.roundMs ?? 0) - (alike.forecasts[0]?.roundMs ?? 0);
    expect(longer).toBeCloseTo(400_000 / 5 + 200 / 10, 0);
    expect(exchangeAt(50)?.home).toBe("first");
  });

  it("update after each batch where they go on by themselves, unless the job says after how many", () => {
    expect(exchangeAt(50)?.inner).toBe(1);
    expect(exchangeAt(1e6, { every: 1 })?.inner).toBeNull();
    const plan = microClouds(cloud(50, { inner: 3 }));
    expect(plan.groups[0]?.exchange?.inner).toBe(3);
    for (const { microBatches = 0 } of plan.chains) expect(microBatches % 3).toBe(0);
    checkPlan(plan, 2);
  });

  it("code what they exchange where that lets it be exchanged more often, and nobody weighs or names entries", () => {
    const codecAt = (bytesPerMs: number, choice: Partial<ExchangeChoice>) =>
      exchangeAt(bytesPerMs, choice)?.codec;
    expect([20_000, 1000, 50].map((rate) => codecAt(rate, { every: 5 }))).toEqual([
      "float32",
      "affine8",
      "affine4",
    ]);
    expect(codecAt(50, { every: 5, codec: "affine8" })).toBe("affine8");
    expect(codecAt(50, { select: { kind: "all" } })).toBe("float32");
    expect(codecAt(50, { join: { kind: "median" } })).toBe("float32");
    expect(codecAt(50, { join: { kind: "median" }, codec: "affine8" })).toBe("affine8");
  });

  it("do as the job says", () => {
    const outer = { rate: 0.7, momentum: 0.9 };
    expect(exchangeAt(1e6, { every: 5, outer })).toMatchObject({ every: 5, outer });
    expect(exchangeAt(50, { select: { kind: "parts", parts: 4 } })).toMatchObject({ every: 1 });
    const equal = microClouds(cloud(50, { batches: "equal" }));
    expect(new Set(equal.chains.map(({ microBatches }) => microBatches))).toEqual(new Set([20]));
  });

  it("join slices for one another where that is a matter of plain averages in time", () => {
    expect(exchangeAt(1e6)?.reduce).toBe("scatter");
    expect(exchangeAt(50)).toMatchObject({ reduce: "scatter", home: "first" });
    expect(exchangeAt(1000, { every: 1, codec: "float32" })?.reduce).toBe("each");
    expect(exchangeAt(1e6, { join: { kind: "median" } })?.reduce).toBe("each");
    expect(() => exchangeAt(1e6, { staleness: 1, reduce: "scatter" })).toThrow("waits for all");
    expect(allReduce(cloud(50)).groups[0]?.exchange).toMatchObject({ every: 1, reduce: "scatter" });
  });

  it("R31: go by fragments as often as links carry them, each under way for as long as it needs", () => {
    const stream = { fragments: 4, delay: null, mix: 0.5 };
    const planOf = (bytesPerMs: number, choice: Partial<ExchangeChoice> = {}) => {
      const plan = microClouds(cloud(bytesPerMs, { stream, ...choice }));
      checkPlan(plan, 2);
      return plan;
    };
    const rulesOf = (plan: ReturnType<typeof planOf>) => {
      const { every, stream: rules, home, codec } = plan.groups[0]?.exchange ?? {};
      return { every, delay: rules?.delay, home, codec };
    };
    // An update takes 0.8 s to compute, and at 50 bytes/ms all entries 3.5 s, in 8 bits by slices.
    const first = { home: "first", codec: "affine8" };
    const codec = "affine8" as const;
    expect(rulesOf(planOf(50, { codec }))).toEqual({ every: 4, delay: 1, ...first });
    expect(rulesOf(planOf(25, { codec }))).toEqual({ every: 8, delay: 2, ...first });
    // In 4 bits half of that: one update hides it.
    expect(rulesOf(planOf(25))).toMatchObject({ every: 4, delay: 1, codec: "affine4" });
    expect(rulesOf(planOf(1e6))).toEqual({ every: 4, delay: 1, home: "first", codec: "float32" });
    const seldom = { every: 12, codec };
    expect(rulesOf(planOf(25, seldom))).toEqual({ every: 12, delay: 3, ...first });
    const asked = { stream: { ...stream, fragments: 3, delay: 2 }, every: 12 };
    expect(rulesOf(planOf(50, asked))).toMatchObject({ every: 12, delay: 2 });
    expect(planOf(25, { codec }).reason).toContain(
      "by 4 fragments, each of which is under way while 2 updates",
    );
  });

  it("R31: wait for no more by fragments than for what is left at a round's end, by the forecast", () => {
    const waitedMs = (choice: Partial<ExchangeChoice>): number => {
      const request = { ...cloud(20, { every: 20, codec: "affine8", ...choice }), work: 1600 };
      const plan = microClouds(request);
      const [forecast] = plan.forecasts;
      const { roundMs = 0 } = forecast ?? {};
      const computeMs = Math.max(...plan.forecasts.map((own) => own.computeMs));
      return roundMs - computeMs;
    };
    const stream = { fragments: 4, delay: null, mix: 0.5 };
    const [whole, hidden] = [waitedMs({}), waitedMs({ stream })];
    const late = waitedMs({ stream: { ...stream, delay: 1 } });
    // Four exchanges to a round, the last of which nothing hides.
    const homeMs = 400_000 / 20;
    expect((hidden - homeMs) / (whole - homeMs)).toBeCloseTo(1 / 4, 2);
    expect(late).toBeGreaterThan(hidden);
    expect(late).toBeLessThan(whole);
  });

  it("are planned as their papers have it: Gaia, Ako, Hop", () => {
    const exchangeOf = (planner: typeof gaia, bytesPerMs: number) =>
      planner(cloud(bytesPerMs)).groups[0]?.exchange;
    expect(exchangeOf(gaia, 50)).toMatchObject({ every: 1, select: { kind: "significant" } });
    expect(exchangeOf(hop, 50)).toMatchObject({
      select: { kind: "all" },
      staleness: 5,
      backups: 1,
    });
    // 5 x 400 kB take 40 s at 50 bytes/ms, and 20 batches on the slowest 2.4 s.
    const parts = [1e6, 500, 50].map((rate) => exchangeOf(ako, rate)?.select);
    expect(parts.map((select) => select?.kind === "parts" && select.parts)).toEqual([1, 2, 17]);
  });

  it("plan for any fleet what holds, whole and in parts, with bounded traffic of each", () => {
    fc.assert(
      fc.property(anyRequest(20, 4), (request) => {
        let plan: ReturnType<typeof microClouds>;
        try {
          plan = microClouds(request);
        } catch (error) {
          expect(error).toBeInstanceOf(PlanError);
          return;
        }
        const segments = request.segments.length;
        checkPlan(plan, segments, request.fleet);
        const topology = plan.groups[0]?.exchange?.topology ?? [];
        for (const { id, node } of plan.copies) {
          const own = topology.filter(({ from }) => from === id);
          expect(own.length).toBeLessThanOrEqual(7);
          const part = partsOf(plan)(node);
          checkPlan(part, segments);
          const those = part.groups[0]?.exchange?.topology ?? [];
          expect(those).toEqual(topology.filter(({ from, to }) => from === id || to === id));
        }
      }),
    );
  });

  it("say who may send whom", () => {
    const plan = microClouds(cloud(1000));
    expect(exchangePairs(plan)).toHaveLength(15);
    expect(exchangingWith(plan, "chain:n1" as never)).toHaveLength(6);
    const way = { chain: "chain:n1", from: "n1", to: "n2" };
    expect(mayExchange(plan, way)).toBe(true);
    expect(mayExchange(plan, { ...way, from: "n3" })).toBe(false);
    expect(mayExchange(plan, { ...way, to: "n1" })).toBe(false);
    expect(mayExchange(plan, { ...way, chain: "chain:x" })).toBe(false);
    const oneWay = microClouds(cloud(1000, { topology: "exponential" }));
    const against = { chain: "chain:n1", from: "n1", to: "n0" };
    expect(mayExchange(oneWay, against)).toBe(false);
    expect(mayExchange(oneWay, against, true)).toBe(true);
    expect(mayExchange(oneWay, { ...against, to: "n4" }, true)).toBe(false);
  });

  it("transfer weights where copies drift apart, and rounds have the exchanges for it", () => {
    const transfer = { every: 2, mix: 0.75, margin: 0.1 };
    const planOf = (choice: Partial<ExchangeChoice>) => {
      const plan = microClouds(cloud(1000, { every: 1, transfer, ...choice }));
      checkPlan(plan, 2);
      return plan;
    };
    const largest = planOf({ select: { kind: "max-n", nMin: 1 } });
    expect(largest.groups[0]?.exchange?.transfer).toEqual(transfer);
    expect(largest.reason).toContain("every 2 exchanges, who loses 10 % more than a neighbour");
    const ring = planOf({ select: { kind: "all" }, topology: "ring" });
    expect(ring.groups[0]?.exchange?.transfer).toEqual(transfer);
    for (const alike of [planOf({ select: { kind: "all" } }), planOf({ every: 4 })]) {
      expect(alike.groups[0]?.exchange).not.toHaveProperty("transfer");
    }
    const seldom = planOf({
      select: { kind: "max-n", nMin: 1 },
      transfer: { ...transfer, every: 4 },
    });
    expect(seldom.groups[0]?.exchange).not.toHaveProperty("transfer");
    expect(seldom.reason).toContain("a round has 4 exchanges, too few");
  });
});

describe("an exchange is refused", () => {
  const good = microClouds(cloud(1000, { every: 1, codec: "float32" }));
  type Exchange = NonNullable<(typeof good)["groups"][0]["exchange"]>;
  const broken = (change: (exchange: Exchange) => Partial<Exchange>) => ({
    ...good,
    groups: good.groups.map((group) => {
      const exchange = group.exchange as Exchange;
      return { ...group, exchange: { ...exchange, ...change(exchange) } };
    }),
  });

  it.each<[string, (exchange: Exchange) => Partial<Exchange>, string]>([
    ["where rounds have no whole number of them", () => ({ every: 3 }), "every 3 updates"],
    [
      "with an edge to nobody",
      ({ topology }) => ({ topology: topology.map((edge) => ({ ...edge, to: "x" as never })) }),
      "no way between two members",
    ],
    [
      "with an edge twice",
      ({ topology }) => ({ topology: [...topology, ...topology] }),
      "two edges",
    ],
    ["with a limit where all go", () => ({ select: { kind: "all" } }), "where max-n chooses"],
    [
      "with slices of what is not all there",
      () => ({ reduce: "scatter", staleness: 2 }),
      "do not all join the same",
    ],
    ["that weighs parts of parts", () => ({ join: { kind: "median" } }), "weighs whole parts"],
    [
      "with an outer step and no inner ones",
      () => ({ outer: { rate: 1, momentum: 0.9 } }),
      "needs local ones",
    ],
    [
      "where one brings what others have not",
      () => ({ home: "first" }),
      "do not all join the same",
    ],
    ["with a staleness below 0", () => ({ staleness: -1 }), "staleness of -1"],
    [
      "with transfers of all that there is and more",
      () => ({ transfer: { every: 2, mix: 1.5, margin: 0 } }),
      "transfers of a share of 1.5",
    ],
    [
      "with transfers from any margin",
      () => ({ transfer: { every: 2, mix: 1, margin: 1 } }),
      "from a margin of 1 on",
    ],
  ])("%s", (_what, change, text) => {
    expect(() => checkPlan(broken(change), 2)).toThrow(text);
  });

  it("where members are not lone stages with as many updates, on nodes of their own", () => {
    const [first, ...rest] = good.chains;
    const uneven = {
      ...good,
      chains: [{ ...first, microBatches: 1 }, ...rest] as typeof good.chains,
    };
    expect(() => checkPlan(uneven, 2)).toThrow("unequally many updates");
    const none = { ...good, groups: good.groups.map(({ exchange: _, ...group }) => group) };
    expect(() => checkPlan(none, 2)).toThrow("each step without an exchange");
    const plain = {
      ...good,
      groups: none.groups.map((group) => ({ ...group, when: "round" as const })),
    };
    expect(() => checkPlan(plain, 2)).toThrow("exchanges nothing");
  });
});

describe("policies against liars", () => {
  const krum = { kind: "krum", liars: 1 } as const;

  it("hold at a round's end as well, unless the job says otherwise of rounds", () => {
    const request = cloud(1e9, { join: { ...krum, clip: 2 } });
    const [group] = microClouds(request).groups;
    expect(group).toMatchObject({ policy: "krum", liars: 1, when: "step" });
    expect(group).not.toHaveProperty("clip");
    expect(group?.exchange?.join).toEqual({ ...krum, clip: 2 });
    const atEnd = { ...request, join: { kind: "median" } as const };
    expect(microClouds(atEnd).groups[0]).toMatchObject({ policy: "median" });
  });

  it("are refused where too few have a voice", () => {
    const few = cloud(1e9, { join: { kind: "krum", liars: 2 } });
    expect(() => microClouds(few)).toThrow(
      "krum against 2 liars takes 7 who have a voice, and there are 6",
    );
    const atEnd = { ...cloud(1e9), join: { kind: "trimmed-mean", liars: 3 } } as const;
    expect(() => microClouds(atEnd)).toThrow(PlanError);
    expect(() => federatedAveraging(atEnd)).toThrow("takes 7 who have a voice");
  });
});
