/** Models whose columns belong to parties: in which order their nodes come, where they may be cut, and what stages look at. */
import { describe, expect, test } from "vitest";
import { present } from "../base/assert.ts";
import { type DenseTensor, float32, int64, type TensorType } from "../base/tensor.ts";
import { GraphBuilder } from "./builder.ts";
import { type Parties, takenColumns } from "./columns.ts";
import type { Graph } from "./graph.ts";
import { interpret } from "./interpret.ts";
import { lossSpec } from "./loss.ts";
import { optimizerSpec } from "./optimizer.ts";
import { portsOf, stagePrograms } from "./program.ts";
import { type Segment, segmentModel } from "./segment.ts";

const matrix = (rows: number, columns: number): TensorType => ({
  dtype: "float32",
  shape: [rows, columns],
});

/** Columns [from, to) of the input. */
const columns = (builder: GraphBuilder, name: string, from: number, to: number): string => {
  const numbers = [[from], [to], [1]].map((list) => builder.constant(int64([1], list)));
  return builder.emit("Slice", ["x", ...numbers], {}, name);
};

/** Two towers over columns 0 and 1 and over column 2, of which the second one is written first. */
function towers(): Graph {
  const builder = new GraphBuilder("towers");
  builder.input("x", matrix(2, 3));
  for (const [name, rows] of Object.entries({ left: 2, right: 1, end: 4 })) {
    builder.parameter(name, matrix(rows, name === "end" ? 2 : 4));
  }
  const right = builder.emit("MatMul", [columns(builder, "c", 2, 3), "right"], {}, "b");
  const left = builder.emit("MatMul", [columns(builder, "ab", 0, 2), "left"], {}, "a");
  const bent = builder.emit("Tanh", [left], {}, "bent");
  const both = builder.emit("Add", [bent, right], {}, "both");
  return builder.graph([builder.emit("MatMul", [both, "end"], {}, "y")]);
}

const parties: Parties = [[0, 1], [2]];
const cut = (graph: Graph, own: Parties | undefined = parties, tensorsMax = 1): Segment[] =>
  segmentModel(graph, { tensorsMax, parties: own });
const told = (segments: readonly Segment[]) =>
  segments.map(({ name, taken, outputs }) => [
    name,
    taken?.columns ?? [],
    outputs.map((output) => output.name).join(),
  ]);

describe("a model whose columns belong to two parties", () => {
  test("is cut as soon as each party's columns are enough, and says who looks at which", () => {
    expect(told(cut(towers()))).toEqual([
      ["ab+a", [0, 1], "a"],
      ["bent", [], "bent"],
      ["c+b+both", [2], "both"],
      ["y", [], "y"],
    ]);
    // In the other order, the other tower comes first.
    expect(told(cut(towers(), [[2], [0, 1]]))).toEqual([
      ["c+b", [2], "b"],
      ["ab+a+bent+both", [0, 1], "both"],
      ["y", [], "y"],
    ]);
    const whole = segmentModel(towers());
    expect(told(whole)).toEqual([
      ["c+b+ab+a+bent+both", [], "both"],
      ["y", [], "y"],
    ]);
    expect(whole.map(({ taken }) => taken)).toEqual([null, null]);
  });

  test.each([
    [[0], [1], [1], [0]],
    [[-1], [9], [-1], [2]],
    [[0, 1], [2, 3], undefined, [1, 2]],
    [
      [0, 0],
      [1, 2],
      [0, 1],
      [0, 1],
    ],
    [[0], [1], [0], [0, 1, 2]],
    [[0], [1], undefined, [0, 1, 2]],
  ])("knows slices by starts %j, ends %j and axes %j", (starts, ends, axes, taken) => {
    const builder = new GraphBuilder("slice");
    builder.input("x", matrix(2, 3));
    const bounds = [starts, ends, ...(axes === undefined ? [] : [axes])];
    const numbers = bounds.map((list) => builder.constant(int64([list.length], list)));
    builder.emit("Slice", ["x", ...numbers], {}, "y");
    const graph = builder.graph(["y"]);
    const source = { graph, input: "x", type: matrix(2, 3) };
    expect(takenColumns(source, present(graph.nodes[0], "a slice"))).toEqual(taken);
  });

  test("lets nothing over a border that no parameter has had a part in", () => {
    const builder = new GraphBuilder("bare");
    builder.input("x", matrix(2, 2));
    builder.parameter("w", matrix(1, 1));
    builder.parameter("v", matrix(1, 1));
    const own = builder.emit("Exp", [columns(builder, "a", 0, 1)], {}, "exp");
    const trained = builder.emit("MatMul", [own, "w"], {}, "trained");
    const theirs = builder.emit("MatMul", [columns(builder, "b", 1, 2), "v"], {}, "theirs");
    const sum = builder.emit("Mul", [trained, theirs], {}, "sum");
    // What the first party has is needed as it is behind the second one's part.
    const graph = builder.graph([builder.emit("Add", [sum, own], {}, "y")]);
    expect(told(cut(graph, [[0], [1]], 4))).toEqual([
      ["a+exp+trained+b+theirs+sum+y", [0, 1], "y"],
    ]);
    const apart = { ...graph, outputs: ["sum"], nodes: graph.nodes.slice(0, -1) };
    expect(told(cut(apart, [[0], [1]], 4))).toEqual([
      ["a+exp+trained", [0], "trained"],
      ["b+theirs", [1], "trained,theirs"],
      ["sum", [], "sum"],
    ]);
  });

  test.each([
    [
      "a node takes both",
      [[0], [1, 2]],
      /columns \[0,1\] of the input at once, and parties hold \[0\] and \[1,2\]/,
    ],
    ["a column is nobody's", [[0, 1], [3]], /column 3 of the input, which has 3/],
    ["a column is taken and nobody's", [[0], [2]], /columns \[0,1\] of the input at once/],
    [
      "a column is both's",
      [
        [0, 1],
        [1, 2],
      ],
      /column 1 of the input belongs to two parties/,
    ],
  ] as [string, Parties, RegExp][])("is refused where %s", (_, own, words) => {
    expect(() => cut(towers(), own)).toThrow(words);
  });
});

