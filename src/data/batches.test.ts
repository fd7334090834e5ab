import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BatchSampler, batchIndices } from "./batches.ts";

const setup = fc.record({
  samples: fc.integer({ min: 1, max: 60 }),
  batch: fc.integer({ min: 1, max: 80 }),
  seed: fc.integer(),
});

describe("batches", () => {
  test("each epoch visits every sample once, and every batch is full", () => {
    fc.assert(
      fc.property(setup, ({ samples, batch, seed }) => {
        const sampler = new BatchSampler(samples, seed, "phone");
        const sequence: number[] = [];
        for (let step = 0; sequence.length < 3 * samples; step++) {
          const indices = sampler.indices(batch, step);
          expect(indices).toHaveLength(batch);
          sequence.push(...indices);
        }
        for (let epoch = 0; epoch < 3; epoch++) {
          const visited = sequence.slice(epoch * samples, (epoch + 1) * samples);
          expect(new Set(visited).size).toBe(samples);
          expect(Math.max(...visited)).toBe(samples - 1);
        }
      }),
    );
  });

  test("a batch is the same in any order of calls", () => {
    fc.assert(
      fc.property(
        setup,
        fc.array(fc.nat(40), { maxLength: 20 }),
        ({ samples, batch, seed }, steps) => {
          const sampler = new BatchSampler(samples, seed, "phone");
          for (const step of steps) {
            expect(sampler.indices(batch, step)).toEqual(
              batchIndices(samples, batch, seed, "phone", step),
            );
          }
        },
      ),
    );
  });

  test("seed, node and epoch each change the order", () => {
    const first = batchIndices(100, 100, 1, "a", 0);
    expect(batchIndices(100, 100, 2, "a", 0)).not.toEqual(first);
    expect(batchIndices(100, 100, 1, "b", 0)).not.toEqual(first);
    expect(batchIndices(100, 100, 1, "a", 1)).not.toEqual(first);
  });

  test("the order is pinned: peers of different versions draw the same batch", () => {
    expect([...batchIndices(10, 6, 7, "device-1", 2)]).toEqual([8, 7, 1, 2, 3, 4]);
  });
});
