import { describe, expect, it } from "vitest";
import type { EncodedSparse, SparseValues } from "../base/sparse.ts";
import { ExchangeMember, type MemberRules } from "./member.ts";

/** Codes that round to whole numbers. */
const coarse = {
  bytesOf: (_count: number, chosen: number) => chosen,
  encode: (all: readonly SparseValues[]): EncodedSparse => ({
    parts: { chosen: [], tensors: new Map() },
    arrived: all.map((own) => ({ ...own, values: own.values.map(Math.round) })),
  }),
};

const rules: MemberRules = {
  ...{ every: 2, select: { kind: "all" }, staleness: 0, reduce: "each" },
  ...{ join: { kind: "average" }, outer: { rate: 1, momentum: 0 } },
};
const count = 3;
const weights = [Float32Array.of(0, 10, 20, 30), Float32Array.of(-5)];

/** Three members that have begun with the same weights. */
const members = (reduce: MemberRules["reduce"]): ExchangeMember[] =>
  Array.from({ length: count }, (_, place) => {
    const others = [0, 1, 2].filter((other) => other !== place);
    const member = new ExchangeMember({
      ...{ rules: { ...rules, reduce }, microBatches: 1, jointBatches: count, voices: count },
      ...{ place, learningRate: 0.1, coding: coarse },
      outgoing: others.map((other) => ({ chain: String(other), bytes: null, place: other })),
    });
    member.begin(weights);
    return member;
  });

/** One exchange of all, from where each has come to. */
function agree(
  all: readonly ExchangeMember[],
  reduce: MemberRules["reduce"],
  values: Float32Array[][],
) {
  const shared = all.map((member, i) => member.share(values[i] as Float32Array[], null));
  /** What one has of another one. */
  const sentTo = (from: number, to: number): readonly SparseValues[] => {
    const others = [0, 1, 2].filter((other) => other !== from);
    return shared[from]?.sent[others.indexOf(to)]?.arrived ?? [];
  };
  const parts = all.map((_, to) =>
    shared.map(({ own }, from) => (from === to ? own : { batches: 1, tensors: sentTo(from, to) })),
  );
  if (reduce === "each") return all.map((member, i) => member.join(parts[i] ?? []));
  const slices = all.map((member, i) => member.reduce(parts[i] ?? []).arrived);
  return all.map((member) => member.gather(slices));
}

describe.each(["each", "scatter"] as const)(
  "members whose parts travel in codes, joined by %s",
  (reduce) => {
    it("R28: come to the same, though each knows its own part better", () => {
      const values = [0.6, 1.3, 0.2].map((change) =>
        weights.map((own) => own.map((at) => at + change)),
      );
      const [first, ...others] = agree(members(reduce), reduce, values);
      for (const other of others) expect(other).toEqual(first);
      expect(first).not.toEqual(weights);
    });

    it("R28: lose nothing for good of what codes leave out", () => {
      const all = members(reduce);
      let now: Float32Array[][] = all.map(() => weights.map((own) => own.slice()));
      const rounds = 60;
      for (let at = 0; at < rounds; at++) {
        // 0.25 on average: codes of single changes would say 0 of most.
        const moved = now.map((own, i) =>
          own.map((tensor) => tensor.map((value) => value + 0.25 * i)),
        );
        now = agree(all, reduce, moved);
      }
      weights.forEach((own, i) => {
        own.forEach((value, k) => {
          const change = (now[0]?.[i]?.[k] ?? Number.NaN) - value;
          expect(Math.abs(change - 0.25 * rounds)).toBeLessThan(1.1);
        });
      });
    });
  },
);
