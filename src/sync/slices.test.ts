import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lengthOf, sliceAt } from "./slices.ts";

describe("slices", () => {
  it("are all entries once, in order, and about as long as one another", () => {
    const counts = fc.array(fc.nat(50), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(counts, fc.integer({ min: 1, max: 9 }), (tensors, slices) => {
        const all = Array.from({ length: slices }, (_, place) => sliceAt(tensors, slices, place));
        tensors.forEach((count, i) => {
          let at = 0;
          for (const slice of all) {
            const own = slice[i] ?? { from: -1, to: -1 };
            if (lengthOf(own) > 0) expect(own.from).toBe(at);
            at += lengthOf(own);
          }
          expect(at).toBe(count);
        });
        const lengths = all.map((own) => own.reduce((sum, each) => sum + lengthOf(each), 0));
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
