import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { filled } from "../../test/contract/codec.ts";
import { present } from "../base/assert.ts";
import { dense, type Tensor, tensor } from "../base/tensor.ts";
import { affine } from "./affine.ts";
import { codeBytes, forEachGroup, Grids, type Groups, groupsOf, measure } from "./affine-grid.ts";
import { decodeInLanes, type Encoding, encodeInLanes } from "./affine-lanes.ts";
import { codes4, codes8, values8 } from "./affine-loops.ts";
import { codecs, wireBytes } from "./codec.ts";
import type { Codec } from "./codec-type.ts";
import { lanesHere } from "./lanes.ts";

const through = (codec: Codec, value: Tensor, seed?: number): Float32Array =>
  dense(codec.decode(codec.encode(value, seed), value)).data as Float32Array;

describe("lanes", () => {
  const lanes = present(lanesHere(), "WebAssembly with lanes, which every Node.js has");
  const places = fc.oneof(fc.float({ noNaN: true }), fc.float({ min: 0, max: 1 }), fc.constant(0));

  interface Case {
    readonly values: Float32Array;
    readonly groups: Groups;
    readonly bits: 8 | 4;
    readonly seed: number | null;
  }

  /** What a way of encoding makes of a tensor, as bytes. */
  function madeBy(encode: (to: Encoding) => void, { values, groups, bits, seed }: Case): Buffer {
    const codes = new Uint8Array(codeBytes(groups, bits));
    const grids = new Float32Array(2 * groups.rows * groups.perRow);
    const laid = new Grids(grids, 2 ** bits - 1, seed !== null);
    encode({ values, groups, codes, grids: laid, bits, seed });
    return Buffer.concat([codes, new Uint8Array(grids.buffer)]);
  }

  function inJavaScript({ values, groups, codes, grids, bits, seed }: Encoding): void {
    const valueBits = new Int32Array(values.buffer);
    forEachGroup(groups, bits, (group, index) => {
      measure(valueBits, group);
      grids.lay(group, index);
      if (group.step > 0) (bits === 8 ? codes8 : codes4)(values, group, codes, seed);
    });
  }

  /** Decodes codes, and the grids that follow them, both ways. */
  function expectEqualValues(coded: Buffer, { values, groups }: Case): void {
    const codes = Uint8Array.from(coded.subarray(0, values.length));
    const grids = new Float32Array(Uint8Array.from(coded.subarray(values.length)).buffer);
    const [first, second] = [new Float32Array(values.length), new Float32Array(values.length)];
    decodeInLanes(lanes, { values: first, groups, codes, grids });
    forEachGroup(groups, 8, (group, index) => {
      const [step = 0, minimum = 0] = grids.subarray(2 * index, 2 * index + 2);
      values8(codes, { ...group, step, minimum }, second);
    });
    const bitsOf = (each: Float32Array): string[] => Array.from(each, String);
    expect(bitsOf(first)).toEqual(bitsOf(second));
  }

  test("give the same codes and grids as JavaScript, bit for bit", () => {
    const shapes = [
      [1, 1, 3],
      [2, 3, 7, 7],
      [3, 5, 131],
      [2, 300],
      [3, 2, 9000],
    ];
    const cases = fc.tuple(
      fc.constantFrom(...shapes),
      fc.array(places, { minLength: 1, maxLength: 50 }),
      fc.constantFrom(8 as const, 4 as const),
      fc.option(fc.nat()),
    );
    fc.assert(
      fc.property(cases, ([shape, some, bits, seed]) => {
        const value = filled(shape, (i) => (some[i % some.length] as number) * (1 + (i % 7)));
        const values = value.data as Float32Array;
        const each = { values, groups: groupsOf(shape), bits, seed };
        const inLanes = madeBy((to) => encodeInLanes(lanes, to), each);
        expect(Buffer.compare(inLanes, madeBy(inJavaScript, each))).toBe(0);
        if (bits === 8) expectEqualValues(inLanes, each);
      }),
    );
  });
});

describe("groups", () => {
  test("a channel of a sample has a grid of its own, and small channels are joined", () => {
    const gridsOf = (shape: number[]) =>
      codecs.affine8.wire({ dtype: "float32", shape })[1]?.shape[0];
    expect(gridsOf([32, 6, 14, 14])).toBe(32 * 6);
    expect(gridsOf([32, 20, 7, 7])).toBe(32 * 7); // 3 channels of 49, the last group 2
    expect(gridsOf([32, 120])).toBe(32);
    expect(gridsOf([32, 4096])).toBe(32 * 32);
    expect(gridsOf([8, 64, 256])).toBe(8 * 64);
    expect(gridsOf([300])).toBe(3);
    expect(gridsOf([])).toBe(1);
    expect(gridsOf([0, 5])).toBe(0);
  });

  test("bytes: a quarter and an eighth of float32's, and 8 for each grid", () => {
    const type = { dtype: "float32", shape: [32, 6, 14, 14] } as const;
    expect(wireBytes("affine8", type)).toBe(32 * 6 * (196 + 8));
    expect(wireBytes("affine4", type)).toBe(32 * 6 * (98 + 8));
    expect(wireBytes("affine4", { ...type, shape: [2, 1, 15, 15] })).toBe(2 * (113 + 8));
  });

  test("what a sample becomes does not depend on the others of its batch", () => {
    const batch = filled([3, 2, 9, 9], (i) => Math.sin(i) * 10 ** (i % 7));
    const second = (batch.data as Float32Array).slice(162, 324);
    for (const codec of [codecs.affine8, codecs.affine4]) {
      const alone = through(codec, tensor("float32", [1, 2, 9, 9], second));
      expect(through(codec, batch).slice(162, 324)).toEqual(alone);
    }
  });
});

