/** What every codec promises as the two ends of a link use it, with a memory or without. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAllFinite } from "../../src/base/finite.ts";
import {
  byteLength,
  bytesOf,
  cloneTensor,
  type DenseTensor,
  dense,
  hollow,
  sameType,
  type Tensor,
  tensor,
} from "../../src/base/tensor.ts";
import {
  type LinkCodecName,
  linkWireBytes,
  memoryBytes,
  openReceiver,
  openSender,
} from "../../src/codec/link-codec.ts";
import { filled } from "./codec.ts";

const type = { dtype: "float32", shape: [4, 3, 50] } as const;

/** A batch's tensor that changes slowly from step to step, as activations do. */
const batchOf = (step: number): DenseTensor =>
  filled(type.shape, (i) => Math.sin(i * 1.7) + 0.05 * Math.sin(i * 0.3 + step));

/** Samples of a batch; every sixth batch has the same. */
const samplesOf = (step: number): number[] => [0, 1, 2, 3].map((i) => 4 * (step % 6) + i);

const rows = 16;

/** Sends a batch; owners of memory are samples or, where `isOfLink`, the link's rows. */
const passage = (step: number, isOfLink = false) => ({
  seed: step,
  samples: isOfLink ? null : samplesOf(step),
});

const numbers = (value: Tensor | null): number[] =>
  value === null ? [] : [...(dense(value).data as Float32Array)];

export function testLinkCodec(name: LinkCodecName): void {
  describe(`codec ${name} on a link`, () => {
    test("brings every batch over, in exactly the bytes that it announces", () => {
      for (const isOfLink of [false, true]) {
        const sender = openSender(name, type, { rows });
        const receiver = openReceiver(name, type, { rows });
        for (let step = 0; step < 20; step++) {
          const parts = sender.encode(batchOf(step), passage(step, isOfLink)).map(dense);
          const bytes = parts.reduce((sum, part) => sum + bytesOf(part).byteLength, 0);
          expect(bytes).toBe(linkWireBytes(name, type));
          const decoded = receiver.decode(parts);
          expect(decoded !== null && sameType(decoded, type) && isAllFinite(decoded)).toBe(true);
        }
      }
    });

    test("does not change what it is given", () => {
      const value = batchOf(1);
      const sender = openSender(name, type);
      for (const step of [0, 1]) {
        const parts = sender.encode(value, passage(step, true)).map(dense);
        const before = parts.map(cloneTensor);
        openReceiver(name, type).decode(parts);
        expect(parts).toEqual(before);
      }
      expect(value).toEqual(batchOf(1));
    });

    test("remembers no more than it says, however many samples come", () => {
      const sender = openSender(name, type, { rows });
      const receiver = openReceiver(name, type, { rows });
      const announced = memoryBytes(name, type, { rows });
      for (let step = 0; step < 40; step++) {
        const samples = [0, 1, 2, 3].map((i) => 4 * step + i);
        receiver.decode(sender.encode(batchOf(step), { seed: step, samples }));
      }
      const bytesIn = (end: typeof sender | typeof receiver) =>
        byteLength(end.memory?.save().get("rows") ?? { dtype: "float32", shape: [0] });
      expect(bytesIn(sender)).toBe(announced.sender);
      expect(bytesIn(receiver)).toBe(announced.receiver);
    });

    test("goes on as if nothing had happened after its memory was saved and restored", () => {
      const ends = () =>
        [openSender(name, type, { rows }), openReceiver(name, type, { rows })] as const;
      const [sender, receiver] = ends();
      for (let step = 0; step < 9; step++) {
        receiver.decode(sender.encode(batchOf(step), passage(step)));
      }
      const [laterSender, laterReceiver] = ends();
      for (const [end, later] of [
        [sender, laterSender],
        [receiver, laterReceiver],
      ] as const) {
        if (end.memory !== null) later.memory?.restore(end.memory.save());
      }
      for (let step = 9; step < 20; step++) {
        const parts = sender.encode(batchOf(step), passage(step));
        const laterParts = laterSender.encode(batchOf(step), passage(step));
        expect(laterParts).toEqual(parts);
        expect(laterReceiver.decode(laterParts)).toEqual(receiver.decode(parts));
      }
    });

    test("carries tensors without values as such, with the same bytes on the wire", () => {
      const parts = openSender(name, type).encode(hollow(type), passage(0));
      expect(parts.every((part) => part.data === null)).toBe(true);
      expect(parts.reduce((sum, part) => sum + byteLength(part), 0)).toBe(
        linkWireBytes(name, type),
      );
      expect(openReceiver(name, type).decode(parts)).toEqual(hollow(type));
    });

    test("is not spoilt by a value that is not finite, which it does not hide", () => {
      const sender = openSender(name, type);
      const receiver = openReceiver(name, type);
      const values = [batchOf(0), batchOf(1), batchOf(2)];
      (values[1]?.data as Float32Array)[77] = Number.NaN;
      const isSound = values.map((value, step) => {
        const decoded = receiver.decode(sender.encode(value, passage(step, true)));
        return decoded !== null && isAllFinite(decoded);
      });
      expect(isSound).toEqual([true, false, true]);
    });

    test("takes whatever arrives: null for what does not fit, never an exception", () => {
      const sound = openSender(name, type).encode(batchOf(0), passage(0)).map(dense);
      const [first, ...rest] = sound as [DenseTensor, ...DenseTensor[]];
      const shorter = tensor(first.dtype, [0], first.data.slice(0, 0));
      for (const hostile of [[], rest, [...sound, first], [shorter, ...rest]]) {
        expect(openReceiver(name, type).decode(hostile)).toBeNull();
      }
      const receiver = openReceiver(name, type, { rows });
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (noise, at) => {
          const parts = sound.map(cloneTensor);
          for (const part of parts) {
            const bytes = bytesOf(part);
            for (const [i, byte] of noise.entries()) bytes[(at + i) % bytes.length] = byte;
          }
          const decoded = receiver.decode(parts);
          expect(decoded === null || sameType(decoded, type)).toBe(true);
        }),
      );
      expect(receiver.memory?.size ?? 0).toBeLessThanOrEqual(rows);
    });

    if (name.endsWith("+feedback")) testFeedback(name);
    if (name.endsWith("+delta")) testDelta(name);
  });
}

