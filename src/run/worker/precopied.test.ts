import { describe, expect, test } from "vitest";
import { float32, type Tensor, zeros } from "../../base/tensor.ts";
import { optimizerSpec } from "../../compile/optimizer.ts";
import { UpdateCoding } from "../update-coding.ts";
import { Precopied } from "./precopied.ts";

const shape = [200];
const parameters = ["w", "v"].map((name) => ({ name, dtype: "float32" as const, shape }));
const segment = { index: 0, name: "one", nodes: [], parameters, noise: [] };
const coding = new UpdateCoding(
  [{ ...segment, updates: new Map(), taken: null, inputs: [], outputs: [] }],
  {
    ...{ updates: "affine8", optimizer: optimizerSpec("sgd"), seed: 1 },
  },
);

const valuesAt = (at: number): Tensor =>
  float32(
    shape,
    Array.from({ length: 200 }, (_, i) => Math.sin(at + i)),
  );

/** What round `round` of a copy brings home, and what it makes of its base. */
function roundOf(round: number, base: Tensor, value: Tensor) {
  const trained = { values: new Map([["w", value]]), baseOf: () => base };
  const origin = { copy: "c", round };
  return {
    came: coding.encode(trained, origin),
    next: coding.asBrought(trained, origin).get("w") as Tensor,
  };
}

const began = valuesAt(0);
const first = roundOf(4, began, valuesAt(0.1));
const second = roundOf(5, first.next, valuesAt(0.2));

/** With "w" of version 4, sent under term 2. */
function made(): Precopied {
  const precopied = new Precopied();
  precopied.take({ term: 2, round: 4 }, new Map([["w", began]]));
  return precopied;
}

const at = (term: number, round: number) => ({ term, round });

describe("what came ahead", () => {
  test("becomes what rounds have made of it, bit for bit", () => {
    const precopied = made();
    expect(precopied.update(at(2, 4), first.came, coding)).toBeNull();
    expect(precopied.update(at(2, 5), second.came, coding)).toBeNull();
    expect(precopied.takeFor(at(3, 6)).get("w")).toEqual(second.next);
    // It is given away once.
    expect(precopied.takeFor(at(4, 6)).size).toBe(0);
  });

  test("is there for the round of its version alone, and gone with the next plan's first", () => {
    const precopied = made();
    expect(precopied.takeFor(at(3, 5)).size).toBe(0);
    expect(precopied.takeFor(at(3, 4)).size).toBe(0);
  });

  test("is left alone by rounds of the plan under which it came", () => {
    const precopied = made();
    expect(precopied.takeFor(at(2, 4)).size).toBe(0);
    expect(precopied.takeFor(at(3, 4)).get("w")).toBe(began);
  });

  test("is replaced by what comes under another plan, and updates of the one before are void", () => {
    const precopied = made();
    precopied.take(at(3, 7), new Map([["v", began]]));
    expect(precopied.update(at(2, 4), first.came, coding)).toBeNull();
    expect([...precopied.takeFor(at(4, 7)).keys()]).toEqual(["v"]);
  });

  test.each<[what: string, round: number, came: ReadonlyMap<string, Tensor>, name: string]>([
    ["of another round", 5, first.came, "w"],
    ["of what never came", 4, new Map([["v.0", valuesAt(0)]]), "v"],
    ["in other parts", 4, new Map([["w.0", zeros({ dtype: "uint8", shape: [7] })]]), "w"],
    ["without a part's number", 4, new Map([["w", valuesAt(0)]]), ""],
  ])("is not spoilt by an update %s", (_what, round, came, name) => {
    const precopied = made();
    expect(precopied.update(at(2, round), came, coding)).toBe(name);
    expect(precopied.takeFor(at(3, 4)).get("w")).toBe(began);
  });
});
