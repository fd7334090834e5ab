import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random } from "../base/random.ts";
import {
  block,
  centred,
  columnMeans,
  innerProducts,
  matrix,
  product,
  shiftedSolver,
  transposed,
} from "./matrix.ts";

function drawn(rows: number, columns: number, seed: number) {
  const draw = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => draw.normal()),
  );
}

const size = fc.integer({ min: 1, max: 13 });

describe("matrices", () => {
  it("multiply as the definition says, at sizes that fill no block of four", () => {
    fc.assert(
      fc.property(size, size, size, fc.integer(), (n, k, m, seed) => {
        const [a, b] = [drawn(n, k, seed), drawn(k, m, seed + 1)];
        const ab = product(a, b);
        const same = innerProducts(a, transposed(b));
        for (let i = 0; i < n; i++) {
          for (let j = 0; j < m; j++) {
            let sum = 0;
            for (let l = 0; l < k; l++)
              sum += (a.values[i * k + l] ?? 0) * (b.values[l * m + j] ?? 0);
            expect(ab.values[i * m + j]).toBeCloseTo(sum, 10);
            expect(same.values[i * m + j]).toBeCloseTo(sum, 10);
          }
        }
      }),
    );
  });

  it("have the same inner products with themselves as with a copy", () => {
    const a = drawn(11, 7, 3);
    const copy = matrix(11, 7, a.values.slice());
    expect(innerProducts(a, a).values).toEqual(innerProducts(a, copy).values);
  });

  it("are solved: what was multiplied comes back", () => {
    fc.assert(
      fc.property(size, size, fc.integer(), (n, m, seed) => {
        const root = drawn(n, n, seed);
        const a = innerProducts(root, root);
        const x = drawn(n, m, seed + 1);
        const b = product(a, x);
        for (let i = 0; i < b.values.length; i++)
          b.values[i] = (b.values[i] ?? 0) + 0.5 * (x.values[i] ?? 0);
        const found = shiftedSolver(a, 0.5)(b);
        found.values.forEach((value, i) => {
          expect(value).toBeCloseTo(x.values[i] ?? 0, 7);
        });
      }),
    );
  });

  it("have means of 0 once they are centred", () => {
    const a = drawn(6, 4, 1);
    for (const mean of columnMeans(centred(a, columnMeans(a)))) expect(mean).toBeCloseTo(0, 12);
  });

  it("give a block as a copy", () => {
    const a = matrix(3, 2, Float64Array.of(1, 2, 3, 4, 5, 6));
    const part = block(a, 1, 3, 1);
    expect(part).toEqual(matrix(2, 1, Float64Array.of(3, 5)));
    part.values.fill(0);
    expect(a.values[2]).toBe(3);
  });
});
