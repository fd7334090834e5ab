import { describe, expect, test } from "vitest";
import { InputError } from "../base/errors.ts";
import { arrayDataset } from "./arrays.ts";
import { SampleSource } from "./source.ts";

describe("samples from arrays", () => {
  test("come out as they went in, sample by sample", () => {
    const data = arrayDataset([0, 1, 2, 3, 4, 5, 6, 7], [1, 0], { inputShape: [1, 2, 2] });
    expect([data.kind, data.samples, data.classes]).toEqual(["arrays", 2, 2]);
    const { features, labels } = new SampleSource(data).slice(0, 2);
    expect([features.shape, labels.shape]).toEqual([[2, 1, 2, 2], [2]]);
    expect(data.gather([1]).features.data).toEqual(Float32Array.of(4, 5, 6, 7));
    expect(labels.data).toEqual(BigInt64Array.of(1n, 0n));
  });

  test("are drawn from those that are held out, or from the others", () => {
    const values = Float32Array.from({ length: 50 }, (_, i) => i);
    const data = arrayDataset(values, new Int32Array(50), { inputShape: [1] });
    const drawn = (isHeldOut: boolean, size: number, source = new SampleSource(data)) => {
      const key = { seed: 1, node: "phone", step: 0, size, among: { heldOut: 5, isHeldOut } };
      return [...(source.batch(key).features.data as Float32Array)];
    };
    const [heldOut, others] = [new Set(drawn(true, 5)), new Set(drawn(false, 45))];
    expect([heldOut.size, others.size]).toEqual([5, 45]);
    expect(heldOut.isDisjointFrom(others)).toBe(true);
    // Stored orders may have one class after the other.
    expect(heldOut).not.toEqual(new Set([0, 1, 2, 3, 4]));
    expect(drawn(true, 5)).toEqual([...heldOut]);
    const source = new SampleSource(data);
    const all = source.batch({ seed: 1, node: "phone", step: 0, size: 50 });
    expect(new Set(all.features.data as Float32Array).size).toBe(50);
    expect(drawn(true, 5, source)).toEqual([...heldOut]);
  });

  test("are copies", () => {
    const features = Float32Array.of(1, 2);
    const data = arrayDataset(features, [0, 0], { inputShape: [1] });
    features.fill(9);
    expect(data.gather([0, 1]).features.data).toEqual(Float32Array.of(1, 2));
  });

  test("may lack classes that are said to be there", () => {
    expect(arrayDataset([1], [0], { inputShape: [1], classes: 3 }).classes).toBe(3);
    const named = arrayDataset([1], [0], { inputShape: [1], classNames: ["no", "yes"] });
    expect([named.classes, named.classNames]).toEqual([2, ["no", "yes"]]);
  });

  test.each([
    ["no samples", [], [], { inputShape: [2] }, "at least one label"],
    ["a feature too few", [1, 2, 3], [0, 1], { inputShape: [2] }, "3 features and 2 labels"],
    ["a shape without size", [1], [0], { inputShape: [0] }, "whole numbers from 1"],
    [
      "a feature that is no number",
      [1, Number.NaN],
      [0],
      { inputShape: [2] },
      "feature 1 of sample 0",
    ],
    ["a feature beyond float32", [1e39], [0], { inputShape: [1] }, "got 1e+39"],
    ["half a label", [1], [0.5], { inputShape: [1] }, "label of sample 0"],
    ["a negative label", [1], [-1], { inputShape: [1] }, "label of sample 0"],
    ["a label beyond the classes", [1], [2], { inputShape: [1], classes: 2 }, "0 to 1"],
  ] as const)("%s is refused", (_what, features, labels, options, message) => {
    expect(() => arrayDataset(features, labels, options)).toThrow(InputError);
    expect(() => arrayDataset(features, labels, options)).toThrow(message);
  });
});
