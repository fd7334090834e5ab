/** What an Attention is written out to, and what is refused. */
import { describe, expect, test } from "vitest";
import { emit, evaluate, type Input } from "../../../test/contract/operators.ts";
import { ModelError } from "../../base/errors.ts";
import { float32, int64, tensor } from "../../base/tensor.ts";
import { GraphBuilder } from "../builder.ts";
import type { Attributes } from "../graph.ts";
import { specialize } from "../specialize.ts";

function operators(shapes: readonly (readonly number[])[], attributes: Attributes): string[] {
  const builder = new GraphBuilder("case");
  const inputs = shapes.map((shape, i) => builder.input(`x${i}`, { dtype: "float32", shape }));
  const graph = builder.graph([builder.emit("Attention", inputs, attributes)]);
  return specialize(graph, {}).nodes.map(({ op }) => op);
}

describe("an Attention is written out to no more than it needs", () => {
  test("two products and a softmax; a causal mask is a constant", () => {
    const same = [2, 2, 4, 8];
    expect(operators([same, same, same], { is_causal: 1 })).toEqual([
      "Transpose",
      "Mul",
      "MatMul",
      "Add",
      "Softmax",
      "MatMul",
    ]);
  });

  test("heads that share keys are rows of one product: nothing is repeated", () => {
    const own = [2, 2, 4, 8];
    const shared = operators([[2, 6, 4, 8], own, own], {});
    expect(shared.filter((op) => op === "MatMul")).toHaveLength(2);
    expect(shared).not.toContain("Expand");
  });
});

test("a query with nothing to attend to gives zeros", () => {
  const x = float32([1, 1, 2, 1], [1, 2]);
  const mask = tensor("bool", [2, 2], Uint8Array.of(0, 0, 1, 0));
  expect(evaluate("Attention", [x, x, x, mask]).values).toEqual([0, 1]);
});

const four = [2, 2, 3, 4];
const refusals: [readonly Input[], Attributes, RegExp][] = [
  [
    [
      [2, 3, 4],
      [2, 3, 4],
      [2, 3, 4],
    ],
    {},
    /no number of heads; allowed: 4 dimensions, or 3 with/,
  ],
  [
    [
      [2, 3, 4],
      [2, 3, 4],
      [2, 3, 4],
    ],
    { q_num_heads: 3, kv_num_heads: 2 },
    /queries .* 3 heads/,
  ],
  [[four, four, four], { q_num_heads: 4 }, /queries float32\[2,2,3,4\], 4 heads/],
  [[four, [2, 2, 3, 5], four], {}, /queries as long as keys/],
  [[[2, 3, 3, 4], four, four], {}, /3 heads on 2; .*heads that are a multiple/],
  [[four, four, [2, 2, 4, 4]], {}, /as many values as keys/],
  [[four, four, four, [2, 3]], {}, /shapes \[2,3\] and \[2,2,3,3\] do not broadcast/],
  [[four, four, four, [3, 1]], {}, /mask .*from 2 keys on/],
  [[four, four, four, int64([3], [1, 1, 1])], {}, /the mask is int64\[3\]; allowed: bool, float32/],
  [[four, four, four, null, four, four], {}, /past keys and values; allowed: none/],
  [[four, four, four, null, null, null, int64([1], [3])], {}, /numbers of keys are int64\[1\]/],
  [[four, four, four], { left_window_size: 2 }, /left_window_size is not supported/],
];

test.each(refusals)("refused in words: %2$s", (inputs, attributes, message) => {
  expect(() => emit("Attention", inputs, attributes)).toThrow(ModelError);
  expect(() => emit("Attention", inputs, attributes)).toThrow(message);
});

test("outputs of a cache are refused in words", () => {
  const builder = new GraphBuilder("cache");
  const x = builder.input("x", { dtype: "float32", shape: four });
  expect(() => builder.emitAll("Attention", [x, x, x], {}, 3)).toThrow(
    /outputs of keys, values or scores; allowed: the first output alone/,
  );
});
