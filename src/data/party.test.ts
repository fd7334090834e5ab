import { describe, expect, test } from "vitest";
import type { Dataset } from "./dataset.ts";
import { datasetOf } from "./dataset.ts";
import { type PartyShare, partySource } from "./party.ts";

/** Samples [i, 10 i, 100 i] with label i mod 3, by these keys. */
const samples = (keys: readonly string[] | undefined, count = keys?.length ?? 4): Dataset =>
  datasetOf({
    kind: "arrays",
    inputShape: [3],
    classes: 3,
    labels: Int32Array.from({ length: count }, (_, i) => i % 3),
    ...(keys !== undefined && { keys }),
    copySample: (i, target, offset) => target.set([i, 10 * i, 100 * i], offset),
  });

const share: PartyShare = { columns: [2, 0], hasLabels: true };

describe("a party's samples", () => {
  test("are its own columns, in the order of the keys, with labels where it has them", () => {
    const source = partySource(samples(["c", "a", "d", "b"]), share);
    expect([source.samples, source.inputShape, source.classes]).toEqual([4, [2], 3]);
    const { features, labels } = source.slice(0, 4);
    expect([...features.data]).toEqual([100, 1, 300, 3, 0, 0, 200, 2]);
    expect([...labels.data]).toEqual([1n, 0n, 0n, 2n]);
    const other = partySource(samples(["c", "a", "d", "b"]), { columns: [1], hasLabels: false });
    expect([...other.slice(0, 4).features.data]).toEqual([10, 30, 0, 20]);
    expect([...other.slice(0, 4).labels.data]).toEqual([0n, 0n, 0n, 0n]);
    expect(other.classes).toBe(1);
  });

  test("stand elsewhere in a file of its own than in the model", () => {
    const places = partySource(samples(["a", "b"]), {
      columns: [7],
      places: [1],
      hasLabels: false,
    });
    expect([...places.slice(0, 2).features.data]).toEqual([0, 10]);
    expect(places.party?.columns).toEqual([7]);
  });

  test("are more than are copied at once, and the same whatever their order was", () => {
    const keys = Array.from({ length: 2500 }, (_, i) => String(1_000_000 + ((i * 7919) % 2500)));
    const source = partySource(samples(keys), share);
    const { data } = source.slice(0, 2500).features;
    for (const [place, key] of [...keys].sort().entries()) {
      const at = keys.indexOf(key);
      expect([data[2 * place], data[2 * place + 1]]).toEqual([100 * at, at]);
    }
  });

  test("have a digest of their keys, which is another one where any key is", () => {
    const digest = (keys: readonly string[]) => partySource(samples(keys), share).party?.keys;
    const [one, two] = [digest(["a", "b", "c"]), digest(["c", "a", "b"])];
    expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(two).toBe(one);
    expect(digest(["a", "b", "d"])).not.toBe(one);
    expect(digest(["a", "bc"])).not.toBe(digest(["ab", "c"]));
  });

  test.each([
    ["without keys", samples(undefined), share, /arrays without keys/],
    ["of which two have one key", samples(["a", "b", "a"]), share, /"a" twice/],
    [
      "without a column that is asked for",
      samples(["a"]),
      { columns: [3], hasLabels: true },
      /\[3\] of data with 3/,
    ],
    ["of no column", samples(["a"]), { columns: [], hasLabels: true }, /columns of a party/],
  ] as [string, Dataset, PartyShare, RegExp][])("%s are refused", (_, dataset, own, words) => {
    expect(() => partySource(dataset, own)).toThrow(words);
  });
});
