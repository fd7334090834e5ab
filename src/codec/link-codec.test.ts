import { describe, expect, test } from "vitest";
import { testLinkCodec } from "../../test/contract/link-codec.ts";
import { AssertionError } from "../base/assert.ts";
import { InputError } from "../base/errors.ts";
import { float32, type Tensor } from "../base/tensor.ts";
import { wireBytes } from "./codec.ts";
import { linkCodecNames, linkWireBytes, openReceiver, openSender } from "./link-codec.ts";
import { RowMemory } from "./row-memory.ts";

for (const name of linkCodecNames) testLinkCodec(name);

const type = { dtype: "float32", shape: [32, 6, 14, 14] } as const;

test("every lossy codec may have a memory, and nothing else may", () => {
  expect(linkCodecNames).toContain("affine4+feedback");
  expect(linkCodecNames).toContain("topk1+delta");
  expect(linkCodecNames.filter((name) => name.startsWith("float32"))).toEqual(["float32"]);
  expect(linkCodecNames).toHaveLength(8 + 2 * 7);
});

test("feedback costs no bytes, deltas 8 for a sample", () => {
  expect(linkWireBytes("affine4+feedback", type)).toBe(wireBytes("affine4", type));
  expect(linkWireBytes("affine4+delta", type)).toBe(wireBytes("affine4", type) + 32 * 8);
});

test("a memory smaller than a batch is a bug", () => {
  expect(() => openSender("affine4+delta", type, { rows: 31 })).toThrow(AssertionError);
  expect(() => openReceiver("affine4+delta", type, { rows: 31 })).toThrow(AssertionError);
});

test("feedback lets a small part of a gradient through in the end, which plain top-k never sends", () => {
  const gradient = float32(
    [1, 100],
    Array.from({ length: 100 }, (_, i) => (i === 0 ? 1 : 0.1)),
  );
  const sumOf = (name: "topk1" | "topk1+feedback") => {
    const sender = openSender(name, gradient);
    const receiver = openReceiver(name, gradient);
    const sums = new Float64Array(100);
    for (let step = 0; step < 1000; step++) {
      const decoded = receiver.decode(sender.encode(gradient, { seed: 0, samples: null }));
      for (const [i, value] of ((decoded as Tensor).data as Float32Array).entries()) {
        sums[i] = (sums[i] as number) + value;
      }
    }
    return sums;
  };
  expect(sumOf("topk1").filter((sum) => sum > 0)).toHaveLength(1);
  for (const sum of sumOf("topk1+feedback").subarray(1))
    expect(Math.abs(sum - 100)).toBeLessThan(12);
});

describe("a memory of rows", () => {
  test("lets the key go that was used least recently", () => {
    const memory = new RowMemory(2, 2);
    memory.use(7).row.fill(1);
    memory.use(8).row.fill(2);
    memory.use(7);
    expect(memory.use(9).row).toEqual(new Float32Array(2));
    expect([7, 8, 9].map((key) => memory.get(key)?.row[0])).toEqual([1, undefined, 0]);
    expect(new Set([7, 9].map((key) => memory.get(key)?.slot)).size).toBe(2);
  });

  test("refuses what another memory has saved, and keeps what it has", () => {
    const memory = new RowMemory(2, 3);
    memory.use(1).row.fill(5);
    const saved = memory.save();
    const wider = new RowMemory(4, 3);
    wider.use(1);
    const fuller = new RowMemory(2, 9);
    for (let key = 0; key < 9; key++) fuller.use(key);
    const wrong = [
      new Map(),
      wider.save(),
      fuller.save(),
      new Map(saved).set("slots", { dtype: "int32" as const, shape: [1], data: Int32Array.of(3) }),
      new Map(saved).set("rows", float32([1, 3], [0, 0, 0])),
    ];
    for (const each of wrong) expect(() => memory.restore(each)).toThrow(InputError);
    expect(memory.get(1)?.row).toEqual(Float32Array.of(5, 5));
    memory.restore(saved);
    expect(memory.get(1)?.row).toEqual(Float32Array.of(5, 5));
  });
});