function testFeedback(name: LinkCodecName): void {
  test("telescopes: what came over and what is still owed are what was sent", () => {
    const sender = openSender(name, type);
    const receiver = openReceiver(name, type);
    const sent = new Float64Array(600);
    const come = new Float64Array(600);
    for (let step = 0; step < 50; step++) {
      const value = batchOf(step);
      const decoded = receiver.decode(sender.encode(value, passage(step, true)));
      for (const [i, each] of numbers(value).entries()) sent[i] = (sent[i] as number) + each;
      for (const [i, each] of numbers(decoded).entries()) come[i] = (come[i] as number) + each;
    }
    const owed = numbers(sender.memory?.save().get("rows") ?? null);
    expect(owed).toHaveLength(600);
    for (const [i, each] of sent.entries()) {
      expect(Math.abs(each - (come[i] as number) - (owed[i] as number))).toBeLessThan(1e-4);
    }
  });

  test("a sample that comes twice in a batch is owed what it lost once", () => {
    const sender = openSender(name, type);
    const receiver = openReceiver(name, type);
    const sums = { sent: 0, come: 0 };
    for (let step = 0; step < 10; step++) {
      const value = batchOf(step);
      const twice = { seed: step, samples: [5, 5, 5, 6] };
      const decoded = receiver.decode(sender.encode(value, twice));
      sums.sent += numbers(value).reduce((sum, each) => sum + each, 0);
      sums.come += numbers(decoded).reduce((sum, each) => sum + each, 0);
    }
    const owed = numbers(sender.memory?.save().get("rows") ?? null);
    const total = owed.reduce((sum, each) => sum + each, 0);
    expect(Math.abs(sums.sent - sums.come - total)).toBeLessThan(1e-2);
  });
}

function testDelta(name: LinkCodecName): void {
  test("both ends remember the same, bit for bit", () => {
    const sender = openSender(name, type, { rows });
    const receiver = openReceiver(name, type, { rows });
    for (let step = 0; step < 30; step++) {
      // More samples than rows, so that slots change hands; and one that comes twice in a batch.
      const samples = samplesOf(step).with(3, 4 * (step % 6));
      receiver.decode(sender.encode(batchOf(step), { seed: step, samples }));
    }
    const bySlot = (end: typeof sender | typeof receiver) => {
      const saved = end.memory?.save();
      const all = numbers(saved?.get("rows") ?? null);
      const slots = [...((saved?.get("slots")?.data ?? []) as Int32Array)];
      return new Map(slots.map((slot, i) => [slot, all.slice(150 * i, 150 * (i + 1))]));
    };
    const [sent, got] = [bySlot(sender), bySlot(receiver)];
    expect(sent.size).toBeGreaterThan(4);
    for (const [slot, row] of sent) expect(got.get(slot)).toEqual(row);
  });

  test("comes ever closer to values that stay as they are", () => {
    const sender = openSender(name, type);
    const receiver = openReceiver(name, type);
    const off = [0, 1, 2, 3, 4, 5, 6, 7].map((step) => {
      const decoded = receiver.decode(sender.encode(batchOf(0), passage(step, true)));
      const all = numbers(batchOf(0));
      return numbers(decoded).reduce((sum, each, i) => sum + (each - (all[i] as number)) ** 2, 0);
    });
    expect(off.at(-1)).toBeLessThan(0.95 * (off[0] as number));
  });

  test("a receiver that missed a batch, or forgot, takes none that follows from it", () => {
    const sender = openSender(name, type);
    const receiver = openReceiver(name, type);
    const encode = (step: number) => sender.encode(batchOf(step), passage(step, true));
    const [first, , third] = [encode(0), encode(1), encode(2)];
    expect(receiver.decode(first)).not.toBeNull();
    expect(receiver.decode(third)).toBeNull();
    receiver.memory?.clear();
    expect(receiver.decode(third)).toBeNull();
    sender.memory?.clear();
    expect(receiver.decode(encode(3))).not.toBeNull();
  });
}