describe("a stage that takes columns again", () => {
  const graph = towers();
  const segments = cut(graph);
  const spec = { loss: lossSpec("softmax-cross-entropy"), optimizer: optimizerSpec("sgd") };
  const roles = (ports: readonly { role: string; of: string }[] | undefined) =>
    (ports ?? []).map(({ role, of }) => `${role} ${of}`);

  test("is fed them beside features, on its way back only where it needs them, and gives no gradient of them", () => {
    const middle = stagePrograms(graph, segments, 2, 3, spec);
    expect(roles(middle.forward?.inputs)).toEqual(["feature bent", "columns x", "parameter right"]);
    expect(roles(middle.backward?.inputs)).toEqual(["gradient both", "saved c"]);
    expect(roles(middle.backward?.outputs)).toEqual(["gradient bent", "parameterGradient right"]);
    const again = stagePrograms(graph, segments, 2, 3, { ...spec, recompute: true });
    expect(roles(again.backward?.inputs)).toContain("columns x");
    const end = stagePrograms(graph, segments, 2, 4, spec);
    expect(roles(end.step?.inputs).slice(0, 3)).toEqual([
      "feature bent",
      "columns x",
      "labels labels",
    ]);
    // Who has all begins with the input, and has it once.
    const whole = stagePrograms(graph, segments, 0, 4, spec);
    expect(roles(whole.step?.inputs).slice(0, 2)).toEqual(["feature x", "labels labels"]);
  });

  test.each([
    [0, 2, [2]],
    [2, 3, [0, 1]],
  ])("segments %d to %d look at no column of the other party", (from, to, theirs) => {
    const { forward } = stagePrograms(graph, segments, from, to, spec);
    const program = present(forward, "a forward program");
    const run = (foreign: number): DenseTensor[] => {
      const feeds = new Map(
        program.inputs.map((port): [string, DenseTensor] => {
          const { name, shape, role, of } = port;
          const size = shape.reduce((all, one) => all * one, 1);
          const isInput = role === "columns" || (role === "feature" && of === "x");
          const values = Array.from({ length: size }, (_, i) =>
            isInput && (theirs as number[]).includes(i % 3) ? foreign : 0.1 + i / size,
          );
          return [name, float32(shape, values)];
        }),
      );
      const outputs = interpret(program.graph, feeds);
      return portsOf(program.outputs, "feature").map(({ name }) =>
        present(outputs.get(name), name),
      );
    };
    expect(run(Number.NaN)).toEqual(run(0));
  });
});
