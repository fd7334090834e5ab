/**
 * The cases of operators that `test/golden/record.py` recorded, apart from where
 * they run: what a case says, and the graph of its forward and backward
 * computation. It needs no platform, so pages in browsers run the cases too.
 */

import { present } from "../../src/base/assert.ts";
import { type DenseTensor, float32, tensor } from "../../src/base/tensor.ts";
import { differentiate } from "../../src/compile/autodiff.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import type { Attributes } from "../../src/compile/graph.ts";
import { type OpName, ruleOf } from "../../src/compile/ops/table.ts";
import { type Drawn, draw } from "../golden/drawing.ts";
import { specialized } from "./gradients.ts";

interface Listed {
  readonly shape: readonly number[];
  readonly dtype: "int64" | "float32";
  readonly values: readonly number[];
}

export interface CaseNode {
  readonly op: OpName;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Attributes;
}

export interface OperatorCase {
  readonly name: string;
  readonly inputs: { readonly [name: string]: Drawn | Listed };
  readonly nodes: readonly CaseNode[];
  readonly wanted: readonly string[];
  readonly weights: Drawn;
  readonly output: { readonly shape: readonly number[]; readonly values: readonly number[] };
  readonly gradients: { readonly [name: string]: readonly number[] };
}

/** A case's graph: y from the inputs, and the gradients of those wanted from y's weights `dy`. */
export interface OperatorGraph {
  /** Holds the graph; its outputs are `outputs`. */
  readonly builder: GraphBuilder;
  readonly outputs: readonly string[];
  readonly feeds: ReadonlyMap<string, DenseTensor>;
  /** By input: the value that is its gradient. An input without one has a gradient of zeros. */
  readonly gradients: ReadonlyMap<string, string>;
}

export function operatorGraph(entry: OperatorCase): OperatorGraph {
  const written = new GraphBuilder(entry.name);
  const feeds = new Map<string, DenseTensor>();
  for (const [input, spec] of Object.entries(entry.inputs)) {
    if ("values" in spec) {
      const { shape, values } = spec;
      written.constant(
        spec.dtype === "int64"
          ? tensor("int64", shape, BigInt64Array.from(values, BigInt))
          : float32(shape, values),
        input,
      );
    } else {
      const value = draw(spec);
      written.input(input, value);
      feeds.set(input, value);
    }
  }
  for (const { op, inputs, outputs, attributes } of entry.nodes) {
    written.add({ op, name: outputs[0] ?? op, inputs, outputs, attributes });
  }
  // Operators that are written out in others have no gradient of their own.
  const isWrittenOut = entry.nodes.some(({ op }) => ruleOf(op).lower !== undefined);
  const builder = isWrittenOut ? specialized(written, ["y"]) : written;
  feeds.set("dy", draw(entry.weights));
  builder.input("dy", present(feeds.get("dy"), "dy"));
  const gradients = differentiate(builder, new Map([["y", "dy"]]), new Set(entry.wanted));
  const outputs = [...new Set(["y", ...gradients.values()])];
  return { builder, outputs, feeds, gradients };
}
