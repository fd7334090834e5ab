/** One operator on its own, for tests of what it refuses and of what it computes. */
import { expect } from "vitest";
import type { DenseTensor, DType, TensorType } from "../../src/base/tensor.ts";
import { GraphBuilder } from "../../src/compile/builder.ts";
import type { Attributes } from "../../src/compile/graph.ts";
import { interpret } from "../../src/compile/interpret.ts";
import type { OpName } from "../../src/compile/ops/table.ts";

/** A shape stands for a float32 input of that shape, a tensor for a constant. */
export type Input = readonly number[] | DenseTensor | null;

const isShape = (input: Input): input is readonly number[] => Array.isArray(input);

/** Builds a node, which checks its attributes and the types of its inputs. */
export function emit(op: OpName, inputs: readonly Input[], attributes: Attributes): void {
  const builder = new GraphBuilder("refused");
  const names = inputs.map((input, i) => {
    if (input === null) return "";
    if (!isShape(input)) return builder.constant(input);
    return builder.input(`input${i}`, { dtype: "float32", shape: input });
  });
  builder.emit(op, names, attributes);
}

/** Evaluates one operator by its reference kernel and gives its first output. */
export function evaluate(
  op: OpName,
  inputs: (DenseTensor | null)[],
  attributes: Attributes = {},
): { dtype: DType; shape: readonly number[]; values: number[] } {
  const builder = new GraphBuilder("evaluated");
  const names = inputs.map((input) => (input === null ? "" : builder.constant(input)));
  const y = builder.emit(op, names, attributes);
  const type: TensorType = builder.type(y);
  const result = interpret(builder.graph([y]), new Map()).get(y) as DenseTensor;
  expect({ dtype: result.dtype, shape: result.shape }).toEqual(type);
  return { dtype: result.dtype, shape: result.shape, values: Array.from(result.data, Number) };
}
