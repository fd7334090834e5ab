/** What memories of rows save for others. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { RowMemory } from "./row-memory.ts";

/** Keys as a sender uses them: rows that change with each use. */
function use(memory: RowMemory, keys: readonly number[]): void {
  for (const key of keys) {
    const remembered = memory.use(key);
    remembered.count++;
    remembered.row.fill(key + remembered.count / 1000);
  }
}

test("who has taken in all that was used remembers the same, and goes on the same", () => {
  const uses = fc.array(fc.array(fc.nat(12), { maxLength: 20 }), { maxLength: 8 });
  fc.assert(
    fc.property(uses, fc.integer({ min: 1, max: 8 }), (rounds, capacity) => {
      const own = new RowMemory(3, capacity);
      const other = new RowMemory(3, capacity);
      for (const keys of rounds) {
        use(own, keys);
        other.renew(own.takeUsed());
        expect(other.save()).toEqual(own.save());
        const restored = new RowMemory(3, capacity);
        restored.restore(other.save());
        const next = [7, 8, 9, 1, 2];
        const [before, after] = [new RowMemory(3, capacity), restored];
        before.restore(own.save());
        use(before, next);
        use(after, next);
        expect(after.save()).toEqual(before.save());
      }
    }),
  );
});

test("what was used comes once, and without rows where the other end brings them", () => {
  const memory = new RowMemory(2, 4);
  use(memory, [5, 6, 5]);
  expect(memory.takeUsed(false).get("rows")?.shape).toEqual([2, 0]);
  use(memory, [6]);
  const used = memory.takeUsed();
  expect(used.get("keys")?.data).toEqual(BigInt64Array.of(6n));
  expect(used.get("rows")?.shape).toEqual([1, 2]);
  expect(memory.takeUsed().get("keys")?.shape).toEqual([0]);
});
