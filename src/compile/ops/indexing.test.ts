/** What reading and writing at indices and padding give by hand, and what they refuse. */
import { describe, expect, test } from "vitest";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { float32, int64 } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { specialize } from "../specialize.ts";
import type { OpName } from "./table.ts";

const refusals: [OpName, readonly Input[], Attributes, RegExp][] = [
  ["GatherElements", [[2, 3], int64([3, 3], Array(9).fill(0))], { axis: 1 }, /one rank, .* axis 1/],
  [
    "GatherElements",
    [
      [2, 3],
      [2, 3],
    ],
    {},
    /the indices is float32.*allowed: int64, int32/,
  ],
  ["ScatterElements", [[2, 3], int64([1, 3], [0, 0, 0]), [1, 2]], {}, /allowed: one shape/],
  [
    "ScatterElements",
    [[2], int64([1], [0]), [1]],
    { reduction: "mul" },
    /reduction: got "mul"; allowed: none, add/,
  ],
  ["GatherND", [[2, 3], int64([1, 3], [0, 0, 0])], {}, /tuples of 1 to 2 indices/],
  [
    "GatherND",
    [[2, 3], int64([3, 1], [0, 0, 0])],
    { batch_dims: 1 },
    /tuples of 1 to 1 .* 1 leading axes in common/,
  ],
  ["ScatterND", [[2, 3], int64([1, 1], [0]), [1, 2]], {}, /allowed: shape \[1,3\]/],
  [
    "Pad",
    [[2, 3], int64([4], [2, 0, 0, 0])],
    { mode: "reflect" },
    /pads \[2,0\] of 2 elements along axis 0 by mode reflect; allowed: 0 to 1/,
  ],
  ["Pad", [[2], int64([2], [0, 3])], { mode: "wrap" }, /allowed: 0 to 2/],
  ["Pad", [[2], int64([2], [-1, 0])], { mode: "edge" }, /pads \[-1,0\]/],
  [
    "Pad",
    [[2], int64([2], [1, 0])],
    { mode: "mirror" },
    /got "mirror"; allowed: constant, reflect, edge, wrap/,
  ],
];

describe("what does not fit is refused with what is allowed", () => {
  test.each(refusals)("%s: %4$s", (op, inputs, attributes, message) => {
    expect(() => emit(op, inputs, attributes)).toThrow(ModelError);
    expect(() => emit(op, inputs, attributes)).toThrow(message);
  });

  test("an index outside the data is refused when it is met", () => {
    const x = float32([2], [1, 2]);
    expect(() => evaluate("GatherND", [x, int64([1, 1], [2])])).toThrow(
      /index 2: allowed: -2 to 1/,
    );
  });
});

test("padding repeats what its mode says", () => {
  const x = float32([4], [1, 2, 3, 4]);
  const pads = int64([2], [2, 3]);
  const padded = (mode: string) => evaluate("Pad", [x, pads], { mode }).values;
  expect(padded("constant")).toEqual([0, 0, 1, 2, 3, 4, 0, 0, 0]);
  expect(padded("reflect")).toEqual([3, 2, 1, 2, 3, 4, 3, 2, 1]);
  expect(padded("edge")).toEqual([1, 1, 1, 2, 3, 4, 4, 4, 4]);
  expect(padded("wrap")).toEqual([3, 4, 1, 2, 3, 4, 1, 2, 3]);
});

test("integers are padded with the integer that is given", () => {
  const pads = int64([2], [1, 0]);
  const result = evaluate("Pad", [int64([1], [5]), pads, int64([], [7])]);
  expect(result).toMatchObject({ dtype: "int64", values: [7, 5] });
});

test("a choice of axes is written out, as operator set 17 has none", () => {
  const builder = new GraphBuilder("case");
  const x = builder.input("x", { dtype: "float32", shape: [2, 3] });
  const lists = [[1, 2], [-1]].map((one) => builder.constant(int64([one.length], one)));
  const y = builder.emit("Pad", [x, lists[0] ?? "", "", lists[1] ?? ""], { mode: "edge" });
  const { nodes, constants } = specialize(builder.graph([y]), {});
  expect(nodes.map(({ op, inputs }) => [op, inputs.length])).toEqual([["Pad", 2]]);
  const pads = constants.get(nodes[0]?.inputs[1] ?? "");
  expect(Array.from(pads?.data ?? [], Number)).toEqual([0, 1, 0, 2]);
});
