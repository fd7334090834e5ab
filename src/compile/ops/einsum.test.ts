/** What an Einsum is written out to, and what is refused. */
import { describe, expect, test } from "vitest";
import { emit } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { GraphBuilder } from "../builder.ts";
import { specialize } from "../specialize.ts";

function operators(equation: string, ...shapes: (readonly number[])[]): string[] {
  const builder = new GraphBuilder("case");
  const inputs = shapes.map((shape, i) => builder.input(`x${i}`, { dtype: "float32", shape }));
  const graph = builder.graph([builder.emit("Einsum", inputs, { equation })]);
  return specialize(graph, {}).nodes.map(({ op }) => op);
}

describe("an Einsum is written out to no more than it needs", () => {
  test("a matrix product is one", () => {
    expect(operators("ij,jk->ik", [2, 3], [3, 4])).toEqual(["MatMul"]);
    expect(operators("bij,bjk->bik", [2, 2, 3], [2, 3, 4])).toEqual(["MatMul"]);
  });

  test("a dense layer over several axes is one product between reshapes", () => {
    const dense = operators("abc,cde->abde", [2, 2, 3], [3, 2, 2]);
    expect(dense).toEqual(["Reshape", "Reshape", "MatMul", "Reshape"]);
  });

  test("what is not summed over both is multiplied element by element", () => {
    expect(operators("bi,bi->bi", [2, 3], [2, 3])).toEqual(["Mul"]);
  });

  test("one operand is summed and transposed", () => {
    expect(operators("ijk->kj", [2, 3, 4])).toEqual(["ReduceSum", "Transpose"]);
  });
});

const refusals: [string, (readonly number[])[], RegExp][] = [
  ["ii->i", [[2, 2]], /"ii->i" of float32\[2,2\]; allowed: no letter twice/],
  ["ij->ijj", [[2, 2]], /no letter twice/],
  [
    "ij,jk,kl->il",
    [
      [2, 2],
      [2, 2],
      [2, 2],
    ],
    /3 inputs; allowed: 1 to 2/,
  ],
  ["ij,jk->ik", [[2, 3]], /one term for each operand/],
  ["ij->ik", [[2, 3]], /letters of the operands/],
  ["i1->i", [[2, 3]], /allowed: letters/],
  ["i->j->k", [[2]], /one "->"/],
  ["ijk->i", [[2, 3]], /one letter for each axis/],
  ["i->i", [[2, 3]], /one letter for each axis/],
  [
    "ij,jk->ik",
    [
      [2, 3],
      [4, 5],
    ],
    /one size for each letter/,
  ],
];

test.each(refusals)("%s is refused in words", (equation, shapes, message) => {
  expect(() => emit("Einsum", shapes, { equation })).toThrow(ModelError);
  expect(() => emit("Einsum", shapes, { equation })).toThrow(message);
});

test("an equation that is missing or no text is refused", () => {
  expect(() => emit("Einsum", [[2]], {})).toThrow(/attribute equation is missing/);
  expect(() => emit("Einsum", [[2]], { equation: 3 })).toThrow(/equation: allowed: a text/);
});
