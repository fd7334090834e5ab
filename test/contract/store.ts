/**
 * What every store promises, as a suite: a file is replaced in one piece, writes take
 * effect in the order of their calls, and what goes wrong is a value.
 */
import { describe, expect } from "vitest";
import type { Outcome, Store } from "../../src/run/host.ts";
import { testsOn } from "./opened.ts";

/** A store for one test. */
export interface OpenStore {
  readonly store: Store;
  /** The file as anybody else would find it at this moment; null where there is none. */
  look(name: string): Promise<Uint8Array | null>;
  /** Lets time pass until something is so; on real clocks for a few seconds at most. */
  until(isSo: () => boolean): Promise<void>;
  end(): Promise<void>;
}

export interface StoreTraits {
  /** Why a write below a file succeeds. */
  readonly neverFails?: string;
}

export function testStore(
  name: string,
  open: () => Promise<OpenStore>,
  { neverFails }: StoreTraits = {},
): void {
  const withStore = testsOn(open);

  describe(`store ${name}`, () => {
    withStore("keeps what was written, in folders too, and answers later", async (at) => {
      for (const file of ["a.bin", "deep/er/b.bin"]) {
        const bytes = new Uint8Array([1, 2, 3, file.length]);
        expect(await write(at, file, bytes)).toEqual({ ok: true, value: null });
        expect(await at.look(file)).toEqual(bytes);
      }
      expect(await write(at, "empty", new Uint8Array(0))).toEqual({ ok: true, value: null });
      expect(await at.look("empty")).toEqual(new Uint8Array(0));
    });

    withStore("leaves nothing of a longer file in a shorter one", async (at) => {
      await write(at, "a.bin", new Uint8Array(10_000).fill(7));
      await write(at, "a.bin", new Uint8Array([1, 2]));
      expect(await at.look("a.bin")).toEqual(new Uint8Array([1, 2]));
    });

    withStore("writes a part of a buffer as that part", async (at) => {
      const part = new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4);
      await write(at, "part", part);
      expect(await at.look("part")).toEqual(new Uint8Array([1, 2, 3]));
    });

    withStore("writes and answers in the order of the calls", async (at) => {
      const order: number[] = [];
      for (let i = 0; i < 20; i++) {
        // The first are the longest, so that a store without an order would end with one of them.
        const bytes = new Uint8Array(200_000 - i * 9_000).fill(i);
        at.store.write("a.bin", bytes, () => order.push(i));
      }
      await at.until(() => order.length === 20);
      expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
      expect((await at.look("a.bin"))?.every((byte) => byte === 19)).toBe(true);
    });

    withStore("replaces a file in one piece: who looks sees old or new", async (at) => {
      const length = 2_000_000;
      await write(at, "a.bin", new Uint8Array(length));
      let left = 12;
      for (let i = 1; i <= 12; i++) {
        at.store.write("a.bin", new Uint8Array(length).fill(i), () => left--);
      }
      const seen: (number | string)[] = [];
      while (left > 0) {
        const bytes = await at.look("a.bin");
        const first = bytes?.[0] ?? -1;
        const isWhole = bytes?.length === length && bytes.every((byte) => byte === first);
        seen.push(isWhole ? first : `${bytes?.length} bytes that do not belong together`);
        let asked = 0;
        await at.until(() => ++asked > 1);
      }
      expect(seen.filter((each) => typeof each === "string").join()).toBe("");
      // And never backwards.
      expect(seen).toEqual([...seen].sort((one, other) => Number(one) - Number(other)));
      expect((await at.look("a.bin"))?.[0]).toBe(12);
    });

    withStore("says in a value what goes wrong, and goes on", async (at, skip) => {
      if (neverFails !== undefined) skip(neverFails);
      await write(at, "file", new Uint8Array([1]));
      const failure = await write(at, "file/below", new Uint8Array([2]));
      expect(failure).toMatchObject({ ok: false, error: expect.stringMatching(/\S/) });
      expect(await write(at, "other", new Uint8Array([3]))).toEqual({ ok: true, value: null });
      expect(await at.look("file")).toEqual(new Uint8Array([1]));
      expect(await at.look("other")).toEqual(new Uint8Array([3]));
    });
  });
}

async function write(at: OpenStore, name: string, bytes: Uint8Array): Promise<Outcome<null>> {
  const answers: Outcome<null>[] = [];
  let hasReturned = false;
  at.store.write(name, bytes, (outcome) => {
    expect(hasReturned, "the call had returned").toBe(true);
    answers.push(outcome);
  });
  hasReturned = true;
  await at.until(() => answers.length > 0);
  expect(answers).toHaveLength(1);
  return answers[0] as Outcome<null>;
}
