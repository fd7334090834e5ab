import fc from "fast-check";
import { expect, test } from "vitest";
import { Heap } from "./heap.ts";

const byNumber = (a: number, b: number): number => a - b;

test("an empty heap gives nothing", () => {
  const heap = new Heap(byNumber);
  expect(heap.pop()).toBeUndefined();
  expect(heap.peek()).toBeUndefined();
  expect(heap.size).toBe(0);
});

test("pops in the comparator's order, whatever the order of pushes", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (items) => {
      const heap = new Heap(byNumber);
      for (const item of items) heap.push(item);
      expect(heap.size).toBe(items.length);
      expect(items.map(() => heap.pop())).toEqual([...items].sort(byNumber));
    }),
  );
});

test("behaves as a sorted list does when pushes and pops mix", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(20))), (steps) => {
      const heap = new Heap(byNumber);
      const list: number[] = [];
      for (const step of steps) {
        if (step === null) expect(heap.pop()).toBe(list.shift());
        else {
          heap.push(step);
          list.push(step);
          list.sort(byNumber);
        }
        expect(heap.peek()).toBe(list[0]);
      }
    }),
  );
});

test("orders virtual-time events by time, then by id", () => {
  const heap = new Heap<{ ms: number; id: number }>((a, b) => a.ms - b.ms || a.id - b.id);
  for (const [ms, id] of [
    [5, 2],
    [1, 9],
    [5, 1],
    [1, 3],
  ] as const)
    heap.push({ ms, id });
  expect([heap.pop(), heap.pop(), heap.pop(), heap.pop()].map((event) => event?.id)).toEqual([
    3, 9, 1, 2,
  ]);
});
