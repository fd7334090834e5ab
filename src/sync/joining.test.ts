import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinParts, outerStep, type SharedPart } from "./joining.ts";

const part = (batches: number, ...values: number[]): SharedPart => ({
  batches,
  tensors: [{ count: values.length, indices: null, values: Float32Array.from(values) }],
});
const average = { policy: { kind: "average" } } as const;

describe("joining gradients", () => {
  it("gives the mean over all batches, however unequally they are dealt out", () => {
    const gradients = fc.array(fc.integer({ min: -1000, max: 1000 }), {
      minLength: 6,
      maxLength: 30,
    });
    fc.assert(
      fc.property(gradients, fc.integer({ min: 1, max: 5 }), (all, cut) => {
        const dealt = [all.slice(0, cut), all.slice(cut)].map((own) =>
          part(
            own.length,
            own.reduce((sum, value) => sum + value, 0),
          ),
        );
        const whole = all.reduce((sum, value) => sum + value, 0) / all.length;
        expect(joinParts(dealt, average)).toEqual([Float32Array.of(whole)]);
      }),
    );
  });

  it("counts entries that did not come as zeros", () => {
    const sparse = { count: 3, indices: Int32Array.of(2), values: Float32Array.of(8) };
    const joint = joinParts([part(3, 4, 0, 4), { batches: 1, tensors: [sparse] }], average);
    expect(joint).toEqual([Float32Array.of(1, 0, 3)]);
  });

  it("divides by the batches of all members where some bring nothing", () => {
    expect(joinParts([part(1, 6)], { ...average, batches: 3 })).toEqual([Float32Array.of(2)]);
  });

  it("holds against one liar where the policy is one that does", () => {
    const honest = [part(2, 2, 4), part(1, 1, 2), part(3, 3, 6), part(1, 1, 2)];
    const lie = part(1, -1e6, 1e6);
    for (const kind of ["median", "trimmed-mean", "krum"] as const) {
      const [joint] = joinParts([...honest, lie], { policy: { kind, liars: 1 } });
      expect(joint, kind).toEqual(Float32Array.of(1, 2));
    }
    const [clipped] = joinParts([...honest, lie], { policy: { kind: "average", clip: 3 } });
    expect(Math.hypot(...(clipped ?? []))).toBeLessThan(3);
  });
});

describe("the outer step", () => {
  it("is the plain mean without momentum, and Nesterov's with it", () => {
    const [agreed, change] = [Float32Array.of(1, 2), Float32Array.of(0.5, -1)];
    const plain = outerStep(agreed, change, new Float32Array(2), { rate: 1, momentum: 0 });
    expect(plain).toEqual(Float32Array.of(1.5, 1));
    const velocity = Float32Array.of(2, 0);
    const next = outerStep(agreed, change, velocity, { rate: 0.5, momentum: 0.5 });
    // v = 0.5 2 + 0.5 = 1.5; w = 1 + 0.5 (0.5 + 0.5 1.5).
    expect(velocity).toEqual(Float32Array.of(1.5, -1));
    expect(next).toEqual(Float32Array.of(1.625, 1.25));
  });
});