describe.each([
  [8, 255],
  [4, 15],
] as const)("%i bits", (bits, levels) => {
  const nearest = affine({ bits, rounding: "nearest" });
  const drawn = affine({ bits, rounding: "stochastic" });

  test("ReLU features do not saturate: the largest of each channel comes back", () => {
    const features = filled([4, 8, 12, 12], (i) => Math.max(0, Math.sin(i * 0.7)) * (1 + (i % 5)));
    const all = features.data as Float32Array;
    const decoded = through(nearest, features);
    for (let group = 0; group < 32; group++) {
      const [before, after] = [all, decoded].map((values) =>
        values.slice(144 * group, 144 * (group + 1)),
      );
      const top = Math.max(...(before ?? []));
      expect(Math.abs(Math.max(...(after ?? [])) - top)).toBeLessThanOrEqual(
        (top / levels) * 0.501,
      );
      for (const [i, value] of (before ?? []).entries()) {
        if (value === 0) expect(after?.[i]).toBe(0);
      }
    }
  });

  test("is off by half a step at most in every group, whatever its range", () => {
    const anyRange = fc.tuple(
      fc.double({ min: -1e30, max: 1e30, noNaN: true }),
      fc.double({ min: 1e-44, max: 1e30, noNaN: true }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
    );
    fc.assert(
      fc.property(anyRange, ([low, range, shares]) => {
        const value = filled([1, 1, 10, 15], () => low + range * (shares.next().value as number));
        const all = value.data as Float32Array;
        const spread = Math.max(...all) - Math.min(...all);
        const half = (spread / levels / 2) * (1 + 2 ** -15) + 2 ** -141;
        for (const [i, decoded] of through(nearest, value).entries()) {
          const original = all[i] as number;
          const rounding = 2 ** -24 * Math.abs(decoded);
          expect(Math.abs(decoded - original)).toBeLessThanOrEqual(half + rounding);
        }
      }),
    );
  });

  test.each([
    ["zeros", 0, 0],
    ["negative zeros", -0, -0],
    ["one value", 3.7, 3.7],
    ["one negative value", -1e-20, -1e-20],
    ["the smallest numbers", 2 ** -149, 2 ** -149],
  ])("%s come back as they are", (_, first, second) => {
    const value = filled([2, 100], (i) => (i < 100 ? first : second));
    for (const codec of [nearest, drawn]) {
      expect([...through(codec, value)].map((each) => each + 0)).toEqual(
        [...(value.data as Float32Array)].map((each) => each + 0),
      );
    }
  });

  test("zero stays zero between negative and positive values", () => {
    const value = filled([1, 1, 200], (i) => (i % 3 === 0 ? 0 : Math.sin(i) * 0.37));
    for (const codec of [nearest, drawn]) {
      const decoded = through(codec, value, 9);
      for (let i = 0; i < 200; i += 3) expect(decoded[i]).toBe(0);
    }
  });

  test("huge ranges neither overflow nor vanish", () => {
    const value = filled([1, 40], (i) => [-(2 ** 127), 2 ** 127, 0, 2 ** 126][i % 4] ?? 0);
    const decoded = through(nearest, value);
    for (const [i, original] of (value.data as Float32Array).entries()) {
      expect(Math.abs((decoded[i] as number) - original)).toBeLessThanOrEqual(2 ** 128 / levels);
    }
  });

  test("one broken value spoils its group and no other", () => {
    const value = filled([2, 128], (i) => (i === 5 ? Number.NaN : i));
    const decoded = through(nearest, value);
    expect(decoded.slice(0, 128).every(Number.isNaN)).toBe(true);
    expect(decoded.slice(128).every(Number.isFinite)).toBe(true);
  });

  test("stochastic rounding is right on average, and never off by a step", () => {
    const value = filled([1, 1, 129], (i) => Math.sin(i * 1.3) + 0.4);
    const all = value.data as Float32Array;
    const step = (Math.max(...all) - Math.min(...all)) / (levels - 1);
    const draws = 4000;
    const sums = new Float64Array(all.length);
    let mostOff = 0;
    for (let seed = 0; seed < draws; seed++) {
      for (const [i, decoded] of through(drawn, value, seed).entries()) {
        mostOff = Math.max(mostOff, Math.abs(decoded - (all[i] as number)));
        sums[i] = (sums[i] as number) + decoded;
      }
    }
    expect(mostOff).toBeLessThan(step * 1.001);
    // The deviation of a mean of draws is half a step over their root at most; 5 of them for 129 values.
    const most = (5 * step) / 2 / Math.sqrt(draws);
    for (const [i, sum] of sums.entries()) {
      expect(Math.abs(sum / draws - (all[i] as number))).toBeLessThan(most);
    }
  });

  test("stochastic rounding is a function of seed and place", () => {
    const value = filled([2, 3, 64], (i) => Math.cos(i));
    expect(through(drawn, value, 1)).toEqual(through(drawn, value, 1));
    expect(through(drawn, value, 1)).not.toEqual(through(drawn, value, 2));
    expect(through(nearest, value, 1)).toEqual(through(nearest, value, 2));
  });
});
