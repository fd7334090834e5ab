import { describe, expect, it } from "vitest";
import { type CopyId, copyId } from "../../base/ids.ts";
import { type ExchangePlan, fullExchange } from "../../plan/exchange.ts";
import type { Plan } from "../../plan/plan.ts";
import type { Participant } from "../metrics/record.ts";
import { keepers, renewed } from "./kept.ts";

const [a, b] = [copyId("a"), copyId("b")];

const planOf = (change: Partial<ExchangePlan>): Plan => {
  const exchange = { ...fullExchange, topology: [], ...change };
  const copies = [a, b].map((id) => ({ id, node: id, from: 0, to: 2, mode: "train" }));
  return {
    copies,
    groups: [{ members: [a, b], policy: "average", when: "step", exchange }],
  } as unknown as Plan;
};

const participant = (copy: CopyId, joined?: Participant["joined"]) => ({
  copies: [copy],
  ...(joined !== undefined && { joined }),
});

describe("copies that a merge leaves as they are", () => {
  const alike = planOf({ home: "first" });

  it("R24: are all members who have come to the same", () => {
    expect(keepers(alike, [participant(a), participant(b)], true)).toEqual(new Set([a, b]));
    expect(keepers(planOf({}), [participant(a), participant(b)], true)).toEqual(new Set());
  });

  it("R24: are none where one was dropped, or joined late, or weights are rounded on their way", () => {
    const late = [{ chain: "chain:a", parts: [0, 2] }];
    expect(keepers(alike, [participant(b)], true)).toEqual(new Set());
    expect(keepers(alike, [participant(a), participant(b, late)], true)).toEqual(new Set());
    expect(keepers(alike, [participant(a), participant(b)], false)).toEqual(new Set());
  });

  it("R8: are those that share nothing, as far as they brought it", () => {
    const groups = [a, b].map((id) => ({ members: [id], policy: "average", when: "round" }));
    expect(keepers({ groups } as never, [participant(b)], false)).toEqual(new Set([b]));
  });

  it("R24: go on with running statistics that were merged, and with an optimizer's state that lasts for a round", () => {
    const kindsOf = (change: Partial<ExchangePlan>) =>
      renewed(planOf({ home: "first", ...change }), [a]).map(({ kinds }) => kinds);
    expect(kindsOf({})).toEqual([["statistic"]]);
    expect(kindsOf({ every: 4 })).toEqual([["state", "statistic"]]);
    expect(kindsOf({ home: "each" })).toEqual([]);
  });
});
