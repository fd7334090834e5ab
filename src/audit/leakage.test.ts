import { describe, expect, it } from "vitest";
import { random } from "../base/random.ts";
import { type AuditSamples, blindOf, leakageOf } from "./leakage.ts";
import { block, type Matrix, matrix, product } from "./matrix.ts";

/** Pictures of 12 x 12 that are mixtures of eight patterns, with a class that one of them decides. */
const [side, patterns, auxiliary, attacked] = [12, 8, 120, 60];
const all = auxiliary + attacked;

function drawn(rows: number, columns: number, label: string): Matrix {
  const draw = random(5).fork(label);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => draw.normal()),
  );
}

const amounts = drawn(all, patterns, "amounts");
const inputs = product(amounts, drawn(patterns, side * side, "patterns"));
// Two of three are of class 1.
const labels = Int32Array.from({ length: all }, (_, i) =>
  (amounts.values[i * patterns] ?? 0) > -0.43 ? 1 : 0,
);

const samples: AuditSamples = {
  auxiliary: { inputs: block(inputs, 0, auxiliary), labels: labels.slice(0, auxiliary) },
  attacked: { inputs: block(inputs, auxiliary, all), labels: labels.slice(auxiliary) },
  classes: 3,
  picture: { channels: 1, height: side, width: side },
  seed: 1,
};

const scoreOf = (features: Matrix) =>
  leakageOf(block(features, 0, auxiliary), block(features, auxiliary, all), samples);

describe("the leakage score", () => {
  const blind = blindOf(samples);

  it("is 1 where the inputs themselves cross the cut", () => {
    const { reconstruction, labelAccuracy } = scoreOf(inputs);
    expect(reconstruction?.r2).toBeGreaterThan(0.999);
    expect(reconstruction?.ssim).toBeGreaterThan(0.99);
    expect(labelAccuracy).toBeGreaterThan(0.85);
  });

  it("is as large for any linear map that loses nothing, with more features than samples and with fewer", () => {
    for (const width of [patterns, 40, 400]) {
      const features = product(amounts, drawn(patterns, width, `map ${width}`));
      expect(scoreOf(features).reconstruction?.r2).toBeGreaterThan(0.999);
    }
  });

  it("falls with what is lost: half of the patterns give about half of the variance", () => {
    const half = product(amounts, drawn(patterns, 30, "map"));
    for (let i = 0; i < all; i++) {
      for (let j = 0; j < 30; j++)
        half.values[i * 30 + j] = j < 4 ? (amounts.values[i * patterns + j] ?? 0) : 0;
    }
    const r2 = scoreOf(half).reconstruction?.r2;
    expect(r2).toBeGreaterThan(0.3);
    expect(r2).toBeLessThan(0.7);
  });

  it.each([50, 500])("is 0 for %i features of noise", (width) => {
    const { reconstruction, labelAccuracy } = scoreOf(drawn(all, width, "noise"));
    expect(Math.abs(reconstruction?.r2 ?? 1)).toBeLessThan(0.05);
    expect(Math.abs(labelAccuracy - blind.labelAccuracy)).toBeLessThan(0.15);
  });

  it("is what somebody knows who sees nothing, where features never move", () => {
    const { reconstruction, labelAccuracy } = scoreOf(
      matrix(all, 20, new Float64Array(20 * all).fill(3)),
    );
    const right = samples.attacked.labels.filter((label) => label === 1).length;
    expect(labelAccuracy).toBe(right / attacked);
    expect(blind.labelAccuracy).toBe(right / attacked);
    expect(Math.abs(reconstruction?.r2 ?? 1)).toBeLessThan(0.05);
    expect(reconstruction?.ssim).toBeCloseTo(blind.ssim ?? Number.NaN, 6);
  });

  it("leaves reconstruction out where inputs are no quantities", () => {
    const none: AuditSamples = {
      ...samples,
      auxiliary: { ...samples.auxiliary, inputs: null },
      attacked: { ...samples.attacked, inputs: null },
    };
    const { reconstruction, labelAccuracy } = leakageOf(
      block(amounts, 0, auxiliary),
      block(amounts, auxiliary, all),
      none,
    );
    expect(reconstruction).toBeNull();
    expect(labelAccuracy).toBeGreaterThan(0.85);
    expect(blindOf(none)).toEqual({ ...blind, ssim: null });
  });

  it("gives the same numbers for the same samples", () => {
    const features = drawn(all, 300, "again");
    expect(scoreOf(features)).toEqual(scoreOf(features));
  });
});
