import { describe, expect, test } from "vitest";
import { copyId } from "../../base/ids.ts";
import { float32, type Tensor } from "../../base/tensor.ts";
import type { UpdateCodecName } from "../../codec/update.ts";
import { optimizerSpec } from "../../compile/optimizer.ts";
import { UpdateCoding } from "../update-coding.ts";
import { type CopyModel, CopyTensors } from "./copy-tensors.ts";

const parameters = ["w", "v"].map((name) => {
  return { name, dtype: "float32" as const, shape: [200] };
});
const rules = { optimizer: optimizerSpec("sgd", { momentum: 0.9 }), seed: 1 };
const segment = { index: 0, name: "one", nodes: [], parameters, noise: [] };
const modelOf = (updates: UpdateCodecName): CopyModel => ({
  trained: new Set(["w", "v"]),
  updates: new UpdateCoding(
    [{ ...segment, updates: new Map(), taken: null, inputs: [], outputs: [] }],
    {
      ...rules,
      updates,
    },
  ),
});
const fresh = { isKept: false, isHollow: false, precopied: new Map() };
const made = (): CopyTensors => new CopyTensors(copyId("c"), modelOf("float32"));
const port = (of: string) => ({ of, dtype: "float32" as const, shape: [2] });
const two = float32([2], [1, 2]);

describe("versions of a copy's tensors", () => {
  test("are one while no batch is under way: updates happen in place", () => {
    const copy = made();
    for (let i = 0; i < 3; i++) {
      copy.release(copy.take());
      expect(copy.advance()).toBe(0);
    }
  });

  test("are left alone while a batch under way needs them, and their places are used again", () => {
    const copy = made();
    const [first, second] = [copy.take(), copy.take()];
    expect([first, second]).toEqual([0, 0]);
    copy.release(first);
    expect(copy.advance()).toBe(1);
    const third = copy.take();
    expect(third).toBe(1);
    copy.release(second);
    expect(copy.advance()).toBe(0);
    copy.release(third);
    expect(copy.advance()).toBe(0);
  });

  test("are of what updates move alone", () => {
    const copy = made();
    expect(copy.slot("w", 1)).not.toBe(copy.slot("w", 0));
    expect(copy.slot("momentum:w", 1)).toBe(copy.slot("momentum:w", 0));
  });
});

describe("a copy's tensors from round to round", () => {
  const begin = (copy: CopyTensors, came: readonly string[], isKept: boolean, needs = ["w", "s"]) =>
    copy.begin(needs.map(port), new Map(came.map((name) => [name, two])), {
      isKept,
      isHollow: false,
      precopied: new Map(),
    });
  const slotsOf = (result: ReturnType<typeof begin>): unknown =>
    typeof result === "string" ? result : [...result.keys()];

  test("all come where the copy is not kept", () => {
    const copy = made();
    expect(slotsOf(begin(copy, ["w", "s"], false))).toEqual([copy.slot("w"), copy.slot("s")]);
    copy.settle();
    expect(begin(copy, ["w"], false)).toBe("s");
  });

  test("need not come where it is, once it has brought them", () => {
    const copy = made();
    begin(copy, ["w", "s"], false);
    expect(begin(copy, [], true)).toBe("w");
    begin(copy, ["w", "s"], false);
    copy.settle();
    expect(slotsOf(begin(copy, [], true))).toEqual([]);
  });

  test("are taken in the newest place", () => {
    const copy = made();
    begin(copy, ["w", "s"], false);
    copy.take();
    copy.release(0);
    copy.take();
    expect(copy.advance()).toBe(1);
    copy.release(0);
    copy.settle();
    expect(slotsOf(begin(copy, ["v"], true, ["w", "s", "v"]))).toEqual([copy.slot("v", 1)]);
  });

  test("that a new plan needs stay, and all others go", () => {
    const copy = made();
    begin(copy, ["w", "v", "s"], false, ["w", "v", "s"]);
    copy.take();
    copy.advance();
    copy.release(0);
    copy.settle();
    const dropped = copy.retire(new Set(["w", "x"]));
    for (const of of ["v", "s"]) expect(dropped).toContain(copy.slot(of));
    expect(dropped).toContain(copy.slot("w", 0));
    expect(dropped).not.toContain(copy.slot("w", 1));
    expect(slotsOf(begin(copy, ["x"], true, ["w", "x"]))).toEqual([copy.slot("x")]);
  });

  test("all go where the round was not brought to its end, or nothing is needed", () => {
    const copy = made();
    begin(copy, ["w", "s"], false);
    expect(copy.retire(new Set(["w"]))).toEqual(["stage|c|"]);
    expect(begin(copy, [], true)).toBe("w");
    begin(copy, ["w", "s"], false);
    copy.settle();
    expect(copy.retire(new Set())).toEqual(["stage|c|"]);
  });

  test("of the optimizer begin with zeros where they do not come", () => {
    const state = { ...port("s"), role: "state" as const };
    const copy = made();
    const slots = copy.begin([port("w"), state], new Map([["w", two]]), fresh) as Map<
      string,
      Tensor
    >;
    expect(slots.get(copy.slot("s"))).toEqual({
      ...two,
      data: new Float32Array(two.shape[0] ?? 1),
    });
    // Parameters have to come.
    expect(made().begin([port("w"), state], new Map([["s", two]]), fresh)).toBe("w");
    // What is kept is not begun anew.
    copy.settle();
    const kept = copy.begin([port("w"), state], new Map(), { ...fresh, isKept: true });
    expect(kept).toEqual(new Map());
  });

  test("of a wrong type are named", () => {
    expect(made().begin([port("w")], new Map([["w", float32([1], [1])]]), fresh)).toBe("w");
  });

  test("go on from what has travelled, where that is rounded", () => {
    const values = (at: number) => Float32Array.from({ length: 200 }, (_, i) => Math.sin(at + i));
    const wide = { of: "w", dtype: "float32" as const, shape: [200] };
    const copy = new CopyTensors(copyId("c"), modelOf("affine8"));
    copy.begin([wide], new Map([["w", float32([200], values(0))]]), fresh);
    const bring = (round: number, w: Float32Array) => {
      const brought = { id: copyId("c"), round, values: new Map([["w", float32([200], w)]]) };
      const sent = copy.encoded(brought);
      return { sent, slots: copy.goOnFrom(brought, sent) };
    };
    const first = bring(0, values(0.01));
    expect([...first.sent.keys()]).toEqual(["w.0", "w.1"]);
    const next = first.slots.get(copy.slot("w"))?.data as Float32Array;
    const off = next.map((value, i) => Math.abs(value - Math.sin(0.01 + i)));
    // Differences of up to 0.01 either way, in 255 steps.
    expect(Math.max(...off)).toBeGreaterThan(1e-6);
    expect(Math.max(...off)).toBeLessThan(0.51 * (0.02 / 255));
    // Nothing has been trained since: what is there is the base of the next difference.
    const second = bring(1, next.slice());
    expect(second.slots.get(copy.slot("w"))?.data).toEqual(next);
  });
});
