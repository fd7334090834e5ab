import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { densified, type EncodedSparse, type SparseValues } from "../base/sparse.ts";
import { type Candidates, chosenUnseen, Residual, type Selection, select } from "./selection.ts";

/** A value and its place take six bytes; where all entries are there, places take none. */
const sparseBytes = (count: number, chosen: number): number => (chosen === count ? 4 : 6) * chosen;

const tensors = fc.array(
  fc.float32Array({ minLength: 1, maxLength: 60, noNaN: true, noDefaultInfinity: true }),
  {
    minLength: 1,
    maxLength: 4,
  },
);
const selection: fc.Arbitrary<Selection> = fc.oneof(
  fc.constant({ kind: "all" as const }),
  fc.constant({ kind: "max-n" as const, nMin: 0.85 }),
  fc.constant({ kind: "significant" as const, share: 0.01 }),
  fc.integer({ min: 1, max: 5 }).map((parts) => ({ kind: "parts" as const, parts })),
);

const candidates = (
  values: readonly Float32Array[],
  change: Partial<Candidates> = {},
): Candidates => ({
  values,
  exchange: 0,
  bytesMax: null,
  bytesOf: sparseBytes,
  weights: values.map((tensor) => tensor.map(() => 1)),
  changePerValue: 0.1,
  ...change,
});

/** Parts that travel as they are. */
const asIs = (taken: readonly SparseValues[]): EncodedSparse => ({
  parts: { chosen: [], tensors: new Map() },
  arrived: taken,
});

const bytesOf = (values: readonly Float32Array[], chosen: readonly (Int32Array | null)[]): number =>
  values.reduce((sum, { length }, i) => sum + sparseBytes(length, chosen[i]?.length ?? length), 0);

describe("what is sent of gradients", () => {
  it("and what is kept are together the gradient, to the last bit, whatever is chosen", () => {
    fc.assert(
      fc.property(
        tensors,
        selection,
        fc.nat(400),
        fc.nat(9),
        (values, kind, bytesMax, exchange) => {
          const residual = new Residual();
          const choose = (all: readonly Float32Array[]) =>
            select(kind, candidates(all, { bytesMax, exchange }));
          const sent = residual.pass(values, choose, asIs).arrived.map(densified);
          const rest = residual.pass(
            values.map((tensor) => new Float32Array(tensor.length)),
            (all) => all.map(() => null),
            asIs,
          ).arrived;
          values.forEach((tensor, i) => {
            const kept = densified(rest[i] as (typeof rest)[number]);
            const together = tensor.map(
              (_, k) => ((sent[i] as Float32Array)[k] as number) + (kept[k] as number),
            );
            // Of two zeros one may have a sign.
            expect(together.map((value) => value + 0)).toEqual(tensor.map((value) => value + 0));
          });
        },
      ),
    );
  });

  it("all arrives in time where the same few bytes go each time", () => {
    const values = [Float32Array.from({ length: 64 }, (_, i) => ((i * 37) % 64) - 20)];
    const residual = new Residual();
    const arrived = new Float32Array(64);
    const none = [new Float32Array(64)];
    for (let exchange = 0; exchange < 64; exchange++) {
      const [part] = residual.pass(
        exchange === 0 ? values : none,
        (all) => select({ kind: "max-n", nMin: 0.85 }, candidates(all, { bytesMax: 24, exchange })),
        asIs,
      ).arrived;
      densified(part as NonNullable<typeof part>).forEach((value, i) => {
        arrived[i] = (arrived[i] as number) + value;
      });
    }
    expect(arrived).toEqual(values[0]);
  });
});

describe("Max-N", () => {
  const floor = (values: readonly Float32Array[]): number =>
    bytesOf(
      values,
      values.map((tensor) => {
        const most = Math.max(...tensor.map(Math.abs));
        const above = [...tensor.keys()].filter((i) => {
          return Math.floor((2000 * Math.abs(tensor[i] as number)) / most) >= 2000 - 17;
        });
        return Int32Array.from(most === 0 ? [] : above);
      }),
    );

  it("sends no more than the link has room for, but for its floor", () => {
    fc.assert(
      fc.property(tensors, fc.nat(600), (values, bytesMax) => {
        const chosen = select({ kind: "max-n", nMin: 0.85 }, candidates(values, { bytesMax }));
        expect(bytesOf(values, chosen)).toBeLessThanOrEqual(Math.max(bytesMax, floor(values)));
      }),
    );
  });

  it("counts layers alike: a layer of small gradients sends as many as one of large ones", () => {
    const large = Float32Array.from({ length: 100 }, (_, i) => i + 1);
    const values = [large, large.map((value) => value / 1024)];
    const [a, b] = select({ kind: "max-n", nMin: 0.85 }, candidates(values, { bytesMax: 200 }));
    expect(a).toEqual(b);
    expect(a?.length).toBeGreaterThan(10);
    expect([...(a ?? [])].every((at, i) => at === 100 - (a?.length ?? 0) + i)).toBe(true);
  });

  it("sends everything where there is room, and what is not finite in any case", () => {
    const values = [Float32Array.of(1, 2, 3), Float32Array.of(Number.NaN, 1)];
    const all = { kind: "max-n", nMin: 0.85 } as const;
    expect(select(all, candidates(values, { bytesMax: 20 }))).toEqual([null, null]);
    expect(select(all, candidates(values, { bytesMax: 1 }))[1]).toEqual(Int32Array.of(0, 1));
  });

  it("takes as much of a link where there are no values to see", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
        fc.nat(20_000),
        (counts, bytesMax) => {
          const chosen = chosenUnseen({ kind: "max-n", nMin: 0.85 }, counts, {
            exchange: 0,
            bytesMax,
            bytesOf: sparseBytes,
          });
          const bytes = counts.reduce(
            (sum, count, i) => sum + sparseBytes(count, chosen[i] as number),
            0,
          );
          const least = counts.reduce((sum, count) => sum + sparseBytes(count, 1), 0);
          expect(bytes).toBeLessThanOrEqual(Math.max(bytesMax, least));
        },
      ),
    );
  });
});

describe("the other choices", () => {
  it("significance sends what would change a weight by more than a share, which shrinks", () => {
    const values = [Float32Array.of(0.05, 0.2, -0.2, 0)];
    const gaia = { kind: "significant", share: 0.01 } as const;
    expect(select(gaia, candidates(values))).toEqual([Int32Array.of(1, 2)]);
    expect(select(gaia, candidates(values, { exchange: 99 }))).toEqual([Int32Array.of(0, 1, 2)]);
  });

  it("parts send every entry once in as many exchanges", () => {
    fc.assert(
      fc.property(tensors, fc.integer({ min: 1, max: 7 }), (values, parts) => {
        const seen = values.map((tensor) => tensor.map(() => 0));
        for (let exchange = 0; exchange < parts; exchange++) {
          select({ kind: "parts", parts }, candidates(values, { exchange })).forEach(
            (indices, i) => {
              const own = seen[i] as Float32Array;
              for (const at of indices ?? own.keys()) own[at] = (own[at] as number) + 1;
            },
          );
        }
        for (const own of seen) expect(own.every((times) => times === 1)).toBe(true);
      }),
    );
  });
});
